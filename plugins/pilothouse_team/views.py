"""The team's page: members, invitations, activity, audit log and roles, each behind its tab."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from flask import Response, request, url_for

from pilothouse.sdk import (
    ROLES,
    ConsoleView,
    Invalid,
    Principal,
    Role,
    Undo,
    User,
    active_members,
    done,
    expose,
    find_members,
    get_user,
    needs,
    outranks,
    page_of,
    read_cursor,
    read_query,
    require,
    unit_of_work,
)
from pilothouse_team import api, invites, members, queries, sending, trail
from pilothouse_team.audit_api import ActivityQuery, AuditQuery
from pilothouse_team.matrix import matrix
from pilothouse_team.permissions import ACTIVITY, AUDIT, INVITE, INVITES, MANAGE, SENTENCES, VIEW, given_by
from pilothouse_team.phrases import facts, phrase, subject

TOPICS = ("identity", api.TOPIC)
LIMIT = 100
TABS = {"members": VIEW, "invites": INVITES, "activity": ACTIVITY, "audit": AUDIT, "roles": VIEW}
LIVE = ("members", "invites")
Q = TypeVar("Q")


class TeamView(ConsoleView):
    """Who works here, with which role, and what they did."""

    title = "Team"
    path = "/team"
    permission = VIEW

    @expose("/")
    def index(self) -> Any:
        """Show one of the tabs; a poll gets only its rows. 403 for a tab that the reader may not open."""
        tab = request.args.get("tab", "members")
        tab = tab if tab in TABS else "members"
        require(TABS[tab])
        if tab in LIVE:
            return self.live("team/list.html", f"team/_{tab}.html", TOPICS, lambda: self._shown(tab))
        return self.render("team/list.html", **self._shown(tab))

    def _shown(self, tab: str) -> dict[str, Any]:
        build: Callable[[], dict[str, Any]] = getattr(self, f"_{tab}")
        total, waiting = queries.counts()
        tabs = [
            (key, title, number)
            for key, title, number in (
                ("members", "Members", total), ("invites", "Invitations", waiting), ("activity", "Activity", None),
                ("audit", "Audit log", None), ("roles", "Roles", None),
            )
            if self.may(TABS[key])
        ]  # fmt: skip
        common = {"tab": tab, "tabs": tabs, "may_invite": self.may(INVITE), "may_manage": self.may(MANAGE)}
        return {**common, **sending.choices(require(VIEW)), **build()}

    def _members(self) -> dict[str, Any]:
        query = _lenient(api.MembersQuery)
        filters = queries.MemberFilters(query.role, query.status, query.q)
        found = queries.members(filters, LIMIT, read_cursor(query.cursor) if query.cursor else None)
        rows, older = page_of(found, LIMIT, lambda row: (row.created_at, row.id))
        reader = require(VIEW)
        return {
            "rows": rows, "older": older, "query": query, "roles": ROLES, "reader": reader, "revision": _revision,
            "sessions": queries.session_counts(row.id for row in rows) if self.may(MANAGE) else {},
            "last_owner": queries.last_owner(), "inviters": find_members(row.invited_by for row in rows if row.invited_by),
            "changeable": lambda user: self.may(MANAGE) and _manages(reader, user),
        }  # fmt: skip

    def _invites(self) -> dict[str, Any]:
        query = _lenient(api.InvitesQuery)
        found = queries.invites(LIMIT, read_cursor(query.cursor) if query.cursor else None, only_open=True)
        rows, older = page_of(found, LIMIT, lambda row: (row.created_at, row.id))
        return {"rows": rows, "older": older, "given": given_by(require(VIEW)), "state": invites.state_of}

    def _activity(self) -> dict[str, Any]:
        return self._trail(_lenient(ActivityQuery))

    def _audit(self) -> dict[str, Any]:
        return self._trail(_lenient(AuditQuery))

    def _trail(self, query: ActivityQuery | AuditQuery) -> dict[str, Any]:
        filters = query.filters()
        found = trail.entries(filters, LIMIT, read_cursor(query.cursor)[0] if query.cursor else None)
        rows, older = page_of(found, LIMIT, lambda row: (row.seq, row.id))
        people = active_members()
        return {
            "rows": rows, "older": older, "query": query, "detail": msgspec.json.decode, "phrase": phrase, "subject": subject,
            "facts": facts,
            "actors": [(person.id, person.name, None) for person in people],
            "actions": [(action, action, None) for action in trail.recent_actions(filters)],
            "names": find_members({*(row.actor for row in rows), *(row.target for row in rows)}),
            "range": "custom" if query.since is not None or query.until is not None else query.range or "",
        }  # fmt: skip

    def _roles(self) -> dict[str, Any]:
        return {"groups": matrix(), "all_roles": ROLES, "sentences": SENTENCES}

    @expose("/members/<member_id>", methods=("POST",))
    @needs(MANAGE)
    def change(self, member_id: str) -> Response:
        """Change a member's role or status; the answer offers to take it back."""
        by = require(MANAGE)
        field = "status" if "status" in request.form else "role"
        with unit_of_work():
            before = str(getattr(get_user(member_id), field))
            user = members.change(member_id, by, **{field: request.form.get(field, "")})
            api.told()
        name, now = user.name or user.email, str(getattr(user, field))
        words = {"suspended": f"{name} is suspended", "active": f"{name} may sign in again"}
        undo = Undo(url_for(".change", member_id=member_id), {field: before}) if before != now else None
        return done(words.get(now, f"{name} is {now} now"), url_for(".index"), undo=undo)

    @expose("/members/<member_id>/remove", methods=("POST",))
    @needs(MANAGE)
    def remove(self, member_id: str) -> Response:
        """Remove a member."""
        with unit_of_work():
            user = get_user(member_id)
            members.remove(member_id, require(MANAGE))
            api.told()
        return done(f"{user.name or user.email} is removed", url_for(".index"))

    @expose("/invite", methods=("GET", "POST"))
    @needs(INVITE)
    def invite(self) -> Any:
        """Show the form, or invite everybody that it names and say what became of each.

        The answer is the only place that ever shows links.
        """
        by = require(INVITE)
        if request.method == "GET":
            return self.render("team/send.html", **sending.choices(by))
        emails, role = request.form.get("emails", ""), request.form.get("role", "")
        try:
            results = sending.send_all(emails, role, by)
        except Invalid as fault:
            wrong = fault.errors[0]
            problem = wrong.message if wrong.path == "emails" else f"{wrong.path}: {wrong.message}"
            shown = {**sending.choices(by), "problem": problem, "wrong": wrong.path, "emails": emails, "chosen": role}
            return Response(self.render("team/send.html", **shown), fault.status)
        return self._sent(results, HTTPStatus.CREATED)

    @expose("/invites/<invite_id>/resend", methods=("POST",))
    @needs(INVITE)
    def resend(self, invite_id: str) -> Response:
        """Send an invitation again; where there is no mail server, show its new link."""
        with unit_of_work():
            sent = invites.resend(invite_id, require(INVITE))
            api.told()
        if sent.link is None:
            return done(f"Sent again to {sent.invite.email}", url_for(".index", tab="invites"))
        return self._sent([sending.Result(sent.invite.email, link=sent.link)], HTTPStatus.OK)

    @expose("/invites/<invite_id>/revoke", methods=("POST",))
    @needs(INVITE)
    def revoke(self, invite_id: str) -> Response:
        """Take an invitation back."""
        with unit_of_work():
            invites.revoke(invite_id, require(INVITE))
            api.told()
        return done("The invitation is taken back", url_for(".index", tab="invites"))

    def _sent(self, results: list[sending.Result], status: HTTPStatus) -> Response:
        response = Response(self.render("team/sent.html", results=results), status)
        response.headers["Cache-Control"] = "no-store"
        return response


def _manages(reader: Principal, user: User) -> bool:
    role: Role = user.role  # type: ignore[assignment]  # checked when it was stored
    return reader.role == "owner" or outranks(reader.role, role)


def _revision(user: User, sessions: int | None) -> str:
    """Return what changes when a member's line would; the script replaces lines by it."""
    minute = (user.last_active_at or 0) // 60_000
    return f"{user.role}-{user.status}-{minute}-{sessions}-{user.name}"


def _lenient(kind: type[Q]) -> Q:
    """Read the page's filters; what is no filter is passed over, so that an old link still opens."""
    arguments = request.args.to_dict(flat=False)
    try:
        query = read_query(arguments, kind)
        if isinstance(query, (ActivityQuery, AuditQuery)):
            query.filters()
    except Invalid as fault:
        wrong = {error.path.partition("[")[0] for error in fault.errors}
        return read_query({name: values for name, values in arguments.items() if name not in wrong}, kind)
    return query
