"""The picture that an authenticator app scans."""

from __future__ import annotations

from markupsafe import Markup


def qr(text: str) -> Markup:
    """Return a text as a QR code in SVG, dark on light in both themes: apps read no other."""
    import segno

    return Markup(segno.make(text, error="m").svg_inline(scale=4, border=3, light="#fff", dark="#000"))  # noqa: S704 - squares only
