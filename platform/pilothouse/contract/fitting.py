"""Whether the fields of what plugins hand over hold what its class says: a wrong `order` would break every page, much later."""

from __future__ import annotations

import dataclasses
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def misfits(item: Any) -> list[str]:
    """Return a sentence for each field of a dataclass that holds something else than its type allows; none for other things."""
    if not dataclasses.is_dataclass(item) or isinstance(item, type):
        return []
    wrong = []
    for name, hint, plain in _fields(type(item)):
        value = getattr(item, name)
        if type(value) not in plain and not fits(value, hint):
            words = next(field.type for field in dataclasses.fields(item) if field.name == name)
            wrong.append(f"{name} must be {words}, not {value!r:.60}")
    return wrong


def fits(value: Any, hint: Any) -> bool:
    """Say whether a value is of a type, as far as can be told without calling it: what functions take and return is not."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return any(value == part and type(value) is type(part) for part in parts)
    if origin is type:
        return isinstance(value, type) and issubclass(value, parts[0])
    if origin in {tuple, frozenset}:  # of parts that are all of one type
        return isinstance(value, origin) and all(fits(part, parts[0]) for part in value)
    return hint is Any or _is_of(value, NoneType if hint is None else origin or hint)


def _is_of(value: Any, kind: type) -> bool:
    if kind in {int, float}:
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind)


@cache
def _fields(kind: type) -> list[tuple[str, Any, frozenset[type]]]:
    """Return name and type of each field, and the types whose values fit without a further look."""
    return [(name, hint, frozenset(_plain(hint))) for name, hint in get_type_hints(kind).items()]


def _plain(hint: Any) -> set[type]:
    if get_origin(hint) in {Union, UnionType}:
        return {kind for part in get_args(hint) for kind in _plain(part)}
    return {hint} if isinstance(hint, type) and get_origin(hint) is None else set()
