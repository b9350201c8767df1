"""Send mutated bodies: `make fuzz`, or `make fuzz FUZZ="--bodies 10000 --seed 7"`. A fault's body is kept in `--keep`.

`--served` sends them over HTTP to a `pilothouse up`, whose processes must all outlive them; without it they are sent within this
process, which also tells what failed behind an answer and how much processor time it took.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.fuzz.sending import Found, round_of, target
from tests.fuzz.serving import served, served_round

ROUND = 5_000  # bodies on one database, or between two looks at the processes
Round = Callable[[int, int, Found, Path], None]


def main() -> int:
    """Send what is asked for; the exit code is 1 where anything failed."""
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--bodies", type=int, default=1_000_000, help="how many (default 1,000,000)")
    parser.add_argument("--seed", type=int, default=1, help=f"of the first round; each round of {ROUND} bodies has the next")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-faults"), help="where bodies that make something fail are kept")
    parser.add_argument("--served", action="store_true", help="over HTTP, at a `pilothouse up`")
    options = parser.parse_args()
    found, begun, sent, seed, told = Found(), time.monotonic(), 0, options.seed, 0
    with _served() if options.served else _within() as send:
        while sent < options.bodies:
            count = min(ROUND, options.bodies - sent)
            send(count, seed, found, options.keep)
            sent, seed = sent + count, seed + 1
            for fault in found.faults[told:]:
                print(fault, flush=True)
            told = len(found.faults)
            spent = f"{sent:,} bodies in {time.monotonic() - begun:,.0f} s, {len(found.faults)} faults"
            print(f"{spent}, slowest {found.slowest_s:.2f} s", file=sys.stderr, flush=True)
    print(f"{sent:,} bodies, {found.pages:,} pages over what they left, {found.jobs:,} jobs: {len(found.faults)} faults")
    for (door, status), count in sorted(found.answers.items()):
        print(f"| {door} | {status} | {count:,} |")
    return 1 if found.faults else 0


@contextmanager
def _within() -> Iterator[Round]:
    with target() as made:
        yield partial(round_of, made)


@contextmanager
def _served() -> Iterator[Round]:
    with tempfile.TemporaryDirectory(prefix="ph-fuzz-") as folder, served(Path(folder)) as made:
        yield partial(served_round, made)


if __name__ == "__main__":
    sys.exit(main())
