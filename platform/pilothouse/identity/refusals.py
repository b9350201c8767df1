"""What was refused is recorded after the answer is made, in a unit of work of its own, and in bounded number.

The same refusal of the same caller is written once a minute and process; what was folded away is counted in the next
entry. So a flood of 403 answers cannot fill the disk, and a rolled back request still leaves its trace.
"""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import Any

import structlog
from flask import Response, g, has_request_context, request

from pilothouse import audit, clock
from pilothouse.access import Principal
from pilothouse.db import unit_of_work
from pilothouse.errors import PilothouseError
from pilothouse.identity.principal import bearer_token, current_principal

NOTED = "pilothouse_refusals"
PER_MINUTE = 120  # entries a minute and process: at most 170,000 a day of a few hundred bytes each


def refuse(action: str, target: str = "", **detail: Any) -> None:
    """Note a refusal of the running request; it is recorded when the answer is made."""
    if has_request_context():
        g.setdefault(NOTED, []).append((action, target, detail))


class RefusalLog:
    """Records refusals; hangs on `after_request`."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._minute = 0
        self._seen: set[tuple[str, str, str]] = set()
        self._folded = 0
        self._lock = threading.Lock()

    def __call__(self, response: Response) -> Response:
        """Record what the request was refused."""
        noted = g.pop(NOTED, None) or _from_status(response)
        if noted:
            principal = current_principal()
            for action, target, detail in noted:
                self._record(action, target, detail, principal)
        return response

    def _record(self, action: str, target: str, detail: dict[str, Any], principal: Principal | None) -> None:
        with self._lock:
            if self._minute != clock.now() // clock.MINUTE:
                self._minute = clock.now() // clock.MINUTE
                self._seen.clear()
            key = (principal.id if principal else "", action, target)
            if key in self._seen or len(self._seen) >= PER_MINUTE:
                self._folded += 1
                return
            self._seen.add(key)
            folded, self._folded = self._folded, 0
        detail = {**detail, "address": request.remote_addr, **({"folded_before": folded} if folded else {})}
        try:
            with unit_of_work():
                audit.record(action, target, principal=principal, outcome="refused", detail=detail)
        except PilothouseError as fault:  # the database is away: the refusal stands, its record is in the log
            structlog.get_logger("pilothouse.audit").warning("refusal not recorded", action=action, reason=fault.code)


def _from_status(response: Response) -> list[tuple[str, str, dict[str, Any]]]:
    route = request.url_rule.rule if request.url_rule else ""
    if response.status_code == HTTPStatus.FORBIDDEN:
        return [("identity.access_refused", f"{request.method} {route}", {})]
    if response.status_code == HTTPStatus.UNAUTHORIZED and bearer_token(request):
        return [("identity.token_refused", "", {"route": route})]
    return []
