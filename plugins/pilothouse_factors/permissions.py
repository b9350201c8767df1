"""The plugin's one permission."""

SELF = "factors.self"
