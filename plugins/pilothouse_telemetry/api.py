"""The HTTP endpoints of telemetry and analytics."""

from __future__ import annotations

VIEW = "telemetry.analytics.view"
