"""Severity of an error whose client named none: a documented rule, pure, that says why.

The first line that applies gives the severity:

critical   the process or its data are in danger: memory or disk used up, damaged data, a crash; or the message starts with
           FATAL, CRITICAL, PANIC, ALERT or EMERGENCY
low        no fault of the program: a warning, a cancellation, an interrupt; a logged sentence (type `Message`) that does not
           start with ERROR; or the message starts with WARNING, NOTICE, INFO, DEBUG or TRACE
medium     the outside world, and the program may try again: time-outs, refused or lost connections, rate limits, an
           upstream that is away
medium     the input, not the program: validation, not found, not allowed
high       anything else that nothing in the program handled (`handled` is false)
medium     anything else

Where the client says `handled: true`, critical becomes high and an outside or input fault becomes low; where it says
`handled: false`, an outside fault becomes high: it ended what was running. Neither the order nor the number of errors
matters, so late and repeated reports end at the same severity.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

CRITICAL, HIGH, MEDIUM, LOW = "critical", "high", "medium", "low"
RANKS = {LOW: 0, MEDIUM: 1, HIGH: 2, CRITICAL: 3}

READ = 1_000  # characters of a message in which telling words are looked for

KEPT_TYPES = 4_096  # error types whose kind is remembered: a program has few, and the patterns cost 30 microseconds

_LEVEL = re.compile(
    r"\W{0,3}(fatal|critical|panic|alert|emerg(?:ency)?|error|warn(?:ing)?|notice|info|debug|trace)(?=\s*[\]:|>\-]|\s*$)",
    re.IGNORECASE,
)
_FATAL_LEVELS = ("fatal", "critical", "panic", "alert", "emerg")
_MILD_LEVELS = ("warn", "notice", "info", "debug", "trace")
_KINDS = (
    ("critical", re.compile(
        r"memory_?error|out_?of_?memory|stack_?overflow|segmentation|segfault|sigsegv|sigkill|sigabrt|fatal|panic|corrupt|"
        r"data_?loss|disk_?full|internal_?compiler|worker_?lost",
        re.IGNORECASE,
    )),
    ("mild", re.compile(
        r"warning$|deprecat|cancel(?:l?ed)?|abort_?error|keyboard_?interrupt|generator_?exit|stop_?(?:async_?)?iteration",
        re.IGNORECASE,
    )),
    ("outside", re.compile(
        r"time_?d?_?out|connection|connect_?error|network|socket|dns|resolution|broken_?pipe|ssl|certificate|rate_?limit|"
        r"too_?many_?requests|throttl|quota|unavailable|overloaded|gateway|retry|transport|remote_?(?:protocol|disconnected)|"
        r"http_?(?:status_?)?error|api_?(?:status_?)?error",
        re.IGNORECASE,
    )),
    ("input", re.compile(
        r"validation|invalid_?(?:input|argument|request|parameter|format)|bad_?request|not_?found|does_?not_?exist|no_?such|"
        r"unprocessable|permission|forbidden|unauthori[sz]ed|authentication|access_?denied|decode_?error|parse_?error|syntax_?error",
        re.IGNORECASE,
    )),
)  # fmt: skip
_CRITICAL_WORDS = (
    "out of memory", "no space left on device", "disk full", "disk is full", "disk quota exceeded", "segmentation fault",
    "core dumped", "is corrupt", "are corrupt", "database corrupt", "is malformed", "checksum mismatch", "data loss",
    "killed by signal", "too many open files",
)  # fmt: skip
_OUTSIDE_WORDS = (
    "timed out", "time out", "timeout", "connection refused", "connection reset", "connection aborted", "connection closed",
    "connection lost", "econnrefused", "econnreset", "econnaborted", "etimedout", "enotfound", "temporarily unavailable",
    "service unavailable", "rate limit", "too many requests", "name or service not known",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Classified:
    """A severity and, for people, the reason."""

    severity: str
    reason: str


def classify(error_type: str, message: str, handled: bool | None) -> Classified:
    """Return the severity of an error; see the table above."""
    start = message[:READ].lower()
    kind, level = _kind(error_type), _level(start)
    if kind == "critical" or level.startswith(_FATAL_LEVELS) or _holds(start, _CRITICAL_WORDS):
        return _critical(level, handled)
    if kind == "mild" or level.startswith(_MILD_LEVELS) or error_type == "Message":
        return _mild(error_type, kind, level)
    if kind == "outside" or _holds(start, _OUTSIDE_WORDS):
        return _outside(handled)
    return _other(kind, handled)


@functools.lru_cache(maxsize=KEPT_TYPES)
def _kind(error_type: str) -> str:
    return next((kind for kind, pattern in _KINDS if pattern.search(error_type)), "")


def _critical(level: str, handled: bool | None) -> Classified:
    reason = f"the message says {level.upper()}" if level.startswith(_FATAL_LEVELS) else "the process or its data are in danger"
    return Classified(HIGH, f"{reason}, but it was handled") if handled else Classified(CRITICAL, reason)


def _mild(error_type: str, kind: str, level: str) -> Classified:
    if level.startswith(_MILD_LEVELS):
        return Classified(LOW, f"the message says {level.upper()}")
    if kind == "mild":
        return Classified(LOW, f"{error_type} is a warning or an end on purpose")
    return Classified(MEDIUM, "the message says ERROR") if level == "error" else Classified(LOW, "a logged message")


def _outside(handled: bool | None) -> Classified:
    reason = "the network or another service failed"
    if handled is None:
        return Classified(MEDIUM, reason)
    if handled:
        return Classified(LOW, f"{reason}, and it was handled")
    return Classified(HIGH, f"{reason}, and nothing handled it")


def _other(kind: str, handled: bool | None) -> Classified:
    if kind == "input":
        return Classified(LOW, "the input's fault, handled") if handled else Classified(MEDIUM, "the input's fault")
    if handled is False:
        return Classified(HIGH, "nothing handled it")
    return Classified(MEDIUM, "handled by the program" if handled else "nothing speaks for more or less")


def _holds(message: str, telling: tuple[str, ...]) -> bool:
    for words in telling:  # noqa: SIM110 - a generator costs 2 microseconds more, for every error that comes in
        if words in message:
            return True
    return False


def _level(message: str) -> str:
    match = _LEVEL.match(message)
    return match[1].lower() if match else ""
