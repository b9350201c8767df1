"""Telemetry: events of people and components, and the analytics pages over the measures of all plugins."""
