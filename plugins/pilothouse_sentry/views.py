"""The page of the scheduled jobs that check in."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flask import request

from pilothouse.sdk import MINUTE, ConsoleView, expose
from pilothouse_sentry import monitors_api, queries
from pilothouse_sentry.queries import STATES
from pilothouse_sentry.schedules import Schedule
from pilothouse_sentry.snippets import SNIPPETS

EVERY_S = 15
TOPICS = ("executions",)  # each check-in is a run, and each miss is one
SHOWN = {
    "ok": ("OK", "ok", "succeeded"), "running": ("Running", "info", "running"), "failed": ("Failed", "bad", "failed"),
    "overrun": ("Overrun", "bad", "timed-out"), "missed": ("Missed", "bad", "alert"),
}  # fmt: skip


class MonitorsView(ConsoleView):
    """Scheduled jobs: when each is due, how its last run went."""

    title = "Scheduled jobs"
    path = "/monitors"
    permission = monitors_api.VIEW

    @expose("/")
    def index(self) -> Any:
        """Show the jobs; a poll gets only the rows."""
        return self.live("sentry/monitors.html", "sentry/_monitors.html", TOPICS, self._list)

    def _list(self) -> dict[str, Any]:
        asked = request.args.get("state")
        state = next((name for name in STATES.values() if name == asked), None)
        found = queries.jobs()
        counts = Counter(job.state for job in found)
        return {
            "jobs": [job for job in found if state in {None, job.state}], "state": state, "counts": counts, "total": len(found),
            "shown": SHOWN, "every": EVERY_S, "words": Schedule.in_words, "patience": patience,
            "snippet": next(snippet for snippet in SNIPPETS if snippet.name == "sentry.monitor").write(
                request.host_url.rstrip("/"), "TOKEN"
            ),
        }  # fmt: skip


def patience(schedule: Schedule) -> str:
    """Say how late a job may start and how long it may run."""
    return f"{schedule.margin // MINUTE:,} min late at most, {schedule.max_runtime // MINUTE:,} min long at most"
