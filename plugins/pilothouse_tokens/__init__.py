"""Tokens: what AI calls used and cost, by which price, for whom, and how much of a budget is left."""
