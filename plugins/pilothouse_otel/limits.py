"""How much one request may hold. Over the first three is 413; what is over the others is cut, and the rest is kept."""

from __future__ import annotations

MOST_BYTES = 10 * 1024 * 1024  # of a body after decompression, as /api/ingest takes
MOST_SPANS = 20_000  # spans, log records or data points: the Collector sends 8,192 at once unless told otherwise
MOST_ITEMS = 5_000  # events of one Langfuse batch, items of one openai-agents batch

MOST_ATTRIBUTES = 256  # of a span, event or resource; SDKs stop at 128 by default
MOST_EVENTS = 128  # of a span, as many as SDKs keep by default
MOST_VALUES = 1_000  # of a list or map inside of an attribute
DEEPEST = 16  # lists and maps inside of each other
LONGEST_TEXT = 262_144  # characters of an attribute, prompt or answer: a model's window of 64,000 tokens
LONGEST_NAME = 255
LONGEST_MESSAGE = 65_536
LONGEST_STACK = 1_048_576
LONGEST_KEY = 255
