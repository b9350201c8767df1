"""`make bench`: each figure of docs/benchmarks.md as a ratio to a limit that is taken in the same run."""
