"""Secrets, card numbers, NUL and lone surrogates leave what comes in before anything is made of it.

A batch repeats itself: names, models, resources. So the different texts of a request are looked through once, all together,
and only where something is found each of them is, by itself. Texts that hold JSON are cleaned as what they hold.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pilothouse.sdk import clean, clean_text, needs_cleaning
from pilothouse_otel.spans import Attributes, LogRecord, Span

# Two ids must never become one: those of Langfuse's and openai-agents' bodies, and the providers' among attributes.
IDS = frozenset({"id", "traceId", "parentObservationId", "observationId", "trace_id", "parent_id", "response_id"})
RESPONSE_IDS = frozenset({"gen_ai.response.id", "ai.response.id"})
_NUMBERS = re.compile(r"\.?\d[\d -]{12,}")  # as long as a card's, with the point that makes it a fraction
TOGETHER = 64  # texts that are looked through together once one of all is known not to be clean
KEPT_NAMES = 4_096


def clean_spans(spans: Iterable[Span]) -> None:
    """Clean spans in place."""
    spans = list(spans)
    resources = {id(span.resource): span.resource for span in spans}
    swaps = _Swaps()
    for span in spans:
        swaps.texts.update((span.name, span.message, span.scope))
        swaps.collect(span.attributes)
        for event in span.events:
            swaps.texts.add(event.name)
            swaps.collect(event.attributes)
    for resource in resources.values():
        swaps.collect(resource)
    if not swaps.find():
        return
    cleaned = {key: swaps.attributes(resource) for key, resource in resources.items()}
    for span in spans:
        span.name, span.message, span.scope = swaps.text(span.name), swaps.text(span.message), swaps.text(span.scope)
        span.attributes, span.resource = swaps.attributes(span.attributes), cleaned[id(span.resource)]
        for event in span.events:
            event.name, event.attributes = swaps.text(event.name), swaps.attributes(event.attributes)


def clean_logs(records: Iterable[LogRecord]) -> None:
    """Clean log records in place."""
    records = list(records)
    swaps = _Swaps()
    for record in records:
        swaps.texts.update((record.scope, record.event_name, record.severity_text))
        swaps.collect(record.attributes)
        swaps.collect(record.resource)
        swaps.collect({"body": record.body})
    if not swaps.find():
        return
    for record in records:
        record.scope, record.event_name = swaps.text(record.scope), swaps.text(record.event_name)
        record.severity_text, record.body = swaps.text(record.severity_text), swaps.value(record.body)
        record.attributes, record.resource = swaps.attributes(record.attributes), swaps.attributes(record.resource)


class _Swaps:
    """The texts of a request, and what those that are not clean are to be replaced by."""

    def __init__(self) -> None:
        self.texts: set[str] = set()
        self._names: set[str] = set()
        self._by_text: dict[str, str] = {}

    def collect(self, attributes: Attributes) -> None:
        """Take note of the names and texts of attributes; the providers' ids, which may look like anything, stay."""
        self._names.update(attributes)
        for name, value in attributes.items():
            if type(value) is str:
                if name not in RESPONSE_IDS or "\0" in value:
                    self.texts.add(value)
            elif type(value) is dict:
                self.collect(value)
            elif type(value) is list:
                self.collect(dict(enumerate(value)))  # type: ignore[arg-type]  # numbers are names of nothing

    def find(self) -> bool:
        """Look through all texts; says whether there is anything to clean."""
        names = {name for name in self._names if type(name) is str}
        texts = list(self.texts | names)
        if _is_dirty(texts):
            for start in range(0, len(texts), TOGETHER):
                some = texts[start : start + TOGETHER]
                if _is_dirty(some):
                    self._by_text |= {text: cleaned for text in some if (cleaned := _clean_one(text)) != text}
        return bool(self._by_text) or any(map(is_secret_name, names))

    def text(self, text: str) -> str:
        """Return a text as it may be kept."""
        return self._by_text.get(text, text)

    def attributes(self, attributes: Attributes) -> Attributes:
        """Return attributes as they may be kept."""
        return {self.text(name): self._of(name, value) for name, value in attributes.items()}

    def value(self, value: Any) -> Any:
        """Return a value as it may be kept."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return self.attributes(value)
        return [self.value(item) for item in value] if isinstance(value, list) else value

    def _of(self, name: str, value: Any) -> Any:
        if name in RESPONSE_IDS:
            return value.replace("\0", "") if isinstance(value, str) else value
        return clean({name: value})[name] if is_secret_name(name) else self.value(value)


@functools.lru_cache(maxsize=KEPT_NAMES)
def is_secret_name(name: str) -> bool:
    """Say whether the value of an attribute of this name is a secret, whatever it looks like."""
    return bool(clean({"-": "-", name: "-"}).get(name, "-") != "-")


def _is_dirty(texts: Iterable[str]) -> bool:
    """Say whether any of the texts may hold something to clean. The quotes end each as they would in JSON."""
    joined = '"'.join(texts) + '"'
    return "\0" in joined or needs_cleaning(joined.encode("utf-8", "replace"))


def _clean_one(text: str) -> str:
    """Clean one text: as the JSON that it holds, or as it is."""
    if not _is_dirty((text,)):
        return text
    if not _is_dirty((_NUMBERS.sub("0", text),)):
        return _NUMBERS.sub(lambda number: str(clean_text(number[0])), text)  # nothing but numbers that may be cards
    if text[:1] in {"{", "["}:
        try:
            value = json.loads(text)
            cleaned = clean(value)
            return text if cleaned == value else json.dumps(cleaned, ensure_ascii=False, separators=(",", ":"))
        except (ValueError, RecursionError):
            pass  # it only looks like JSON
    return str(clean_text(text))


def clean_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a decoded JSON object cleaned, for doors whose bodies are JSON already; its ids stay as they are."""
    if not needs_cleaning(msgspec.json.encode(body)):
        return dict(body)
    return {
        str(clean_text(name)): value if name in IDS and isinstance(value, str) else clean({name: value})[clean_text(name)]
        for name, value in body.items()
    }
