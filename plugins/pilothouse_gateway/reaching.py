"""From a request to a provider's answer: the key, the budget, the connection; the next key where one is refused."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import quote

from flask import request

from pilothouse.sdk import (
    Credential,
    OutgoingAnswer,
    OutgoingPool,
    Principal,
    Reservation,
    Spend,
    UrlNotAllowed,
    db,
    runtime,
)
from pilothouse_gateway import asking, headers
from pilothouse_gateway.answers import Misled, NotAllowedUpstream, NoUsableKey
from pilothouse_gateway.calls import Call, Tried
from pilothouse_gateway.doors import Door
from pilothouse_gateway.estimating import Estimates
from pilothouse_gateway.remembering import Remembered
from pilothouse_gateway.settings import SILENCE, UPSTREAMS, without_version
from pilothouse_gateway.watching import error_of

REFUSED = frozenset({401, 403, 429})  # statuses that are about the key: another one may be taken
LIMITED, BAD_REQUEST = 429, 400
REDIRECTS = range(300, 400)
MOST_KEYS = 10  # tried for one call
MOST_REFUSAL = 256 * 1024  # bytes of a refusal's body
AZURE_VERSION = b"api-version="  # of the path that Azure's client asks for; it is not the one that the provider is asked at
SAFE_QUERY = "%/:?@!$&'()*+,;=-._~[]"


@dataclass(frozen=True, slots=True)
class Reached:
    """A provider's answer, with the secret that must not be in it; `body` where it was read already."""

    answer: OutgoingAnswer
    secret: str
    body: bytes | None = None


@dataclass(slots=True)
class Reach:
    """One call's way to its provider. `hidden` says that usage was asked for on the caller's behalf."""

    pool: OutgoingPool
    estimates: Estimates
    remembered: Remembered
    door: Door
    principal: Principal
    call: Call
    path: str
    body: bytes | None
    asked: asking.Asked
    label: str | None
    hidden: bool = False
    reservation: Reservation | None = None
    _changed: bytes | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Ask for usage where the caller did not and the provider tells none unasked."""
        if self.door.operation == "chat" and self.asked.stream and not self.asked.wants_usage and self.body is not None:
            self._changed = asking.with_usage(self.body)
            self.hidden = self._changed is not None

    def go(self) -> Reached:
        """Return the answer of the first key that is taken, or the refusal that says when to come back.

        Raises NoUsableKey, NotAllowedUpstream, BudgetUsedUp, NotReached and TimedOut.
        """
        refusals: list[Reached] = []
        while len(refusals) < MOST_KEYS:
            credential = self._credential()
            if credential is None:
                break
            self._reserve(credential)
            reached = self._send(credential)
            if reached.answer.status not in REFUSED:
                return reached
            self.give_back()
            self.call.tried.append(Tried(credential.key_id, reached.answer.status, credential.name))
            refusals.append(reached)
        limited = next((one for one in reversed(refusals) if one.answer.status == LIMITED), None)
        if limited is not None:
            return limited
        raise NoUsableKey(self._none_left(refusals))

    def give_back(self) -> None:
        """Release what was set aside: nothing was used."""
        if self.reservation is not None:
            self.reservation.release()
            self.reservation, self.call.usage_id = None, self.call.id

    def learn(self, used: tuple[int, int]) -> None:
        """Let the guesses of such calls know what this one used."""
        self.estimates.learn(self.call.service, self.call.request_model, self.asked.guess, used)

    def _credential(self) -> Credential | None:
        passed_over = frozenset(one.name for one in self.call.tried)
        wanted = {"service": self.door.service, "label": self.label, "principal": self.principal, "passed_over": passed_over}
        found: Credential | None = self.remembered.get(
            ("credential", *wanted.values()),
            lambda: runtime().registry.first("credential", **wanted),
            worth=lambda one: one is not None,
        )
        # a plugin that knows nothing of `passed_over` offers the same key again
        return None if found is None or found.name in passed_over else found

    def _reserve(self, credential: Credential) -> None:
        call = self.call
        call.key_id = credential.key_id
        if self.body is None or call.operation == "count_tokens":
            return
        spend = Spend(
            self.estimates.nano(call.service, call.request_model, self.asked.guess), workflow=call.workflow, agent=call.agent,
            user=call.user, model=call.request_model, key_id=call.key_id,
        )  # fmt: skip
        # where no budget applies none will to the next such call; what is set aside is each call's own
        self.reservation = self.remembered.get(
            ("reserve", replace(spend, estimate_nano=0)), lambda: runtime().registry.first("reserve", spend=spend),
            worth=lambda one: one is None,
        )  # fmt: skip
        call.usage_id = self.reservation.id if self.reservation is not None else call.id

    def _send(self, credential: Credential) -> Reached:
        db.session.remove()  # no connection to the database is held while the provider thinks
        body = self.body if self._changed is None else self._changed
        reached = self._ask(credential, body)
        if reached.answer.status == BAD_REQUEST and self._changed is not None and b"stream_options" in (reached.body or b""):
            self._changed, self.hidden = None, False  # a server that does not know the option: then as it was asked
            reached = self._ask(credential, self.body)
        self.call.status = reached.answer.status
        self.call.request_id = headers.request_id_of(reached.answer.headers)
        return reached

    def _ask(self, credential: Credential, body: bytes | None) -> Reached:
        try:
            answer = self.pool.send(
                request.method, self._url(credential), body,
                headers.for_upstream(request.headers.items(), self.door.service, credential.secret),
                silence_s=runtime().settings[SILENCE] / 1000,
            )  # fmt: skip
        except UrlNotAllowed as fault:
            raise NotAllowedUpstream(fault.detail) from fault
        if answer.status in REDIRECTS:
            answer.close()
            raise Misled(
                "The provider's address answers with a redirect, which is not followed; set the address that it leads to."
            )
        refused = answer.status in REFUSED or answer.status == BAD_REQUEST
        return Reached(answer, credential.secret, answer.read(MOST_REFUSAL) if refused else None)

    def _url(self, credential: Credential) -> str:
        base = without_version(credential.base_url or runtime().settings[UPSTREAMS[self.door.service]])
        told = [part for part in request.query_string.split(b"&") if not part.startswith(AZURE_VERSION)]
        query = quote(b"&".join(told), safe=SAFE_QUERY)
        return f"{base}{self.path}{'?' if query else ''}{query}"

    def _none_left(self, refusals: list[Reached]) -> str:
        named = f" named {self.label}" if self.label else ""
        if not refusals:
            return f"The vault has no usable {self.door.service} key{named}. Add one on the page API keys."
        last = refusals[-1]
        told = error_of(last.body or b"")
        words = told.get("message") if isinstance(told, dict) else None
        reason = f": {words.replace(last.secret, headers.MASK)}" if isinstance(words, str) else ""
        return f"The provider refuses every usable {self.door.service} key{named} (status {last.answer.status}){reason}"
