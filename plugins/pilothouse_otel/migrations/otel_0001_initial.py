"""initial

Revision otel_0001, after nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = 'otel_0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('otel_observations',
    sa.Column('trace_id', sa.String(length=128), nullable=False),
    sa.Column('id', sa.String(length=128), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('trace_id', 'id', name=op.f('pk_otel_observations')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('otel_observations', schema=None) as batch_op:
        batch_op.create_index('ix_otel_observations_at', ['at'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('otel_observations', schema=None) as batch_op:
        batch_op.drop_index('ix_otel_observations_at')

    op.drop_table('otel_observations')
