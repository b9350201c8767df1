"""Run the benchmarks: `make bench`, or `make bench BENCH="P1 P5 --rows 100000"` for some of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from tests.bench import bench_otlp, exports, gateway, ingest, lists, notices, pages, postgres, start, trends, vault
from tests.bench.figures import Figure, print_table

BENCHES: dict[str, Callable[[int], list[Figure]]] = {
    "P1": ingest.batches,
    "P2": ingest.single_signals,
    "P3": postgres.batches,
    "P4": bench_otlp.batches,
    "P5": lists.list_pages,
    "P6": trends.ninety_days,
    "P7": pages.console_pages,
    "P8": notices.fan_out,
    "P9": gateway.overhead,
    "P10": start.start_and_memory,
    "P11": exports.exports,
    "P12": pages.open_console,
    "P13": ingest.stored_bytes,
    "V1": vault.rewrapping,
}


def main() -> int:
    """Run what is asked for and print one table."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("names", nargs="*", metavar="P1", help=f"some of {', '.join(BENCHES)}; all if left out")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the large stores (default 1,000,000)")
    options = parser.parse_args()
    wanted = options.names or list(BENCHES)
    unknown = [name for name in wanted if name not in BENCHES]
    if unknown:
        parser.error(f"no benchmark named {', '.join(unknown)}")
    figures: list[Figure] = []
    for name in wanted:
        print(f"{name} ...", file=sys.stderr, flush=True)
        found = BENCHES[name](options.rows)
        print_table(found)
        figures += found
    if len(wanted) > 1:
        print_table(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
