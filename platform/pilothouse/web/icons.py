"""The icon set: 16 px, 1.5 px strokes, drawn for Pilothouse and inlined, so that no request is made for one."""

from __future__ import annotations

from markupsafe import Markup

_CIRCLE = '<circle cx="8" cy="8" r="6.25"/>'

# The inside of each <svg viewBox="0 0 16 16">; stroke and fill come from the style sheet.
GLYPHS = {
    "activity": '<path d="M1.5 8h2.8L6 3l3.6 10.2L11.6 8h2.9"/>',
    "alert": '<path d="M8 2.2 1.6 13.4h12.8z"/><path d="M8 6.6v3M8 11.6v.1"/>',
    "arrow-down": '<path d="M8 3v10M4 9l4 4 4-4"/>',
    "arrow-up": '<path d="M8 13V3M4 7l4-4 4 4"/>',
    "bell": '<path d="M4.2 11V7.2a3.8 3.8 0 0 1 7.6 0V11l1.1 1.2H3.1zM6.8 14h2.4"/>',
    "bookmark": '<path d="M4 2.5h8v11L8 10.6l-4 2.9z"/>',
    "box": '<path d="M8 1.8 13.6 5v6L8 14.2 2.4 11V5zM2.5 5 8 8.2 13.5 5M8 8.2v6"/>',
    "bug": '<path d="M5 6.6A3 3 0 0 1 8 4a3 3 0 0 1 3 2.6v3.2a3 3 0 0 1-6 0zM5.8 4.6 4.4 2.9M10.2 4.6l1.4-1.7'
           'M5 8.3H1.9M11 8.3h3.1M5.2 11l-2.4 1.8M10.8 11l2.4 1.8M5.2 6.2 3 4.9M10.8 6.2 13 4.9"/>',
    "cancelled": _CIRCLE + '<path d="m3.8 12.2 8.4-8.4"/>',
    "chart": '<path d="M2 2.5v11h12M5.4 10.6V8M8.4 10.6V4.8M11.4 10.6V6.6"/>',
    "check": '<path d="m3 8.6 3.2 3.2L13 4.6"/>',
    "chevron": '<path d="m4 6 4 4 4-4"/>',
    "chevron-left": '<path d="m10 4-4 4 4 4"/>',
    "chevron-right": '<path d="m6 4 4 4-4 4"/>',
    "clock": _CIRCLE + '<path d="M8 4.4V8l2.4 1.6"/>',
    "code": '<path d="m5.2 4.6-3.4 3.4 3.4 3.4M10.8 4.6l3.4 3.4-3.4 3.4"/>',
    "coins": '<ellipse cx="8" cy="4.2" rx="5.2" ry="2.2"/><path d="M2.8 4.2v7.6c0 1.2 2.3 2.2 5.2 2.2s5.2-1 5.2-2.2V4.2'
             'M2.8 8c0 1.2 2.3 2.2 5.2 2.2s5.2-1 5.2-2.2"/>',
    "copy": '<path d="M5.5 5.5h8v8h-8z"/><path d="M10.5 5.5v-3h-8v8h3"/>',
    "critical": _CIRCLE + '<path d="M8 4.6v4M8 11.1v.1"/>',
    "cross": '<path d="m4 4 8 8M12 4l-8 8"/>',
    "database":
        '<ellipse cx="8" cy="4" rx="5" ry="2"/><path d="M3 4v8c0 1.1 2.2 2 5 2s5-.9 5-2V4M3 8c0 1.1 2.2 2 5 '
        '2s5-.9 5-2"/>',
    "dots": '<path d="M3.5 8h.1M8 8h.1M12.5 8h.1"/>',
    "download": '<path d="M8 2.2v8M4.8 7.4 8 10.6l3.2-3.2M2.4 13.6h11.2"/>',
    "external": '<path d="M9.2 2.6h4.2v4.2M13.2 2.8 7.6 8.4M11 9.4v4H2.6V5h4"/>',
    "failed": _CIRCLE + '<path d="m5.9 5.9 4.2 4.2M10.1 5.9l-4.2 4.2"/>',
    "filter": '<path d="M2 4h12M4.4 8h7.2M6.6 12h2.8"/>',
    "flag": '<path d="M3.5 14V2.6M3.5 3h8.6l-1.8 3 1.8 3H3.5"/>',
    "helm": '<circle cx="8" cy="8" r="4"/><circle cx="8" cy="8" r="1.1"/>'
            '<path d="M8 1v3M8 12v3M1 8h3M12 8h3M3 3l2.2 2.2'
            'M10.8 10.8 13 13M13 3l-2.2 2.2M5.2 10.8 3 13"/>',
    "info": _CIRCLE + '<path d="M8 7.4v3.8M8 4.9V5"/>',
    "key": '<circle cx="5" cy="11" r="2.8"/><path d="m7 9 6.4-6.4M10.4 5.6l2.2 2.2"/>',
    "keyboard": '<path d="M1.5 4h13v8.5h-13zM4 6.8h.1M6.6 6.8h.1M9.2 6.8h.1M11.9 6.8h.1M4 9.9h8"/>',
    "link":
        '<path d="m6.6 9.4 2.8-2.8M7.4 4.8l1.4-1.4a2.7 2.7 0 0 1 3.8 3.8l-1.4 1.4M8.6 11.2l-1.4 1.4a2.7 2.7 '
        '0 0 1-3.8-3.8l1.4-1.4"/>',
    "list": '<path d="M5.6 4h8.2M5.6 8h8.2M5.6 12h8.2M2.4 4h.1M2.4 8h.1M2.4 12h.1"/>',
    "logout": '<path d="M6.4 2.6H2.8v10.8h3.6M10.2 5l3 3-3 3M13 8H6.2"/>',
    "loop": '<path d="M13.2 8a5.2 5.2 0 1 1-1.6-3.8M13 2.2v2.9h-2.9"/>',
    "lost": _CIRCLE + '<path d="M6.3 6.3A1.8 1.8 0 1 1 8 8.6v.8M8 11.5v.1"/>',
    "low": '<path d="M3.4 8h9.2"/>',
    "mail": '<path d="M1.8 3.6h12.4v8.8H1.8zM2 4l6 4.8L14 4"/>',
    "menu": '<path d="M2 4.2h12M2 8h12M2 11.8h12"/>',
    "model": '<path d="M8 1.8v2.4M8 11.8v2.4M1.8 8h2.4M11.8 8h2.4M4.2 4.2h7.6v7.6H4.2zM6.6 6.6h2.8v2.8H6.6z"/>',
    "moon": '<path d="M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8z"/>',
    "pause": _CIRCLE + '<path d="M6.4 5.8v4.4M9.6 5.8v4.4"/>',
    "peek": '<path d="M1.8 2.8h12.4v10.4H1.8zM9.4 2.8v10.4"/>',
    "people":
        '<circle cx="6" cy="5.4" r="2.4"/><path d="M1.6 13.4a4.4 4.4 0 0 1 8.8 0M10.6 3.2a2.4 2.4 0 0 1 0 '
        '4.4M12 9.6a4.4 4.4 0 0 1 2.4 3.8"/>',
    "play": '<path d="M4.6 2.8v10.4L13 8z"/>',
    "plug": '<path d="M5.4 1.8v3.4M10.6 1.8v3.4M3.4 5.2h9.2v2.2a4.6 4.6 0 0 1-9.2 0zM8 12v2.4"/>',
    "plus": '<path d="M8 3v10M3 8h10"/>',
    "queued": '<circle cx="8" cy="8" r="6.25" stroke-dasharray="2.4 2.5"/>',
    "robot": '<path d="M2.8 5.4h10.4v7.8H2.8zM8 2.4v3M5.8 8.6v1M10.2 8.6v1M1.2 8.4v2.4M14.8 8.4v2.4"/>',
    "running": '<path d="M8 1.75A6.25 6.25 0 1 1 1.75 8"/>',
    "search": '<circle cx="7" cy="7" r="4.6"/><path d="m10.4 10.4 3.8 3.8"/>',
    "send": '<path d="M14 2 1.8 6.6l5 2.4 2.4 5zM6.8 9 14 2"/>',
    "server": '<path d="M2 2.8h12v4.4H2zM2 8.8h12v4.4H2zM4.6 5h.1M4.6 11h.1"/>',
    "settings":
        '<circle cx="5.2" cy="4.6" r="1.8"/><circle cx="10.8" cy="11.4" r="1.8"/><path d="M7 4.6h7M2 '
        '4.6h1.4M2 11.4h7M12.6 11.4H14"/>',
    "stop": '<path d="M4.2 4.2h7.6v7.6H4.2z"/>',
    "succeeded": _CIRCLE + '<path d="m5.2 8.2 2 2 3.6-4.2"/>',
    "sun": '<circle cx="8" cy="8" r="2.8"/>'
           '<path d="M8 1.2v1.6M8 13.2v1.6M1.2 8h1.6M13.2 8h1.6M3.2 3.2l1.1 1.1M11.7 11.7l1.1 1.1'
           'M12.8 3.2l-1.1 1.1M4.3 11.7l-1.1 1.1"/>',
    "table": '<path d="M2 2.8h12v10.4H2zM2 6.2h12M6.4 6.2v7"/>',
    "tag": '<path d="M2.2 2.2h5.4l6.2 6.2-5.4 5.4-6.2-6.2zM5.2 5.2h.1"/>',
    "terminal": '<path d="M1.8 2.8h12.4v10.4H1.8zM4.6 6l2.2 2-2.2 2M8.4 10.2h3"/>',
    "timed-out": '<circle cx="8" cy="9" r="5"/><path d="M8 6.2V9l1.6 1.6M6.4 1.8h3.2M8 1.8V4M12.4 4.2l.8.8"/>',
    "tool":
        '<path d="M9.8 6.2 3 13a1.4 1.4 0 0 1-2-2l6.8-6.8a3.4 3.4 0 0 1 4.6-2.4l-2.2 2.2.4 1.8 1.8.4 '
        '2.2-2.2A3.4 3.4 0 0 1 9.8 6.2z"/>',
    "trash": '<path d="M2.4 4.2h11.2M6 4V2.4h4V4M3.8 4.2l.6 9.4h7.2l.6-9.4M6.6 6.8v4M9.4 6.8v4"/>',
    "waiting": _CIRCLE + '<path d="M6.4 5.8v4.4M9.6 5.8v4.4"/>',
}


def icon(name: str, cls: str = "") -> Markup:
    """Return an icon as inline SVG, hidden from readers: the word beside it says the same. Raises KeyError."""
    classes = f"i {cls}" if cls else "i"
    glyph = Markup(GLYPHS[name])  # noqa: S704 - a constant of this module
    return Markup('<svg class="{}" viewBox="0 0 16 16" aria-hidden="true">{}</svg>').format(classes, glyph)
