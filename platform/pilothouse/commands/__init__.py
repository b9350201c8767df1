"""The commands of `pilothouse`, a module for each family."""
