"""Send mutated bodies: `make fuzz`, or `make fuzz FUZZ="--bodies 10000 --seed 7"`. A fault's body is kept in `--keep`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.sending import Found, round_of, target

ROUND = 5_000  # bodies on one database


def main() -> int:
    """Send what is asked for; the exit code is 1 where anything failed."""
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--bodies", type=int, default=1_000_000, help="how many (default 1,000,000)")
    parser.add_argument("--seed", type=int, default=1, help=f"of the first round; each round of {ROUND} bodies has the next")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-faults"), help="where bodies that make something fail are kept")
    options = parser.parse_args()
    found, begun, sent, seed, told = Found(), time.monotonic(), 0, options.seed, 0
    with target() as made:
        while sent < options.bodies:
            count = min(ROUND, options.bodies - sent)
            round_of(made, count, seed, found, options.keep)
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


if __name__ == "__main__":
    sys.exit(main())
