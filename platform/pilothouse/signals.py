"""Signals: the core's vocabulary of what comes in. Sources make them, recorders store them.

Field meanings are those of the contract, section 2. Times are Unix milliseconds (`Millis` also decodes RFC 3339 with
an offset); `input`, `output`, `attributes` and `properties` are JSON as it came (`msgspec.Raw`), so that storing them
costs no decoding. A plugin adds a signal type by subclassing `Signal` with a `tag` of its own.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from pilothouse import clock
from pilothouse.money import parse_usd

Raw = msgspec.Raw
NOTHING = msgspec.Raw()  # stands in a `Raw` field that was left out
FUTURE_LIMIT = clock.DAY  # a time further ahead than this is a broken clock, not a report
ID_RULE = "must be 1 to 128 printable characters without spaces"
TIME_RULE = "must be RFC 3339 text with an offset or an integer of Unix milliseconds"
LATEST = 253_402_300_799_999  # the last millisecond of the year 9999, beyond which RFC 3339 ends

Status = Literal["queued", "running", "succeeded", "failed", "cancelled", "timed_out"]
StepKind = Literal["agent", "llm", "tool", "retrieval", "task", "other"]
Severity = Literal["low", "medium", "high", "critical"]

FINAL = frozenset({"succeeded", "failed", "cancelled", "timed_out"})  # statuses that an execution ends with

Text = Annotated[str, msgspec.Meta(max_length=255)]
KEY_PATTERN, KEY_RULE = r"^[^\x00]*$", "must not hold NUL"
Key = Annotated[str, msgspec.Meta(max_length=255, pattern=KEY_PATTERN)]  # an id of somebody else's, which is kept as it is
LongText = Annotated[str, msgspec.Meta(max_length=65_536)]
StackText = Annotated[str, msgspec.Meta(max_length=1_048_576)]
Count = Annotated[int, msgspec.Meta(ge=0, le=9_007_199_254_740_991)]  # 2**53 - 1: exact in every JSON reader
Money = Annotated[str, msgspec.Meta(max_length=40)]
Duration = Annotated[float, msgspec.Meta(ge=0, le=315_360_000_000)]  # ms; ten years, far below what leaves 64 bits in sums
_LEAP_SECOND = re.compile(r"(?<=T[0-9]{2}:[0-9]{2}:)60")  # RFC 3339 has them, Unix time has not

# Written so that it means the same to Python and, in the OpenAPI document, to JavaScript.
# Printable and without spaces: no separators, controls, soft hyphens or invisible format characters.
_ID_PATTERN = (
    r"^[^\s\x00-\x20\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ud800-\udfff\ufeff\ufff0-\uffff]{1,128}(?![\s\S])"
)
_ID = re.compile(_ID_PATTERN)
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=_ID_PATTERN)]  # 1 to 128 printable characters, no spaces

if TYPE_CHECKING:
    Millis = int
    Deadline = int
else:

    class _Checked(type):
        """The type of `Millis`: msgspec asks our hook for its values, which are plain numbers."""

        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, int)

        def __call__(cls, value: Any) -> Any:
            return value

    class Millis(metaclass=_Checked):
        """A moment in Unix milliseconds, decoded from an integer or from RFC 3339 with an offset; an `int` at run time."""

    class Deadline(metaclass=_Checked):
        """A moment that may lie in the future, as an expiry does; written and decoded as `Millis` are."""



def parse_id(value: Any) -> str:
    """Check an id. Raises ValueError with the rule."""
    if not isinstance(value, str) or _ID.match(value) is None:
        raise ValueError(ID_RULE)
    return value


def parse_time(value: Any, latest: int | None = None) -> int:
    """Read a moment. Raises ValueError where it is no time, has no offset or lies beyond `latest` (24 h ahead)."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(TIME_RULE)  # noqa: TRY004 - msgspec turns ValueError into a validation error
    if isinstance(value, int):
        at = value
    else:
        try:
            moment = datetime.fromisoformat(_LEAP_SECOND.sub("59", value.upper()))
        except ValueError:
            raise ValueError(TIME_RULE) from None
        if moment.tzinfo is None:
            raise ValueError("must carry an offset, such as Z or +02:00")
        at = clock.to_millis(moment)
    if not 0 <= at <= LATEST:
        raise ValueError("must lie between the years 1970 and 9999")
    if at > (clock.now() + FUTURE_LIMIT if latest is None else latest):
        raise ValueError("lies more than 24 hours in the future")
    return at


def decode_hook(kind: type, value: Any) -> Any:
    """Decode `Millis` for msgspec."""
    if kind is Millis:
        return parse_time(value)
    if kind is Deadline:
        return parse_time(value, LATEST)
    raise NotImplementedError(kind)


class Signal(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """The base of all signals; every one has an id by which a second arrival is known."""

    id: Id


class Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One frame of a stack trace; lists of frames run from the outermost call to the innermost."""

    file: LongText = ""
    function: LongText = ""
    module: LongText = ""
    line: int | None = None
    in_app: bool | None = None
    context_line: LongText | None = None
    pre_context: list[LongText] = []
    post_context: list[LongText] = []
    vars: dict[str, Any] | None = None


Frames = Annotated[list[Frame], msgspec.Meta(max_length=1_000)]


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The error inside an execution's own report."""

    error_type: Text
    message: LongText
    id: Id | None = None
    at: Millis | None = None
    stack_trace: StackText | None = None
    frames: Frames | None = None
    severity: Severity | None = None
    handled: bool | None = None
    fingerprint: LongText | list[LongText] | None = None
    attributes: Raw = NOTHING


class Execution(Signal, frozen=True, kw_only=True, omit_defaults=True, tag="execution"):
    """One run of a workflow, as far as it is known at the time of the report."""

    workflow: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    status: Status
    started_at: Millis | None = None
    finished_at: Millis | None = None
    trigger: Text | None = None
    agent: Text | None = None
    user: Text | None = None
    session: Text | None = None
    environment: Text | None = None
    release: Text | None = None
    parent_id: Id | None = None
    input: Raw = NOTHING
    output: Raw = NOTHING
    attributes: Raw = NOTHING
    error: ErrorDetail | None = None


class Step(Signal, frozen=True, kw_only=True, omit_defaults=True, tag="step"):
    """One step of an execution; steps form a tree by `parent_id`."""

    execution_id: Id
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    kind: StepKind | None = "other"
    parent_id: Id | None = None
    status: Status | None = None
    started_at: Millis | None = None
    finished_at: Millis | None = None
    input: Raw = NOTHING
    output: Raw = NOTHING
    attributes: Raw = NOTHING


class Error(Signal, frozen=True, kw_only=True, omit_defaults=True, tag="error"):
    """One failure."""

    error_type: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    message: LongText
    at: Millis | None = None
    execution_id: Id | None = None
    workflow: Text | None = None
    stack_trace: StackText | None = None
    frames: Frames | None = None
    severity: Severity | None = None
    handled: bool | None = None
    fingerprint: LongText | list[LongText] | None = None
    release: Text | None = None
    environment: Text | None = None
    user: Text | None = None
    attributes: Raw = NOTHING


class TokenUsage(Signal, frozen=True, kw_only=True, omit_defaults=True, tag="token_usage"):
    """What one model call used. `prompt_tokens` includes cached and cache-write, `completion_tokens` reasoning.

    Beyond the contract's fields, for sources that know more: `request_model` is the name that was asked for where `model` is
    the one that answered; `cache_write_1h_tokens` is the part of the cache writes that is kept for an hour;
    `provisional` marks a sum over calls that may be reported too, `step_id` and `parent_id` the step that the usage was
    found on and the step above it. `cost_reported` (nano-dollars) and `price_id` are filled in by whoever prices usage: what
    a source says there is not kept.
    """

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    prompt_tokens: Count
    completion_tokens: Count
    provider: Text | None = None
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    reasoning_tokens: Count | None = None
    cost_usd: Money | float | int | None = None
    response_id: Key | None = None
    execution_id: Id | None = None
    workflow: Text | None = None
    agent: Text | None = None
    user: Text | None = None
    key_id: Key | None = None
    latency_ms: Duration | None = None
    at: Millis | None = None
    request_model: Text | None = None
    service_tier: Text | None = None
    cache_write_1h_tokens: Count | None = None
    usage_source: Text | None = None
    split_known: bool | None = None
    provisional: bool = False
    step_id: Id | None = None
    parent_id: Id | None = None
    cost_reported: Count | None = None
    price_id: Text | None = None


class Event(Signal, frozen=True, kw_only=True, omit_defaults=True, tag="event"):
    """One thing that a person or component did."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    component: Text | None = None
    user: Text | None = None
    session: Text | None = None
    duration_ms: Duration | None = None
    ok: bool | None = None
    at: Millis | None = None
    properties: Raw = NOTHING


CORE_SIGNALS: tuple[type[Signal], ...] = (Execution, Step, Error, TokenUsage, Event)


def raw(value: Any) -> msgspec.Raw:
    """Encode a value for a `Raw` field; sources that do not start from JSON use it."""
    return msgspec.Raw(msgspec.json.encode(value))


def json_text(value: msgspec.Raw) -> str | None:
    """Return the JSON text of a `Raw` field for storage, None where it was left out or null."""
    body = bytes(value)
    return None if body in {b"", b"null"} else body.decode()


def check_usage(usage: TokenUsage) -> list[tuple[str, str]]:
    """Return what is wrong with a usage as (field, sentence): parts cannot exceed the whole they are part of."""
    faults = []
    if (usage.cached_tokens or 0) + (usage.cache_write_tokens or 0) > usage.prompt_tokens:
        faults.append(("cached_tokens", "cached and cache-write tokens are part of prompt_tokens and cannot exceed them"))
    if (usage.cache_write_1h_tokens or 0) > (usage.cache_write_tokens or 0):
        faults.append(("cache_write_1h_tokens", "are part of cache_write_tokens and cannot exceed them"))
    if (usage.reasoning_tokens or 0) > usage.completion_tokens:
        faults.append(("reasoning_tokens", "are part of completion_tokens and cannot exceed them"))
    if usage.cost_usd is not None:
        try:
            parse_usd(usage.cost_usd)
        except ValueError as fault:
            faults.append(("cost_usd", str(fault)))
    return faults


def tag_of(kind: type[Signal]) -> str:
    """Return the `type` by which a signal is known on the wire."""
    return str(kind.__struct_config__.tag)
