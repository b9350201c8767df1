"""The core of Pilothouse: it knows no plugin by name."""
