"""A nursery of processes that compact until they are killed: `python measure_compactor.py FOLDER DATABASE_URL`.

Each line on stdin starts one; its number is written to stdout.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from measure_trial import trial_plugin

from pilothouse import measure_rollups
from pilothouse.testing import environment, make_app


def compact_for_ever(app):
    with app.app_context():
        while True:
            measure_rollups.compact_step()


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the killed
    made = make_app(environment(Path(sys.argv[1]), PILOTHOUSE_DATABASE_URL=sys.argv[2]), [trial_plugin()])
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            compact_for_ever(made)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
