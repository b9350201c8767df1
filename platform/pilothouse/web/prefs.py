"""What a reader chose for this browser: theme, density, absolute times, time zone, single-key shortcuts. Cookies only.

They are no secrets and no permissions, so a cookie is the right place: the first paint is right without a script, and
the sign-in page has them too. Values that are not known are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from functools import lru_cache
from urllib.parse import unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import Response, has_request_context, request

YEAR_S = 31_536_000
CHOICES = {
    "theme": ("system", "light", "dark"),
    "density": ("default", "compact", "roomy"),
    "times": ("relative", "absolute"),
    "keys": ("on", "off"),
}


@dataclass(frozen=True, slots=True)
class Prefs:
    """The reader's choices; `zone_name` is an IANA name."""

    theme: str = "system"
    density: str = "default"
    times: str = "relative"
    keys: str = "on"
    zone_name: str = "UTC"

    @property
    def zone(self) -> tzinfo:
        """The reader's time zone."""
        return _zone(self.zone_name)


@lru_cache(maxsize=128)
def _zone(name: str) -> tzinfo:
    return ZoneInfo(name)


def current_prefs() -> Prefs:
    """Read the choices of the browser that asks; the defaults outside of a request."""
    if not has_request_context():
        return Prefs()
    known = {
        name: value
        for name, allowed in CHOICES.items()
        if (value := request.cookies.get(f"ph_{name}", "")) in allowed
    }
    return Prefs(**known, zone_name=_known_zone(unquote(request.cookies.get("ph_zone", "UTC"))))


@lru_cache(maxsize=512)
def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"
    return name


def remember(response: Response, name: str, value: str) -> bool:
    """Set one choice's cookie; answers False, and sets nothing, for a name or value that is not known."""
    if value not in CHOICES.get(name, ()):
        return False
    response.set_cookie(f"ph_{name}", value, max_age=YEAR_S, samesite="Lax", secure=request.is_secure)
    return True
