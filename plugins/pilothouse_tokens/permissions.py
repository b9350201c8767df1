"""The names of the plugin's permissions."""

VIEW = "tokens.usage.view"
PRICES = "tokens.prices.manage"
BUDGETS = "tokens.budgets.manage"
