"""One request to the server and what its answer means for the batch."""

from __future__ import annotations

import gzip
import http.client
import json
import platform
import random
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from email.message import Message

# What the server shows of who sends; pyproject.toml has the same one, and a test holds them together.
VERSION = "0.1.0"
# Below this gzip costs more than it saves.
GZIP_ABOVE = 1024
MAX_ANSWER = 4 * 1024 * 1024
# Of a refusal's body, as much as a log line can bear.
MAX_REASON = 500
FIRST_WAIT = 0.5
# Nobody waits longer than this for a server that said nothing, and one that says more is not believed.
MAX_WAIT = 30.0
MAX_RETRY_AFTER = 3600.0
_WORTH_A_RETRY = frozenset({408, 429})
_TOO_LARGE = 413
_SERVER_FAULT = 500


class Fate(Enum):
    """What becomes of a batch."""

    TAKEN = "taken"
    TOO_LARGE = "too large"
    REFUSED = "refused"
    LATER = "later"


@dataclass(frozen=True)
class Answer:
    """The server's answer: `reason` for the log, `retry_after` in seconds where the server named it."""

    fate: Fate
    body: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    retry_after: float | None = None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nothing: a redirect would carry the token to another host, and urllib makes a GET of it."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        """Return no request, so that the redirect is an error answer like any other."""


class Transport:
    """Sends batches to `<url>/api/ingest`; proxies are taken from the environment, as urllib does."""

    def __init__(self, url: str, token: str, timeout: float) -> None:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
            message = f"{url!r} is no web address: give it as http://host:port or https://host"
            raise ValueError(message)
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._headers = {
            "Authorization": f"Bearer {token}", "Content-Type": "application/json",
            "User-Agent": f"pilothouse-client/{VERSION} Python/{platform.python_version()}",
        }  # fmt: skip
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send(self, signals: list[bytes]) -> Answer:
        """Post encoded signals and return what came of it; a server that is away is an answer too."""
        body = b'{"signals":[' + b",".join(signals) + b"]}"
        headers = dict(self._headers)
        if len(body) > GZIP_ABOVE:
            body, headers["Content-Encoding"] = gzip.compress(body, 5), "gzip"
        request = urllib.request.Request(f"{self.url}/api/ingest", body, headers, method="POST")  # noqa: S310 - checked in __init__
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return Answer(Fate.TAKEN, _body(response))
        except urllib.error.HTTPError as refusal:
            with refusal:
                return _refusal(refusal)
        except (OSError, http.client.HTTPException, ValueError) as fault:
            return Answer(Fate.LATER, reason=f"{self.url} could not be reached: {fault}")


class BackOff:
    """When the server may be tried again: after 0.5 s, then twice that up to 30 s, each shortened by chance.

    By chance, so that a thousand programs do not come back in the same moment. A Retry-After is kept to.
    """

    def __init__(self, max_wait: float = MAX_WAIT) -> None:
        self._max_wait = max_wait
        self._failures = 0
        self._until = 0.0
        self._told = False

    @property
    def remaining(self) -> float:
        """Seconds until the next try; 0 when it may be now."""
        return max(0.0, self._until - time.monotonic())

    def failed(self, retry_after: float | None) -> None:
        """Take note of a failure and of what the server asked for."""
        wait = min(self._max_wait, FIRST_WAIT * 2 ** min(self._failures, 16)) * random.uniform(0.5, 1)  # noqa: S311 - no secret
        self._failures += 1
        self._told = retry_after is not None
        self._until = time.monotonic() + (wait if retry_after is None else retry_after)

    def succeeded(self) -> None:
        """Take note that the server is there."""
        self._failures, self._until, self._told = 0, 0.0, False

    def hurry(self) -> None:
        """Allow a try now, unless the server itself named the time."""
        if not self._told:
            self._until = 0.0


def _body(response: IO[bytes]) -> dict[str, Any]:
    """Return the JSON object of an answer; an empty one where a proxy put something else in its place."""
    try:
        body = json.loads(response.read(MAX_ANSWER))
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _refusal(refusal: urllib.error.HTTPError) -> Answer:
    reason = f"the server answered {refusal.code} {_reason(refusal)}"
    if refusal.code == _TOO_LARGE:
        return Answer(Fate.TOO_LARGE, reason=reason)
    if refusal.code in _WORTH_A_RETRY or refusal.code >= _SERVER_FAULT:
        return Answer(Fate.LATER, reason=reason, retry_after=_retry_after(refusal.headers))
    return Answer(Fate.REFUSED, reason=reason)


def _reason(refusal: urllib.error.HTTPError) -> str:
    """Return what a refusal says of itself: problem details, else the address it points to, else its phrase."""
    with_details = {}
    try:
        with_details = _body(refusal)
    except (OSError, http.client.HTTPException):
        # The connection broke within the explanation; the status alone decides.
        return str(refusal.reason)
    said = with_details.get("detail") or with_details.get("title") or refusal.headers.get("Location") or refusal.reason
    return str(said)[:MAX_REASON]


def _retry_after(headers: Message) -> float | None:
    """Return the seconds that `Retry-After` asks for, given as a number or as a date (RFC 9110, section 10.2.3)."""
    given = headers.get("Retry-After", "").strip()
    if not given:
        return None
    try:
        seconds = float(given) if given.isdigit() else _seconds_until(given)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(MAX_RETRY_AFTER, max(0.0, seconds))


def _seconds_until(date: str) -> float:
    return (parsedate_to_datetime(date) - datetime.now(timezone.utc)).total_seconds()
