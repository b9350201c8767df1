"""What the core and its plugins promise each other: hooks, contributions, events."""
