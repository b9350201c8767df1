"""until

Revision errors_0002, after errors_0001.
"""

import sqlalchemy as sa
from alembic import op

revision = 'errors_0002'
down_revision = 'errors_0001'
branch_labels = None
depends_on = None

# what is known of versions so far: the first and the last one of each group
_SEED = """
INSERT INTO error_releases (release, first_seen_at)
SELECT release, min(at) FROM (
    SELECT first_release AS release, first_release_at AS at FROM error_groups WHERE first_release IS NOT NULL
    UNION ALL SELECT last_release, last_release_at FROM error_groups WHERE last_release IS NOT NULL
) AS met GROUP BY release"""


def upgrade() -> None:
    op.create_table('error_releases',
    sa.Column('release', sa.String(length=255), nullable=False),
    sa.Column('first_seen_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('release', name=op.f('pk_error_releases'))
    )
    op.create_index('ix_error_releases_seen', 'error_releases', ['first_seen_at', 'release'], unique=False)
    op.execute(_SEED)

    op.add_column('error_groups', sa.Column('until', sa.String(length=255), nullable=True))
    op.add_column('error_groups', sa.Column('until_at', sa.BigInteger(), nullable=True))
    op.add_column('error_groups', sa.Column('until_release', sa.String(length=255), nullable=True))
    op.create_index('ix_error_groups_until', 'error_groups', ['until_at'], unique=False, sqlite_where=sa.text("until = 'time'"), postgresql_where=sa.text("until = 'time'"))


def downgrade() -> None:
    # not in a batch: that would copy the table, whose old rows would take their errors along
    op.drop_index('ix_error_groups_until', 'error_groups')
    op.drop_column('error_groups', 'until_release')
    op.drop_column('error_groups', 'until_at')
    op.drop_column('error_groups', 'until')
    op.drop_table('error_releases')
