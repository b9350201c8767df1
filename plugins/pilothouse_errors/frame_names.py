"""What identifies a frame: module or file and function, without what changes from build to build; and whose code it is."""

from __future__ import annotations

import functools
import re
import sys

from pilothouse.sdk import Frame

KEPT = 8_192  # frames whose name is remembered: programs fail at the same places again and again

# Parts of a path below which lies what somebody else wrote.
_FOREIGN_PATHS = re.compile(
    r"(?:^|/)(?:site-packages|dist-packages|node_modules|vendor|bower_components|\.venv|\.cargo|\.rustup)(?:/|$)"
    r"|(?:^|/)lib(?:64)?/(?:python|pypy|jvm|ruby)[\d.]*(?:/|$)"
    r"|(?:^|/)(?:python|pypy)\d[\w.]*/lib/"
    r"|^<frozen |^<__array_function__|^node:|^internal/|^native$|^\[native code\]|^<anonymous>$|^webpack/(?:bootstrap|runtime)",
    re.IGNORECASE,
)
_FOREIGN_MODULES = re.compile(
    r"^(?:java|javax|jakarta|jdk|sun|com\.sun|kotlin|kotlinx|scala|groovy|clojure"
    r"|org\.(?:springframework|apache|hibernate|junit|eclipse|jboss|gradle)|io\.(?:netty|micrometer|grpc)|reactor|akka"
    r"|com\.google\.common|com\.fasterxml)\."
)
_PACKAGE = re.compile(r".*(?:^|/)(?:site-packages|dist-packages|node_modules)/((?:@[^/]+/)?[^/]+)")
_ANONYMOUS = frozenset({"", "?", "<anonymous>", "anonymous", "<unknown>"})
_BUILD = re.compile(
    r"0x[0-9a-fA-F]+"  # addresses
    r"|(?<![0-9a-fA-F])(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{8,}"  # hashes of builds, looked for once in a word however long
    r"|\$\d+"  # Java's numbered classes, accessors and lambdas
    r"|\d{3,}"  # serial numbers; a digit or two is part of a name, such as `v2`
)
_DIRECTORY_BUILD = re.compile(  # also release numbers
    r"0x[0-9a-fA-F]+|(?<![0-9a-fA-F])(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{7,}|\d+(?:\.\d+)*"
)
_NOISE = re.compile(r"^(?:async |Object\.|Module\.|Function\.)+|(?<=\S) \[as [^\]]*\]$")


def frame_name(frame: Frame) -> str:
    """Return `module:function` of a frame, `directory/file:function` where it names no module; never a line number."""
    return _name(frame.module, frame.file, frame.function)


def package_of(frame: Frame) -> str:
    """Return the package that a frame of somebody else's code belongs to; empty where neither path nor module tells."""
    found = _PACKAGE.search(frame.file.replace("\\", "/"))
    return found[1].removesuffix(".py") if found else frame.module.partition(".")[0]


def is_in_app(frame: Frame) -> bool:
    """Say whether a frame is the user's own code: what the client says, else guessed from path and module."""
    return _is_own(frame.module, frame.file) if frame.in_app is None else frame.in_app


@functools.lru_cache(maxsize=KEPT)
def _name(module: str, file: str, function: str) -> str:
    function = _NOISE.sub("", function.strip())
    function = "?" if function in _ANONYMOUS else _BUILD.sub("#", function)
    return f"{_place(module, file)}:{function}"


@functools.lru_cache(maxsize=KEPT)
def _is_own(module: str, file: str) -> bool:
    path = file.replace("\\", "/")
    if _FOREIGN_PATHS.search(path) or _FOREIGN_MODULES.match(module):
        return False
    # without a path only the module tells; with one, a user's own `queue.py` must not pass for the library's
    return bool(path) or module == "__main__" or module.partition(".")[0] not in sys.stdlib_module_names


def _place(module: str, file: str) -> str:
    if module and module != "__main__":
        return _BUILD.sub("#", module)
    path = file.replace("\\", "/").partition("?")[0].rstrip("/")
    directory, _, name = path.rpartition("/")
    stem = _BUILD.sub("#", name.rpartition(".")[0] or name)
    # one directory is enough to tell files of one name apart; the rest changes from machine to machine
    parent = _DIRECTORY_BUILD.sub("#", directory.rpartition("/")[2])
    return f"{parent}/{stem}" if parent else stem
