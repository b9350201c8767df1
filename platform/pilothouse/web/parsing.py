"""Reading typed input: JSON bodies, forms and query strings into msgspec Structs, with every wrong field named at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from pilothouse.errors import FieldError, Invalid, Malformed
from pilothouse.signals import ID_RULE, KEY_PATTERN, KEY_RULE, decode_hook

T = TypeVar("T")

_PATH = re.compile(r" - at `\$?\.?(?P<path>[^`]*)`$")
_PATTERN_FAULT = re.compile(r"Expected `str` matching regex '(.*)'(?= - at `|\Z)", re.DOTALL)
_LARGEST_INT = 2**63 - 1
LONGEST_MESSAGE = 300  # characters; msgspec repeats a wrong value, however long it is


def decode_json(body: bytes) -> Any:
    """Decode JSON strictly, without NUL, which PostgreSQL cannot store.

    Raises Malformed for what is no JSON, is not UTF-8 or nests too deep.
    """
    try:
        body.decode()
        value = msgspec.json.decode(body)
        if b"\\u0000" in body:
            value = _without_nul(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Malformed(f"The body is not valid JSON: {fault}") from None
    except RecursionError:
        raise Malformed("The body is nested too deep.") from None
    return value


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {name.replace("\0", ""): _without_nul(item) for name, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list) else value


def convert(value: Any, kind: type[T], path: str = "", *, strict: bool = True) -> T:
    """Convert a decoded value to a Struct. Raises Invalid with every wrong field, below `path`."""
    try:
        result = msgspec.convert(value, kind, strict=strict, dec_hook=_hook_for(strict=strict))
        errors = list(_beyond_64_bits(result, path))
    except (msgspec.ValidationError, RecursionError, OverflowError) as fault:
        errors = find_errors(value, kind, path, strict=strict) or [located(str(fault), path)]
    if errors:
        raise Invalid("; ".join(f"{error.path}: {error.message}" for error in errors[:5]), errors)
    return result


def _beyond_64_bits(value: Any, path: str) -> Iterator[FieldError]:
    """Yield the numbers of a Struct that no database holds; msgspec takes a whole number of any size."""
    if type(value) is int and not -_LARGEST_INT <= value <= _LARGEST_INT:
        yield FieldError(path or "body", "must be a number of at most 64 bits")
    elif isinstance(value, msgspec.Struct):
        for field in fields_of(type(value)):
            where = f"{path}.{field.encode_name}" if path else field.encode_name
            yield from _beyond_64_bits(getattr(value, field.name), where)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _beyond_64_bits(item, f"{path}[{place}]")


def find_errors(value: Any, kind: Any, path: str, *, strict: bool = True) -> list[FieldError]:
    """Try each field of a Struct by itself and return all faults, not only the first one that msgspec names."""
    if not isinstance(value, Mapping):
        return [FieldError(path or "body", "must be an object")]
    if not isinstance(kind, type) or not issubclass(kind, msgspec.Struct):
        return []
    errors = []
    hints = hints_of(kind)
    for field in fields_of(kind):
        where = f"{path}.{field.encode_name}" if path else field.encode_name
        if field.encode_name not in value:
            if field.required:
                errors.append(FieldError(where, "is required"))
            continue
        if hints[field.name] is msgspec.Raw:
            continue  # any JSON will do
        try:
            msgspec.convert(value[field.encode_name], hints[field.name], strict=strict, dec_hook=_hook_for(strict=strict))
        except (msgspec.ValidationError, RecursionError, OverflowError) as fault:
            inner = _struct_in(hints[field.name])
            nested = find_errors(value[field.encode_name], inner, where, strict=strict) if inner is not None else []
            errors += nested or [located(str(fault), where)]
    return errors


def _struct_in(hint: Any) -> type[msgspec.Struct] | None:
    """Return the Struct that a field holds, if it is one or optionally one."""
    kinds = [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    return kinds[0] if kinds and get_origin(hint) is not list else None


@cache
def fields_of(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Return a Struct's fields, which msgspec works out anew at each question: most of a report of many bad signals."""
    return msgspec.structs.fields(kind)


@cache
def hints_of(kind: type) -> dict[str, Any]:
    """Return the annotations of a Struct's fields; resolving them anew would dominate a report of many bad signals."""
    return get_type_hints(kind, include_extras=True)


def located(message: str, path: str) -> FieldError:
    """Split msgspec's "message - at `$.path`" into a field error below `path`."""
    message = _PATTERN_FAULT.sub(lambda fault: KEY_RULE if fault[1].replace("\\\\", "\\") == KEY_PATTERN else ID_RULE, message)
    match = _PATH.search(message)
    if match is None:
        return FieldError(path or "body", message[:LONGEST_MESSAGE])
    inner = match["path"]
    joined = path + inner if inner.startswith("[") or not path or not inner else f"{path}.{inner}"
    return FieldError(joined or "body", message[: min(match.start(), LONGEST_MESSAGE)])


def read_query(arguments: Mapping[str, list[str]], kind: type[T]) -> T:
    """Read a query string or form: lists where the field is a list, empty values left out, unknown names ignored.

    Raises Invalid with every wrong field; nothing that is stored holds NUL, so nothing can be asked for by it.
    """
    struct = cast("type[msgspec.Struct]", kind)
    hints = hints_of(struct)
    values: dict[str, Any] = {}
    for field in fields_of(struct):
        given = [value for value in arguments.get(field.encode_name, []) if value != ""]
        if any("\0" in value for value in given):
            raise Invalid.field(field.encode_name, "must not hold NUL")
        if given:
            values[field.encode_name] = given if _is_list(hints[field.name]) else given[-1]
    return convert(values, kind, strict=False)


def _is_list(hint: Any) -> bool:
    if get_origin(hint) is list:
        return True
    return any(_is_list(argument) for argument in get_args(hint))


def _hook_for(*, strict: bool) -> Any:
    return decode_hook if strict else _lax_hook


def _lax_hook(kind: type, value: Any) -> Any:
    """In a query string a time may be Unix milliseconds written as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) != len("20231116"):
        value = min(int(value), _LARGEST_INT)
    return decode_hook(kind, value)
