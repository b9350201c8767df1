"""Small marked-up pieces that every page shows: moments, durations, pills, deltas, avatars.

Functions rather than template macros, because a list of fifty rows calls them some hundred times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from pilothouse import clock
from pilothouse.web import formats
from pilothouse.web.icons import icon
from pilothouse.web.prefs import current_prefs

Tone = Literal["ok", "bad", "run", "warn", "wait", "idle"]


@dataclass(frozen=True, slots=True)
class Word:
    """How one state is shown: icon, word, tone, and whether it is quiet (no tint)."""

    icon: str
    word: str
    tone: Tone
    plain: bool = False


STATUSES = {
    "queued": Word("queued", "Queued", "idle"),
    "running": Word("running", "Running", "run"),
    "succeeded": Word("succeeded", "Succeeded", "ok", plain=True),
    "failed": Word("failed", "Failed", "bad"),
    "timed_out": Word("timed-out", "Timed out", "warn"),
    "cancelled": Word("cancelled", "Cancelled", "idle", plain=True),
    "lost": Word("lost", "Lost", "warn"),
    "open": Word("bug", "Open", "idle", plain=True),
    "resolved": Word("succeeded", "Resolved", "ok"),
    "ignored": Word("cancelled", "Ignored", "idle", plain=True),
    "regressed": Word("loop", "Regressed", "bad"),
    "active": Word("succeeded", "Active", "ok", plain=True),
    "invited": Word("mail", "Invited", "run"),
    "suspended": Word("pause", "Suspended", "warn"),
    "expired": Word("timed-out", "Expired", "warn"),
    "revoked": Word("cancelled", "Revoked", "idle", plain=True),
    "enabled": Word("succeeded", "Enabled", "ok", plain=True),
    "disabled": Word("pause", "Disabled", "idle"),
}
SEVERITIES = {
    "critical": Word("critical", "Critical", "bad"),
    "high": Word("alert", "High", "warn"),
    "medium": Word("info", "Medium", "idle", plain=True),
    "low": Word("low", "Low", "idle", plain=True),
}
KINDS = {"agent": "robot", "llm": "model", "tool": "tool", "retrieval": "search", "task": "box", "other": "dots"}


def status(name: str, *, plain: bool = False) -> Markup:
    """Return the pill of a status; one that is not in the vocabulary is shown as its own word, without colour."""
    return _worded(STATUSES.get(name) or Word("dots", name.replace("_", " ").capitalize(), "idle"), plain=plain)


def severity(name: str) -> Markup:
    """Return the pill of a severity."""
    return _worded(SEVERITIES.get(name) or Word("low", name.capitalize(), "idle", plain=True))


def _worded(word: Word, *, plain: bool = False) -> Markup:
    quiet = " plain" if plain or word.plain else ""
    turning = "spin" if word.icon == "running" else ""
    return Markup('<span class="pill t-{}{}">{}{}</span>').format(word.tone, quiet, icon(word.icon, turning), word.word)


def pill(text: str, tone: Tone = "idle", glyph: str = "") -> Markup:
    """Return a pill with a text of one's own."""
    shape = "" if glyph else " word"
    return Markup('<span class="pill t-{}{}">{}{}</span>').format(tone, shape, icon(glyph) if glyph else "", text)


def time(at: int | None) -> Markup:
    """Return a moment: relative and ticking, or absolute where the reader chose so; the tooltip has it exactly."""
    if at is None:
        return Markup('<span class="faint">\u2013</span>')
    prefs = current_prefs()
    if prefs.times == "absolute":
        text, ticking = formats.moment(at, prefs.zone), Markup("")
    else:
        text, ticking = formats.since(at), Markup(' data-t="{}"').format(at)
    return Markup('<time datetime="{}"{} title="{}">{}</time>').format(
        clock.to_rfc3339(at), ticking, formats.tooltip(at, prefs.zone), text
    )


def duration(ms: float | None, started_at: int | None = None) -> Markup:
    """Return a duration; where it is not over yet (`ms` is None), the time since `started_at`, which ticks."""
    if ms is None and started_at is not None:
        return Markup('<span class="nw" data-run="{}">{}</span>').format(
            started_at, formats.duration(clock.now() - started_at)
        )
    return Markup('<span class="nw">{}</span>').format(formats.duration(ms))


def delta(
    current: float | None,
    previous: float | None,
    good: Literal["up", "down", "none"] = "none",
    *,
    points: bool = False,
    enough: bool = True,
) -> Markup:
    """Return a change against an earlier period, with its arrow.

    Coloured only where it matters: at least 5 % (or 0.5 points for shares), and `enough` observations in both periods.
    """
    if current is None or previous is None or (not points and not previous):
        return Markup('<span class="delta">no earlier data</span>')
    change = current - previous if points else (current - previous) / abs(previous)
    size = abs(change) * 100
    matters = enough and size >= (0.5 if points else 5)
    tone = "" if good == "none" or not matters else " t-ok" if (change > 0) == (good == "up") else " t-bad"
    text = f"{size:.1f}{formats.NBSP}pts" if points else formats.percent(size / 100)
    arrow = icon("low") if round(size, 1) == 0 else icon("arrow-up" if change > 0 else "arrow-down")
    said = "unchanged" if round(size, 1) == 0 else "up" if change > 0 else "down"
    return Markup('<span class="delta{}">{}<span class="vh">{} </span>{}</span>').format(tone, arrow, said, text)


def words(text: str) -> Markup:
    """Return a text in which `backticks` mark code, as documentation and remedies are written."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a lone backtick at the end marks nothing
        parts[-2:] = ["`".join(parts[-2:])]
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if index % 2 else escape(part) for index, part in enumerate(parts))


def avatar(name: str) -> Markup:
    """Return a person's initials in a circle; the name itself stands beside it."""
    return Markup('<span class="avatar" aria-hidden="true">{}</span>').format(formats.initials(name))


def kind_icon(kind: str, tone: str = "") -> Markup:
    """Return the icon of a step's kind, in the colour that its bar has while nothing is wrong."""
    return icon(KINDS.get(kind, "dots"), tone)
