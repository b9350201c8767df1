"""Lists: opaque keyset cursors, newest first, and the shape of every list's answer."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from pilothouse.errors import Invalid

T = TypeVar("T")

_SortValue = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]
_Key = Annotated[str, msgspec.Meta(max_length=255, pattern=r"\A[^\x00]*\Z")]  # NUL is none that PostgreSQL compares with

DEFAULT_LIMIT = 50  # records a page, where a request names no limit
Limit = Annotated[int, msgspec.Meta(ge=1, le=500)]  # records a page


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list: the records and the cursor of the next page, null on the last one."""

    data: list[T]
    next_cursor: str | None = None


def write_cursor(at: int, key: str) -> str:
    """Make the cursor that continues after the record with this sort value (ms) and id."""
    return base64.urlsafe_b64encode(msgspec.json.encode([at, key])).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[int, str]:
    """Read a cursor. Raises Invalid for anything that `write_cursor` did not make."""
    try:
        body = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(body, type=tuple[_SortValue, _Key])
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise Invalid.field("cursor", "is not a cursor of this list") from None


def page_of(rows: list[Any], limit: int, key: Any) -> tuple[list[Any], str | None]:
    """Cut `limit + 1` rows to a page; `key(row)` returns the sort value and id for the cursor."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], write_cursor(*key(rows[limit - 1]))
