"""Where to go after signing in: a path of this host, never an address that somebody put into a link."""

from __future__ import annotations

HOME = "/"
LONGEST = 2_000


def local_path(wanted: str | None) -> str:
    r"""Return the path if it stays on this host, else the home page.

    Browsers read `//host` and `/\host` as another host, and drop tabs and line ends inside of an address.
    """
    wanted = wanted or ""
    local = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and "\\" not in wanted
    if not local or len(wanted) > LONGEST or not wanted.isascii() or not wanted.isprintable() or " " in wanted:
        return HOME
    return wanted
