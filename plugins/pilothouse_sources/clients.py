"""Who a client is, by the name that it introduces itself with: `OTel-OTLP-Exporter-Python/1.45.0`, `langfuse-python 5.0.1`."""

from __future__ import annotations

import functools
import re

from pilothouse_sources.models import LONGEST_CLIENT, LONGEST_VERSION

UNNAMED = "(unnamed)"
KEPT = 1_024
_NAMED = re.compile(r"([^/(;,]*[^/(;,\s])[/ ]v?(\d[^\s/(;,]*)")
_UNSEEN = re.compile(r"[^\x20-\x7e]")


@functools.lru_cache(maxsize=KEPT)
def client_of(told: str) -> tuple[str, str]:
    """Return name and version of a client; what is not printable in the name is left out."""
    plain = _UNSEEN.sub("", told).strip()
    match = _NAMED.match(plain)
    name = match[1] if match is not None else plain.split("/")[0]
    return name[:LONGEST_CLIENT].strip() or UNNAMED, match[2][:LONGEST_VERSION] if match is not None else ""
