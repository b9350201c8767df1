"""How figures read: durations, moments, money, counts, shares. console.js prints the same forms.

Missing is an en dash. Units stand after a no-break space, so that a figure never breaks over two lines.
"""

from __future__ import annotations

import re
from datetime import tzinfo

from pilothouse import clock

NBSP = "\u00a0"
MISSING = "\u2013"
NANO = 1_000_000_000  # nano-dollars in a dollar
_ZEROS = re.compile(rf"\.0(?={NBSP})|{NBSP}00{NBSP}[smh]$")
ACRONYMS = frozenset({"api", "cli", "http", "llm", "sdk", "ui"})
JUST_NOW = 5 * clock.SECOND  # younger than this reads "now": a figure that jumps each second tells nothing


def duration(ms: float | None) -> str:
    """Write milliseconds as `464 ms`, `1.9 s`, `1 m 07 s`, `2 h 14 m` or `3 d 04 h`, rounded to what is shown."""
    if ms is None:
        return MISSING
    whole = _rounded(max(0.0, ms))
    if whole < clock.SECOND:
        return f"{whole}{NBSP}ms"
    if whole < clock.MINUTE:
        return f"{whole / clock.SECOND:.1f}{NBSP}s"
    if whole < clock.HOUR:
        return _pair(whole, clock.MINUTE, "m", clock.SECOND, "s")
    if whole < clock.DAY:
        return _pair(whole, clock.HOUR, "h", clock.MINUTE, "m")
    return _pair(whole, clock.DAY, "d", clock.HOUR, "h")


def _rounded(ms: float) -> int:
    """Round to the unit that is shown last, in steps, so that 59,960 ms reads `1 m 00 s` and not `60.0 s`."""
    for below, unit in ((clock.SECOND, 1), (clock.MINUTE, 100), (clock.HOUR, clock.SECOND), (clock.DAY, clock.MINUTE)):
        whole = int(ms / unit + 0.5) * unit
        if whole < below:
            return whole
    return int(ms / clock.HOUR + 0.5) * clock.HOUR


def axis_duration(ms: float) -> str:
    """Write a round duration for an axis, without what is zero in it: `40 s`, `1 m 20 s`, `16 h`."""
    return _ZEROS.sub("", duration(ms))


def _pair(whole: int, big: int, big_name: str, small: int, small_name: str) -> str:
    return f"{whole // big}{NBSP}{big_name}{NBSP}{whole % big // small:02d}{NBSP}{small_name}"


def since(at: int | None, now: int | None = None) -> str:
    """Write a moment as its distance from now: `now`, `41s ago`, `16m ago`, `4h ago`, `59d ago`, `in 3h`."""
    if at is None:
        return MISSING
    distance = (clock.now() if now is None else now) - at
    if abs(distance) < JUST_NOW:
        return "now"
    span = abs(distance)
    for unit, name in ((clock.DAY, "d"), (clock.HOUR, "h"), (clock.MINUTE, "m"), (clock.SECOND, "s")):
        if span >= unit:
            text = f"{span // unit}{name}"
            break
    return f"{text} ago" if distance > 0 else f"in {text}"


def moment(at: int | None, zone: tzinfo) -> str:
    """Write a moment as `2026-11-24 09:05:12` in a zone."""
    if at is None:
        return MISSING
    return clock.to_datetime(at).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def tooltip(at: int, zone: tzinfo) -> str:
    """Write a moment exactly, in the reader's zone and in UTC."""
    utc = clock.to_datetime(at)
    exact = f"{utc:%Y-%m-%d %H:%M:%S}.{at % 1000:03d} UTC"
    local = utc.astimezone(zone)
    return exact if not local.utcoffset() else f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()} ({exact})"


def count(number: float | None) -> str:
    """Write a count with separators: `4,109`."""
    return MISSING if number is None else f"{int(number):,}"


def compact(number: float | None) -> str:
    """Write a large count short, for tokens and axes: `836`, `2.9k`, `218.7M`."""
    if number is None:
        return MISSING
    if abs(number) < 10_000:  # noqa: PLR2004 - all digits fit
        return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.1f}"
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if abs(number) >= unit * 0.99995:  # 999,950 already reads 1,000.0k with one decimal
            return f"{number / unit:.1f}".removesuffix(".0") + name
    return f"{number / 1e3:.1f}".removesuffix(".0") + "k"


def money(nano: float | None) -> str:
    """Write nano-dollars: four decimals below ten cents, else two; a trace reads `<$0.0001`, none `$0`."""
    if nano is None:
        return MISSING
    sign, dollars = ("-" if nano < 0 else ""), abs(nano) / NANO
    if dollars == 0:
        return "$0"
    if dollars < 0.00005:  # noqa: PLR2004 - rounds to nothing at four decimals
        return f"{sign}<$0.0001"
    return f"{sign}${dollars:,.2f}" if dollars >= 0.09995 else f"{sign}${dollars:.4f}"  # noqa: PLR2004 - rounds to 10 cents


def percent(share: float | None) -> str:
    """Write a share of 0 to 1 as `2.5 %`, or without decimals from ten on: `15 %`, `1,155 %`."""
    if share is None:
        return MISSING
    hundredth = share * 100
    # 9.96 would read 10.0
    return f"{hundredth:,.0f}{NBSP}%" if abs(hundredth) >= 9.95 else f"{hundredth:.1f}{NBSP}%"  # noqa: PLR2004


def size(octets: float | None) -> str:
    """Write bytes as `512 B`, `18.2 kB`, `4.1 MB` (decimal, as disks count)."""
    if octets is None:
        return MISSING
    value, names = float(octets), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(names) > 1:  # noqa: PLR2004 - the next unit
        value /= 1000
        names.pop(0)
    return f"{value:.0f}{NBSP}B" if names[0] == "B" else f"{value:.1f}{NBSP}{names[0]}"


def word(text: str) -> str:
    """Write a name of a program as a word of the page: `schedule` as `Schedule`, `api` as `API`, `OpenAI agents` as it is."""
    return text.upper() if text in ACRONYMS else text[:1].upper() + text[1:]


def initials(name: str) -> str:
    """Return up to two letters for an avatar."""
    words = [word for word in name.replace("@", " ").replace(".", " ").split() if word[0].isalnum()]
    return "".join(word[0] for word in words[:2]).upper() or "?"


FORMATS = {
    "duration": duration,
    "count": count,
    "compact": compact,
    "money": money,
    "percent": percent,
    "size": size,
}
