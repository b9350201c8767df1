"""Putting an exception into words that may be stored and shown: the type, the message, no secret, no SQL."""

from __future__ import annotations

import traceback

from sqlalchemy.exc import DBAPIError

from pilothouse.scrubbing import clean_text

LIMIT = 500  # characters of a reason that is shown in a list


def describe(fault: BaseException) -> str:
    """Return `Type: message`, at most 500 characters, with secrets masked."""
    message, kind = message_of(fault), type(fault).__name__
    return (f"{kind}: {message}" if message else kind)[:LIMIT]


def message_of(fault: BaseException) -> str:
    """Return an exception's message with secrets masked, and without the statement where it is the database's."""
    if not isinstance(fault, DBAPIError):
        return clean_text(str(fault))
    # SQLAlchemy's own text holds the statement; PostgreSQL's second line on too, and the row that it is about
    return clean_text(str(fault.orig).split("\n", maxsplit=1)[0])


def where(fault: BaseException) -> str:
    """Return the place that raised, `file:line in function`, for the log."""
    frames = traceback.extract_tb(fault.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
