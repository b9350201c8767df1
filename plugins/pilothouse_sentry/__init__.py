"""Sentry's SDKs: what they send becomes Pilothouse's signals."""
