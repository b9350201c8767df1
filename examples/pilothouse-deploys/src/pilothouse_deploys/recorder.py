"""Recording deployments: the first report of an id is stored and counted, later ones change nothing."""

from __future__ import annotations

from pilothouse.sdk import Batch, Bulk, Recorded, known_ids
from pilothouse_deploys.models import DeployRow

COUNT = "deploys.count"
COLUMNS = ("id", "service", "version", "environment", "by", "at")
_INSERT = Bulk(DeployRow.__table__, COLUMNS)


def record(batch: Batch) -> Recorded:
    """Store the new ones of a batch, inside the transaction of the whole report."""
    seen = known_ids(batch.connection, DeployRow.__table__, [signal.id for signal in batch.signals])
    duplicates, rows = set(), []
    for place, signal in enumerate(batch.signals):
        if signal.id in seen:
            duplicates.add(place)
            continue
        seen.add(signal.id)
        at = batch.received_at if signal.at is None else signal.at
        rows.append((signal.id, signal.service, signal.version, signal.environment, signal.by, at))
        batch.measures.add(COUNT, at, (signal.service, signal.environment))
    _INSERT.insert(batch.connection, rows)
    return Recorded(duplicates=frozenset(duplicates))
