"""group releases

Revision errors_0003, after errors_0002.
"""

import sqlalchemy as sa
from alembic import op

revision = 'errors_0003'
down_revision = 'errors_0002'
branch_labels = None
depends_on = None

# of errors that retention took away only the first and the last version of their group are known, and no number
_SEED = """
INSERT INTO error_group_releases (group_id, release, count)
SELECT group_id, release, sum(number) FROM (
    SELECT group_id, release, count(*) AS number FROM errors WHERE release IS NOT NULL GROUP BY group_id, release
    UNION ALL SELECT id, first_release, 0 FROM error_groups WHERE first_release IS NOT NULL
    UNION ALL SELECT id, last_release, 0 FROM error_groups WHERE last_release IS NOT NULL
) AS met GROUP BY group_id, release"""


def upgrade() -> None:
    op.create_table('error_group_releases',
    sa.Column('group_id', sa.String(length=128), nullable=False),
    sa.Column('release', sa.String(length=255), nullable=False),
    sa.Column('count', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['group_id'], ['error_groups.id'], name=op.f('fk_error_group_releases_group_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('group_id', 'release', name=op.f('pk_error_group_releases')),
    sqlite_with_rowid=False
    )
    op.create_index('ix_error_group_releases_release', 'error_group_releases', ['release', 'group_id'], unique=False)
    op.execute(_SEED)


def downgrade() -> None:
    op.drop_table('error_group_releases')
