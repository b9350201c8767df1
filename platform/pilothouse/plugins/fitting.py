"""Whether the fields of a contribution hold what its class says: one wrong `order` would break every page, much later."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def misfits(item: Any) -> list[str]:
    """Return a sentence for each field of a dataclass that holds something else than its type allows; none for other things."""
    if not dataclasses.is_dataclass(item) or isinstance(item, type):
        return []
    hints = _hints(type(item))
    values = {field: getattr(item, field.name) for field in dataclasses.fields(item)}
    return [
        f"{field.name} must be {field.type}, not {value!r:.60}"
        for field, value in values.items()
        if not fits(value, hints[field.name])
    ]


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
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)
