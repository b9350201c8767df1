"""Putting a task's exception into words that may be stored and shown: the type, the message, no secret, no SQL."""

from __future__ import annotations

import traceback

from sqlalchemy.exc import DBAPIError

from pilothouse.scrubbing import clean_text

LIMIT = 500  # characters of a reason that is shown in a list


def describe(fault: BaseException) -> str:
    """Return `Type: message`, at most 500 characters, with secrets masked."""
    # A database error's own text holds the statement and its parameters, which may be anybody's data.
    message = str(fault.orig) if isinstance(fault, DBAPIError) else str(fault)
    kind = type(fault).__name__
    return clean_text(f"{kind}: {message}" if message else kind)[:LIMIT]


def where(fault: BaseException) -> str:
    """Return the place that raised, `file:line in function`, for the log."""
    frames = traceback.extract_tb(fault.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
