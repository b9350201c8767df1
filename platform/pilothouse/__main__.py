"""`python -m pilothouse`: the command line, found without a script on PATH."""

from __future__ import annotations

from pilothouse.cli import main

if __name__ == "__main__":
    main()
