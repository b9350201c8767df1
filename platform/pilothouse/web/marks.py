"""Small graphics without axes: histogram strip, sparkline, bars of a row, meter. SVG geometry only, no inline style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

TALL = 56
ORDER = (("failed", "c-bad"), ("waiting", "c-wait"), ("running", "c-run"), ("other", "c-neutral"))
SPIKE_LEAST, SPIKE_TIMES = 8, 4  # a bar turns red from 8 events on, and over 4 times the mean


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bar of a histogram: what it says, where a click leads, and its counts by "failed", "running", "other"."""

    label: str
    href: str
    counts: Mapping[str, int]


def histogram(buckets: Sequence[Bucket], title: str) -> Markup:
    """Draw stacked bars, at most about 100, each under a link that zooms into its time.

    All bars of one tone are one path: a rectangle each would be half of the page that the strip stands on.
    """
    top = max((sum(bucket.counts.values()) for bucket in buckets), default=0) or 1
    width = 1000 / max(1, len(buckets))
    drawn: dict[str, list[str]] = {tone: [] for _, tone in ORDER}
    for index, bucket in enumerate(buckets):
        _stack(drawn, bucket, index * width, width, top)
    path = Markup('<path class="{}" d="{}"/>')
    bars = Markup("").join(path.format(tone, "".join(parts)) for tone, parts in drawn.items() if parts)
    links = Markup("").join(_link(bucket, index * width, width) for index, bucket in enumerate(buckets))
    return Markup(
        '<svg class="hist" viewBox="0 0 1000 {}" preserveAspectRatio="none" role="group" aria-label="{}">{}{}</svg>'
    ).format(TALL, title, bars, links)


def _stack(drawn: Mapping[str, list[str]], bucket: Bucket, x: float, width: float, top: int) -> None:
    floor = float(TALL)
    for name, tone in ORDER:
        number = bucket.counts.get(name, 0)
        if number:
            tall = max(1.5, number / top * (TALL - 2))  # a single failure among thousands stays visible
            drawn[tone].append(f"M{x + width * 0.09:.1f} {floor:.1f}v-{min(tall, floor):.1f}h{width * 0.82:.1f}V{floor:.1f}z")
            floor -= tall


def _link(bucket: Bucket, x: float, width: float) -> Markup:
    # Out of the tab order: a hundred stops would bury the list, and the range menu does the same by keyboard.
    link = Markup('<a href="{}" tabindex="-1"><title>{}</title><rect class="hit" x="{:.1f}" width="{:.1f}" height="{}"/></a>')
    return link.format(bucket.href, bucket.label, x, width, TALL)


def spark(values: Sequence[float | None]) -> Markup:
    """Draw a line without axes; decorative, since the figure stands beside it."""
    known = [value or 0 for value in values]
    if len(known) < 2:  # noqa: PLR2004 - a line needs two points
        return Markup("")
    low, high = min(known), max(known)
    step = 100 / (len(known) - 1)
    scale = 26 / ((high - low) or 1)
    points = "L".join(f"{index * step:.1f} {28 - (value - low) * scale:.1f}" for index, value in enumerate(known))
    return Markup(
        '<svg class="spark" viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true"><path d="M{}"/></svg>'
    ).format(points)


def bars(values: Sequence[int], title: str) -> Markup:
    """Draw a row's own bars; one that stands out (see SPIKE_*) is red. All of one tone are one path."""
    top, mean = max(values, default=0) or 1, sum(values) / max(1, len(values))
    width = 100 / max(1, len(values))
    drawn: dict[str, list[str]] = {"c-neutral": [], "c-bad": []}
    for index, value in enumerate(values):
        tall = max(1.0 if value else 0.6, value / top * 26)
        tone = "c-bad" if value >= SPIKE_LEAST and value > SPIKE_TIMES * mean else "c-neutral"
        drawn[tone].append(f"M{index * width:.2f} 26v-{tall:.1f}h{width * 0.72:.2f}V26z")
    path = Markup('<path class="{}" d="{}"/>')
    paths = Markup("").join(path.format(tone, "".join(parts)) for tone, parts in drawn.items() if parts)
    return Markup(
        '<svg class="bars" viewBox="0 0 100 26" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(title, paths)


def meter(value: float, most: float, tone: str = "c1") -> Markup:
    """Draw a share as a bar; decorative, since the figure stands beside it."""
    share = 0 if not most else min(100.0, max(0.0, value / most * 100))
    bar = Markup('<svg class="meter {}" aria-hidden="true"><rect width="{:.2f}%" height="5" rx="2.5"/></svg>')
    return bar.format(tone, share)


@dataclass(frozen=True, slots=True)
class Lane:
    """A bar on a timeline: where it starts and how long it is, in percent of the whole span, and its tone."""

    start: float
    width: float
    tone: str = "c1"


def lane(bar: Lane) -> Markup:
    """Draw one row of a timeline, whose grid is the style's; a bar is never thinner than 0.4 percent."""
    width = min(max(0.4, bar.width), 100.0)
    start = min(max(0.0, bar.start), 100 - width)
    return Markup(
        '<svg class="lane" aria-hidden="true"><rect class="{}" x="{:.2f}%" y="2" width="{:.2f}%" height="10" rx="2"/></svg>'
    ).format(bar.tone, start, width)
