"""initial

Revision gateway_0001, after nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "gateway_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gateway_contents",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("execution_id", sa.String(length=128), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("input", sa.Text(), nullable=True),
        sa.Column("output", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_contents")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("gateway_contents", schema=None) as batch_op:
        batch_op.create_index("ix_gateway_contents_execution", ["execution_id", "at"], unique=False)
        batch_op.create_index("ix_gateway_contents_expires", ["expires_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("gateway_contents", schema=None) as batch_op:
        batch_op.drop_index("ix_gateway_contents_expires")
        batch_op.drop_index("ix_gateway_contents_execution")

    op.drop_table("gateway_contents")
