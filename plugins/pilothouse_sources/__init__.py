"""Sources: who sends signals, how many, what was refused and why, and how further clients are connected."""
