"""P10: `pilothouse up` to the first page answered, and the idle memory of all its processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from tests.bench import servers
from tests.bench.figures import Figure, at_most
from uv import find_uv_bin

IDLE_S = 15


def start_and_memory(_rows: int) -> list[Figure]:
    """Start three times; memory is PSS after a pause, which counts shared pages once.

    In an environment as `make run` makes it: packages for development are imported where they are there, and cost memory.
    """
    starts = []
    memory = 0.0
    with tempfile.TemporaryDirectory() as made:
        programs = _install(Path(made))
        for number in range(3):
            with servers.console(programs=programs) as console:
                starts.append(console.started_s)
                if number == 0:
                    time.sleep(IDLE_S)
                    memory = _pss(console.process.pid) / 1e6
    return [
        at_most("P10", "first start to the first page", sorted(starts)[1], 4, unit="s", digits=1),
        at_most("P10", "idle memory, all processes (PSS)", memory, 300, unit="MB"),
    ]


def _install(folder: Path) -> Path:
    """Install what a user gets into an environment of its own; returns the folder of its programs."""
    programs = folder / "bin"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    install = [find_uv_bin(), "pip", "install", "--quiet", "--compile-bytecode", "--python", str(programs / "python")]
    subprocess.run([*install, "--requirement", "requirements.txt"], check=True)
    source = shutil.copytree(".", folder / "source", ignore=shutil.ignore_patterns(".*", "*.egg-info", "build", "pilothouse-data"))
    subprocess.run([*install, "--no-deps", str(source)], check=True)  # a copy, since building leaves its own files there
    return programs


def _pss(pid: int) -> int:
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(_pss_of(process.pid) for process in processes)


def _pss_of(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
