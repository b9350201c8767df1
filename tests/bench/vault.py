"""Section 4 of the bar: 10,000 provider keys wrapped anew with a new master key, crypto and writes together."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.bench.figures import Figure, at_most

from pilothouse import clock, migrate
from pilothouse.crypto import MASTER_FILE, Place, add_master_key
from pilothouse.db import db, unit_of_work
from pilothouse.runtime import runtime
from pilothouse.testing import environment, make_app
from pilothouse_keys import service
from pilothouse_keys.models import ProviderKey

KEYS = 10_000
MOST_S = 5


def rewrapping(_rows: int) -> list[Figure]:
    """Fill a vault, put a new master key before the other and wrap everything with it."""
    with tempfile.TemporaryDirectory() as made:
        add_master_key(Path(made) / MASTER_FILE)
        environ = {name: value for name, value in environment(Path(made)).items() if name != "PILOTHOUSE_MASTER_KEYS"}
        with make_app(environ).app_context():
            migrate.upgrade()
            _fill()
            add_master_key(Path(made) / MASTER_FILE)
            runtime().keyring.reload()
            begun = time.perf_counter()
            moved = service.rewrap_all()
            spent = time.perf_counter() - begun
            assert moved == KEYS
            db.session.remove()
            db.engine.dispose()
    return [at_most("V1", f"{KEYS:,} keys wrapped with a new master key", spent, MOST_S, unit="s", digits=1)]


def _fill() -> None:
    keyring, at = runtime().keyring, clock.now()
    with unit_of_work() as session:
        for number in range(KEYS):
            key_id = f"key-{number:06}"
            sealed = keyring.seal(f"sk-bench-{number:06}", Place(service.TABLE, key_id, service.FIELD))
            session.add(ProviderKey(
                id=key_id, name="bench", service="openai", version=1, sealed=sealed, last4="0000", fingerprint="f", usage_count=0,
                created_at=at,
            ))  # fmt: skip
