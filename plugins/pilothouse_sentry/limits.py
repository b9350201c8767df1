"""How much one request may hold. Over the first is 413; what is over the others is cut, and the rest is kept."""

from __future__ import annotations

MOST_BYTES = 20 * 1024 * 1024  # of a body after decompression: an event of 1 MB and its attachments
MOST_ITEMS = 1_000  # items of one envelope that are read; SDKs send 100 at most
MOST_SIGNALS = 20_000  # made of one envelope: SDKs send 1,000 spans in a transaction, 100 logs in an item

MOST_VALUES = 5_000  # of a list or map
DEEPEST = 32  # lists and maps inside of each other; frames with their variables take ten
LONGEST_TEXT = 262_144  # characters of any text that is kept: a model's window of 64,000 tokens
LONGEST_NAME = 255
LONGEST_KEY = 255
LONGEST_MESSAGE = 65_536
LONGEST_STACK = 1_048_576
LONGEST_LINE = 4_096  # characters of a line of source
MOST_FRAMES = 999  # as SDKs do: of more the outermost and the innermost are kept
MOST_EXCEPTIONS = 64  # of a chain or group
MOST_BREADCRUMBS = 100  # the newest ones; SDKs keep as many by default
