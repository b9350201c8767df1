"""What the core and its plugins promise each other: the hooks, and by theme what they return."""
