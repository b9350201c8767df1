"""What a message says without what changes from one occurrence to the next: numbers, ids, addresses, quoted texts."""

from __future__ import annotations

import re

LONGEST = 1_000  # characters of a message that tell it apart; what follows is data

_QUOTED = re.compile(
    r"(?<!\w)(?:'[^'\n]{0,300}'|\"[^\"\n]{0,300}\"|`[^`\n]{0,300}`|\u201c[^\u201d\n]{0,300}\u201d|\u00ab[^\u00bb\n]{0,300}\u00bb)(?!\w)"
)
_VARYING = re.compile(r"[\d/\\@]|:.?:")  # a word without any of these is one of the language
# In this order: each takes away what a later one would see only in part.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]{1,20}://[^<>\"']+"), "<url>"),
    (re.compile(r"(?<![\w.+\-])[\w.+\-]{1,64}@[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,8}"), "<email>"),
    (re.compile(r"\b\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)?(?:Z|[+\-]\d{2}:?\d{2})?(?!\w)"), "<time>"),
    (re.compile(r"\b\d{1,2}:\d{2}:\d{2}(?:[.,]\d{1,9})?(?:Z|[+\-]\d{2}:?\d{2})?(?!\w)"), "<time>"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?\b"), "<address>"),
    (re.compile(r"(?<![\w:])(?=[:.]{0,2}[0-9a-fA-F])(?=[0-9a-fA-F.]{0,4}:[0-9a-fA-F.]{0,4}:)[0-9a-fA-F:.]{3,45}(?:%\w{1,16})?(?![\w:])"),
     "<address>"),
    (re.compile(r"\b[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,8}:\d{2,5}\b|\blocalhost:\d{2,5}\b"), "<address>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<hex>"),
    (re.compile(r"(?<![\w/\\<.])(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][\w.\-+@%$]{1,255})+[/\\]?"), "<path>"),
    (re.compile(r"(?<![\w<])(?=[\w\-]{0,255}\d)(?=[\w\-]{0,255}[a-zA-Z_])[\w\-]{6,256}(?![\w>])"), "<id>"),
    (re.compile(r"(?<![\w.])[+\-]?\d+(?:[.,]\d+)*(?:[eE][+\-]?\d+\b)?"), "<n>"),
    (re.compile(r"\d+(?:\.\d+)*"), "<n>"),
)  # fmt: skip


def normalise(message: str) -> str:
    """Return the message with what varies replaced by marks such as `<n>`, `<id>`, `<path>`, `<text>`.

    A word with a digit in it varies, other words do not. Reads the first 1,000 characters.
    """
    words = _QUOTED.sub("<text>", message[:LONGEST]).split()
    text = " ".join(word if word.isalpha() or _VARYING.search(word) is None else _mark(word) for word in words)
    return text.replace("<time> <time>", "<time>")


def _mark(word: str) -> str:
    for pattern, mark in _PATTERNS:
        word = pattern.sub(mark, word)
    return word
