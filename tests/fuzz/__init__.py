"""Mutated bodies at every door: `make fuzz` sends a million."""
