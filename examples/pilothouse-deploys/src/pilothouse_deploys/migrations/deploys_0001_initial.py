"""The table of deployments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "deploys_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "deploys",
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("service", sa.String(255), nullable=False),
        sa.Column("version", sa.String(255), nullable=False),
        sa.Column("environment", sa.String(255)),
        sa.Column("by", sa.String(255)),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deploys")),
    )
    op.create_index("ix_deploys_at", "deploys", ["at", "id"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("deploys")
