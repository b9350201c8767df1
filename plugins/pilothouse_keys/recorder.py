"""Counting the uses of keys: each model call that names its key, in the transaction that records it."""

from __future__ import annotations

from collections import Counter

from pilothouse.sdk import Batch, Recorded, run_many

_COUNT = """
UPDATE provider_keys SET usage_count = usage_count + ?,
last_used_at = CASE WHEN last_used_at IS NULL OR last_used_at < ? THEN ? ELSE last_used_at END WHERE id = ?
"""


def count_uses(batch: Batch) -> Recorded:
    """Count the calls that were made with keys of the vault; other names of keys are nobody's here."""
    uses: Counter[str] = Counter()
    last: dict[str, int] = {}
    for signal in batch.signals:
        if signal.key_id:
            at = batch.received_at if signal.at is None else signal.at
            uses[signal.key_id] += 1
            last[signal.key_id] = max(at, last.get(signal.key_id, 0))
    run_many(batch.connection, _COUNT, [(uses[key], last[key], last[key], key) for key in sorted(uses)])
    return Recorded()
