"""The pages of notifications: one's own, live; what one is told; the bell; channels and deliveries for admins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

import msgspec
from flask import Response, request, url_for

from pilothouse.sdk import (
    DEFAULT_LIMIT,
    HOUR,
    MINUTE,
    ConsoleView,
    Invalid,
    PilothouseError,
    Undo,
    current_prefs,
    done,
    expose,
    formats,
    fragment,
    needs,
    now,
    page_of,
    poll_etag,
    read_cursor,
    require,
    tagged,
    to_datetime,
    unchanged,
    unit_of_work,
    write_cursor,
)
from pilothouse_notifications import api, categories, channels, delivering, preferences, queries, sending, service
from pilothouse_notifications.permissions import CHANGE, DELIVERIES, MANAGE, VIEW
from pilothouse_notifications.queries import DeliveryFilters, Filters

BACK = "-"  # what the cursor of the page before starts with
BELL_LINES = 8
TOASTS = 3  # at most; what is more is behind the bell
TOAST_AGE = MINUTE  # an event that is older is no news to a page that opens now
MORNING = time(8)  # when what was put away for a day comes back
SELECTED = 500
ICONS = {"success": "succeeded", "error": "critical", "warning": "alert", "info": "info"}
TONES = {"success": "ok", "error": "bad", "warning": "warn", "info": "run"}
STATUS_TONES = {"sent": "ok", "held": "run", "folded": "idle", "muted": "idle", "failed": "bad"}


class NotificationsView(ConsoleView):
    """What the reader was told, what they want to be told, and where the team is told."""

    title = "Notifications"
    path = "/notifications"
    permission = VIEW

    @expose("/")
    def index(self) -> Any:
        """Show one's own notifications, live; the bell asks for its panel and for what is unread."""
        if fragment() == "bell":
            rows = queries.page(_reader(), Filters(), BELL_LINES)[:BELL_LINES]
            return _fragment(self.render("notifications/_bell.html", rows=rows, icons=ICONS, tones=TONES))
        if fragment() == "unread":
            return _unread()
        return self.live("notifications/list.html", "notifications/_rows.html", api.topics(), self._list, meta=_meta)

    def _list(self) -> dict[str, Any]:
        reader = _reader()
        unread, snoozed = request.args.get("unread") == "true", request.args.get("snoozed") == "true"
        category = request.args.get("category") or None
        filters = Filters(unread or None, category, snoozed or None)
        rows, older, newer = _page(reader, filters, request.args.get("cursor"))
        counts = queries.unread_by_kind(reader)
        return {
            "rows": rows, "days": _days(rows), "older": older, "newer": newer, "unread_only": unread, "category": category,
            "snoozed_only": snoozed, "tomorrow": _tomorrow(), "zone": current_prefs().zone,
            "counts": counts, "groups": [(name, categories.group_title(name)) for name in categories.groups()],
            "titles": {category.name: category.title for category in categories.every()}, "icons": ICONS, "tones": TONES,
            "first_use": not rows and not unread and not snoozed and category is None, "live": not request.args.get("cursor"),
        }  # fmt: skip

    @expose("/<notification_id>/read", methods=("POST",))
    @needs(CHANGE)
    def read(self, notification_id: str) -> Response:
        """Mark one as read; also what a click on its link sends."""
        return self._mark(notification_id, read=True)

    @expose("/<notification_id>/unread", methods=("POST",))
    @needs(CHANGE)
    def unread(self, notification_id: str) -> Response:
        """Mark one as unread."""
        return self._mark(notification_id, read=False)

    def _mark(self, notification_id: str, *, read: bool) -> Response:
        with unit_of_work():
            service.mark(_reader(), notification_id, read=read)
        back = url_for(".unread" if read else ".read", notification_id=notification_id)
        return done("Marked as read" if read else "Marked as unread", url_for(".index"), undo=Undo(back, {}))

    @expose("/<notification_id>/snooze", methods=("POST",))
    @needs(CHANGE)
    def snooze(self, notification_id: str) -> Response:
        """Put one away: for an hour, until tomorrow morning, or until the morning of a day, by the reader's clock."""
        until = _chosen_moment(request.form.get("until", ""), request.form.get("day", ""))
        with unit_of_work():
            service.snooze(_reader(), notification_id, until)
        back = Undo(url_for(".unread", notification_id=notification_id), {})
        words = formats.moment(until, current_prefs().zone)
        return done(f"Put away until {words}", url_for(".index"), undo=back)

    @expose("/bulk/read", methods=("POST",))
    @needs(CHANGE)
    def read_many(self) -> Response:
        """Mark the selected ones as read."""
        with unit_of_work():
            marked = service.mark_some(_reader(), request.form.getlist("id")[:SELECTED], read=True)
        return done(f"Marked {marked} as read", url_for(".index"))

    @expose("/read-all", methods=("POST",))
    @needs(CHANGE)
    def read_all(self) -> Response:
        """Mark all as read, or those of a group."""
        with unit_of_work():
            marked = service.mark_all(_reader(), request.form.get("category") or None)
        return done(f"Marked {marked} as read", url_for(".index"))

    @expose("/preferences")
    def preferences(self) -> str:
        """Show what one is told, and when."""
        return self._preferences()

    def _preferences(self, problem: str = "") -> str:
        choices = preferences.of_person(_reader())
        by_group: dict[str, list[Any]] = {}
        for category in preferences.offered(require(VIEW).role):
            by_group.setdefault(category.group, []).append(category)
        return self.render(
            "notifications/preferences.html", choices=choices,
            groups=[(name, categories.group_title(name), found) for name, found in by_group.items()],
            channels=(("in_app", "Console"), ("email", "E-mail")), zone=current_prefs().zone_name, problem=problem,
            quiet_from=preferences.clock_text(choices.quiet_from), quiet_to=preferences.clock_text(choices.quiet_to),
        )  # fmt: skip

    @expose("/preferences", methods=("POST",))
    @needs(CHANGE)
    def choose(self) -> Any:
        """Keep the matrix: each cell that is shown is on or off."""
        wanted = set(request.form.getlist("on"))
        chosen: dict[str, dict[str, bool]] = {}
        for category in preferences.offered(require(CHANGE).role):
            for name in (category.group, category.name):
                chosen[name] = {channel: f"{name}:{channel}" in wanted for channel in preferences.CHANNELS}
        with unit_of_work():
            preferences.choose(_reader(), chosen)
        return _saved()

    @expose("/preferences/schedule", methods=("POST",))
    @needs(CHANGE)
    def schedule(self) -> Any:
        """Keep quiet hours and digest."""
        form = request.form
        try:
            with unit_of_work():
                zone = form.get("tz") or "UTC"
                preferences.set_quiet_hours(_reader(), form.get("from") or None, form.get("to") or None, zone)
                preferences.set_digest(_reader(), form.get("digest", "off"))
        except Invalid as fault:
            return Response(self._preferences(fault.detail), fault.status)
        return done("Saved", url_for(".preferences"))

    @expose("/channels")
    @needs(MANAGE)
    def channels(self) -> str:
        """List the channels."""
        return self._channels()

    def _channels(self, *, problem: str = "", secret: str = "", named: str = "") -> str:
        rows = [(row, msgspec.json.decode(row.categories)) for row in queries.channels()]
        choosable = [(category.name, category.title) for category in categories.every()]
        return self.render(
            "notifications/channels.html", rows=rows, kinds=channels.KINDS, choosable=choosable, problem=problem,
            secret=secret, named=named, form=request.form, tab="channels",
        )  # fmt: skip

    @expose("/channels", methods=("POST",))
    @needs(MANAGE)
    def add_channel(self) -> Any:
        """Make a channel; a webhook's secret is shown on this very page and never again."""
        form = request.form
        try:
            with unit_of_work():
                channel, secret = channels.create(
                    form.get("name", ""), form.get("kind", ""), form.get("url", "").strip(), form.getlist("categories")
                )
                name = channel.name
        except PilothouseError as fault:
            return Response(self._channels(problem=fault.detail), fault.status)
        response = Response(self._channels(secret=secret or "", named=name))
        response.headers["Cache-Control"] = "no-store"
        return response

    @expose("/channels/<channel_id>/<act>", methods=("POST",))
    @needs(MANAGE)
    def act_on_channel(self, channel_id: str, act: str) -> Response:
        """Switch a channel on or off, test it, or delete it."""
        if act == "test":
            return self._test(channel_id)
        with unit_of_work():
            if act == "delete":
                channels.remove(channel_id)
            elif act in {"on", "off"}:
                channels.change(channel_id, {"enabled": act == "on"})
            else:
                raise Invalid("This is no act on a channel.")
        words = {"delete": "The channel is deleted", "on": "The channel is on", "off": "The channel is off"}
        return done(words[act], url_for(".channels"))

    def _test(self, channel_id: str) -> Response:
        channel = queries.channel(channel_id)
        outcome = sending.send(channel, sending.test_message(channel.name))
        if outcome.result == "sent":
            return done("The test was sent", url_for(".channels"))
        return done(f"The test failed: {outcome.error}", url_for(".channels"), tone="error")

    @expose("/deliveries")
    @needs(DELIVERIES)
    def deliveries(self) -> str:
        """Show the log: who was told what, by which way, or why not."""
        status, lane = request.args.get("status") or None, request.args.get("channel_id") or None
        filters = DeliveryFilters(lane, status, request.args.get("event_id") or None)
        cursor = request.args.get("cursor")
        found = queries.deliveries(filters, DEFAULT_LIMIT, read_cursor(cursor) if cursor else None)
        rows, older = page_of(found, DEFAULT_LIMIT, lambda row: (row.created_at, row.id))
        return self.render(
            "notifications/deliveries.html", rows=rows, older=older, status=status, tab="deliveries",
            statuses=STATUS_TONES, filtered=filters != DeliveryFilters(),
        )  # fmt: skip

    @expose("/deliveries/<delivery_id>/replay", methods=("POST",))
    @needs(DELIVERIES)
    def replay(self, delivery_id: str) -> Response:
        """Let a failed delivery go out again."""
        with unit_of_work():
            delivering.replay(delivery_id)
        return done("It is sent again", url_for(".deliveries"))


def _tomorrow() -> date:
    return to_datetime(now()).astimezone(current_prefs().zone).date() + timedelta(days=1)


def _chosen_moment(until: str, day: str) -> int:
    """Return the moment of a choice of the snooze menu. Raises Invalid."""
    if until == "hour":
        return now() + HOUR
    try:
        morning = _tomorrow() if until == "tomorrow" else date.fromisoformat(day)
        return round(datetime.combine(morning, MORNING, current_prefs().zone).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Invalid.field("day", "must be a day such as 2026-11-30") from None


def unread_badge() -> int | None:
    """Return how many notifications the reader has not read: the number on the bell."""
    return queries.unread_count(_reader())


def _reader() -> str:
    return queries.reader_of(require(VIEW)) or ""


def _unread() -> Response:
    """Answer the bell's question: how many are unread, and what is new enough for a toast; 304 where nothing changed."""
    etag = poll_etag(api.topics())
    same = unchanged(etag)
    if same is None:
        known = _news(_reader())
        response = Response(json.dumps(known), mimetype="application/json")
        response.headers["X-Ph-Meta"] = json.dumps(known)
        same = tagged(response, etag)
    return _fragment(same)


def _fragment(answer: str | Response) -> Response:
    response = Response(answer) if isinstance(answer, str) else answer
    response.headers["Cache-Control"] = "no-store"
    response.vary.update(("Cookie", "X-Ph-Fragment"))
    return response


def _news(reader: str) -> dict[str, Any]:
    fresh = [row for row in queries.page(reader, Filters(unread=True), TOASTS) if row.created_at > now() - TOAST_AGE]
    toasts = [
        {"id": row.id, "title": row.title, "text": row.message[:140], "tone": row.type, "url": row.action_url,
         "label": row.action_label or "View"} for row in reversed(fresh[:TOASTS])
    ]  # fmt: skip
    return {"unread": queries.unread_count(reader), "toasts": toasts}


def _meta(shown: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: shown["counts"].get(name, 0) for name, _ in shown["groups"]}
    unread = sum(shown["counts"].values())
    return {"counts": {"unread": unread, **counts}, "unread": unread}


def _page(reader: str, filters: Filters, cursor: str | None) -> tuple[list[Any], str | None, str | None]:
    """Return a page's rows and the cursors of the older and the newer page."""
    if cursor and cursor.startswith(BACK):
        rows = queries.newer(reader, filters, DEFAULT_LIMIT, read_cursor(cursor.removeprefix(BACK)))
        more, rows = len(rows) > DEFAULT_LIMIT, list(reversed(rows[:DEFAULT_LIMIT]))
        return rows, _cursor(rows[-1]) if rows else None, BACK + _cursor(rows[0]) if more else None
    rows = queries.page(reader, filters, DEFAULT_LIMIT, read_cursor(cursor) if cursor else None)
    more, rows = len(rows) > DEFAULT_LIMIT, rows[:DEFAULT_LIMIT]
    return rows, _cursor(rows[-1]) if more else None, BACK + _cursor(rows[0]) if cursor and rows else None


def _cursor(row: Any) -> str:
    return write_cursor(row.created_at, row.id)


def _days(rows: list[Any]) -> dict[str, str]:
    """Return the heading before each row that begins a day of the reader's zone, by the row's id."""
    zone = current_prefs().zone
    today = to_datetime(now()).astimezone(zone).date()
    headings, last = {}, None
    for row in rows:
        day = to_datetime(row.created_at).astimezone(zone).date()
        if day != last:
            ago = (today - day).days
            headings[row.id] = "Today" if ago <= 0 else "Yesterday" if ago == 1 else f"{day:%A, %B} {day.day}, {day.year}"
        last = day
    return headings


def _saved() -> Response:
    if not request.headers.get("X-Ph-Async"):
        return done("Saved", url_for("notifications.preferences"))
    response = Response(json.dumps({"toast": {"title": "Saved"}}), mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
