"""measures

Revision tokens_0002, after tokens_0001.
"""

import sqlalchemy as sa
from alembic import op

revision = 'tokens_0002'
down_revision = 'tokens_0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('token_budgets', sa.Column('measure', sa.String(length=255), nullable=False, server_default='tokens.cost_usd'))
    op.add_column('token_budgets', sa.Column('changed_at', sa.BigInteger(), nullable=False, server_default='0'))
    op.execute('UPDATE token_budgets SET changed_at = created_at')


def downgrade() -> None:
    op.execute("DELETE FROM token_budgets WHERE measure <> 'tokens.cost_usd'")  # their amounts are no dollars
    op.drop_column('token_budgets', 'changed_at')
    op.drop_column('token_budgets', 'measure')
