"""The outside over HTTP: the API layer and the console."""
