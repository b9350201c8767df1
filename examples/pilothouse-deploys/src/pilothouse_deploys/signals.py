"""The signal type that this plugin adds to the five of the core."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pilothouse.sdk import Moment, Signal

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class Deploy(Signal, frozen=True, kw_only=True, omit_defaults=True, tag="deploy"):
    """A version of a service that was brought out; `at` is when, now if left out."""

    service: Name
    version: Name
    environment: Name | None = None
    by: Name | None = None
    at: Moment | None = None
