"""The life of a process: its start, forks, children, threads, and an end within bounds."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

import pilothouse_client

FORK = """
client.track("parent.before")
client.flush()
child = os.fork()
if child == 0:
    client.track("child")
    client.flush()
    os._exit(0)
client.track("parent.after")
os.waitpid(child, 0)
"""

UNSENT = """
import threading
with client.execution("slow"):
    for n in range(100):
        client.track("e", properties={"n": n})
    child = os.fork()
    if child == 0:
        client.track("child")
        client.flush()
        os._exit(0)
    os.waitpid(child, 0)
"""

LOCKED = """
import threading
def chatter():
    while True:
        client.track("noise")
        time.sleep(0.0002)
for _ in range(4):
    threading.Thread(target=chatter, daemon=True).start()
time.sleep(0.3)
for _ in range(20):
    child = os.fork()
    if child == 0:
        client.track("child")
        os._exit(0 if client.flush(5) else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
os._exit(0)
"""

POOL = """
import multiprocessing
def work(n):
    client.track("pool", properties={"n": n})
if __name__ == "__main__":
    workers = [multiprocessing.get_context("fork").Process(target=work, args=(n,)) for n in range(3)]
    for each in workers: each.start()
    for each in workers: each.join()
"""


def timed(run, *args):
    began = time.monotonic()
    result = run(*args)
    return time.monotonic() - began, result


def test_the_end_of_the_process_sends_what_waits(run, ledger):
    assert run("for _ in range(300): client.track('e')") == (0, "", "")
    assert len(ledger.of("event")) == 300


def test_an_exception_that_ends_the_process_is_reported(run, ledger):
    status, _, err = run("with client.execution('r'):\n  raise ValueError('end')")
    assert status == 1
    assert err.endswith("ValueError: end\n")
    assert ledger.one("execution", status="failed")["error"]["message"] == "end"


def test_a_client_that_reports_nothing_sends_nothing(run, ledger):
    assert run("") == (0, "", "")
    assert ledger.requests == []


def test_a_server_that_hangs_does_not_hold_up_the_end(run, ledger, spool):
    ledger.delay = 30
    took, (status, _, _) = timed(run, "client.track('e')")
    assert status == 0
    assert took < 4
    assert len(list(spool.glob("*/*.signals"))) == 1


def test_a_server_that_is_away_does_not_hold_up_the_end(run, server, spool):
    server.stop()
    took, (status, _, _) = timed(run, "for _ in range(1000): client.track('e')")
    assert status == 0
    assert took < 3
    assert sum(len(path.read_text().splitlines()) for path in spool.glob("*/*.signals")) == 1_000
    server.start_again()


def test_the_time_for_the_end_can_be_set(run, ledger):
    ledger.delay = 30
    script = "client = pilothouse_client.Client(exit_timeout=0.2)\nclient.track('e')"
    took, _ = timed(run, script)
    assert took < 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_reports_for_itself(run, ledger):
    assert run(FORK)[0] == 0
    assert sorted(event["name"] for event in ledger.signals) == ["child", "parent.after", "parent.before"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_sends_nothing_twice(run, ledger):
    assert run(UNSENT)[0] == 0
    assert sorted(event["properties"]["n"] for event in ledger.of("event", name="e")) == list(range(100))
    assert len(ledger.of("event", name="child")) == 1
    assert len(ledger.of("execution")) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_amid_busy_threads_does_not_hang_the_child(run, ledger):
    assert run(LOCKED)[::2] == (0, "")
    assert len(ledger.of("event", name="child")) == 20


def test_children_of_multiprocessing_send_before_they_end(run, ledger):
    assert run(POOL)[0] == 0
    assert sorted(event["properties"]["n"] for event in ledger.of("event", name="pool")) == [0, 1, 2]


def test_a_report_at_the_very_end_is_not_lost(run, ledger, spool):
    script = "import atexit\nclient.close\natexit.register(lambda: client.track('last'))"
    assert run(script)[0] == 0
    kept = "".join(path.read_text() for path in spool.glob("*/*.signals"))
    assert ledger.of("event", name="last") or '"last"' in kept


def test_importing_the_package_starts_nothing_and_imports_little(run):
    script = "import threading\nprint(threading.active_count(), 'asyncio' in sys.modules, 'celery' in sys.modules)"
    assert run(script, "-W", "error")[1] == "1 False False\n"


@pytest.mark.parametrize(
    "module",
    [path.stem for path in Path(pilothouse_client.__file__).parent.glob("*.py") if path.stem != "__init__"],
)
def test_each_module_imports_alone_without_warnings(run, module):
    assert run(f"import pilothouse_client.{module}", "-W", "error") == (0, "", "")


def test_first_signals_from_many_threads_start_one_thread(connect, until):
    for _ in range(30):
        client, gate = connect(), threading.Barrier(8)
        before = {thread.ident for thread in threading.enumerate()}
        racers = [threading.Thread(target=lambda to=client, at=gate: (at.wait(), to.track("a"))) for _ in range(8)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        names = [thread.name for thread in threading.enumerate() if thread.ident not in before]
        assert names.count("pilothouse-delivery") == 1
        client.close()
        until(lambda: "pilothouse-delivery" not in {thread.name for thread in threading.enumerate()})
