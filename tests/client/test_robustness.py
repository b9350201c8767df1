"""Whatever a program hands over, it goes on; what JSON cannot hold is told as well as it can be."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

import pilothouse_client
from pilothouse_client import Client


class Broken:
    """An object that cannot be shown."""

    def __repr__(self):
        raise RuntimeError("no repr")


class BrokenError(Exception):
    """An exception that cannot be shown."""

    def __str__(self):
        raise RuntimeError("no str")


def sent(client, ledger, value):
    client.track("value", properties={"value": value})
    return ledger.one("event")["properties"]["value"]


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        ("grün ✓", "grün ✓"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (2**64, "0x10000000000000000"),
        (-(2**63), -(2**63)),
        (b"ab", "b'ab'"),
        ({"a"}, ["a"]),
        ((1, [2]), [1, [2]]),
        ({1: {None: 2}}, {"1": {"None": 2}}),
        (Decimal("1E-7"), "0.0000001"),
        (UUID(int=1), "UUID('00000000-0000-0000-0000-000000000001')"),
        ("nul\0", "nul\ufffd"),
        ("lone \ud800", "lone ?"),
        (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T00:00:00+02:00"),
        (Broken(), "<Broken: could not be read, RuntimeError>"),
        ([Broken()], ["<Broken: could not be read, RuntimeError>"]),
        (range(2), "range(0, 2)"),
    ],
)
def test_values_go_in_a_form_that_json_holds(client, ledger, value, form):
    assert sent(client, ledger, value) == form


def test_a_path_and_an_object_go_as_their_repr(client, ledger):
    assert sent(client, ledger, [Path("/x"), Broken]) == ["PosixPath('/x')", repr(Broken)]


def test_a_value_that_holds_itself_ends(client, ledger):
    loop = []
    loop.append(loop)
    assert "left out: too deep" in str(sent(client, ledger, loop))


def test_a_value_that_unfolds_without_end_ends(client, ledger):
    wide = [0]
    for _ in range(18):
        wide = [wide, wide, wide]
    assert len(str(sent(client, ledger, wide))) < 70_000


def test_what_is_too_long_is_cut_with_a_mark(client, ledger):
    with client.execution("r", input="x" * 100_000) as run:
        run.set_output(["y" * 1_000] * 500)
    assert ledger.one("execution", status="running")["input"].endswith("… [cut: 100000 characters]")
    output = ledger.one("execution", status="succeeded")["output"]
    assert output.startswith('["yyy')
    assert 65_000 < len(output) < 65_536


def test_attributes_stay_an_object_when_they_are_cut(client, ledger):
    with client.execution("r", attributes={"big": ["x" * 1_000] * 500}):
        pass
    assert "[cut:" in ledger.one("execution", status="running")["attributes"]["value"]


def test_a_value_is_told_as_it_was_when_it_was_handed_over(client, ledger):
    pages = [1]
    client.track("a", properties={"pages": pages})
    pages.append(2)
    assert ledger.one("event")["properties"]["pages"] == [1]


def test_a_dictionary_that_changes_meanwhile_is_survived(client, ledger):
    shared, stop = {}, threading.Event()

    def change():
        while not stop.is_set():
            shared.update(dict.fromkeys(range(500)))
            shared.clear()

    thread = threading.Thread(target=change)
    thread.start()
    for _ in range(300):
        client.track("a", properties=shared)
    stop.set()
    thread.join()
    client.flush()
    assert len(ledger.of("event")) == 300


def test_names_are_cut_to_what_the_server_takes(client, ledger):
    with client.execution("w" * 300) as run, run.step(""):
        pass
    assert ledger.one("execution", status="running")["workflow"] == "w" * 255
    assert ledger.one("step", status="running")["name"] == "unnamed"


def test_a_kind_of_step_that_there_is_not_becomes_other(client, ledger):
    with client.execution("r") as run, run.step("s", kind="magic"):
        pass
    assert ledger.one("step", status="running")["kind"] == "other"


def test_texts_that_are_no_texts_become_some(client, ledger):
    with client.execution(None, user=7, id=UUID(int=1), agent=Broken()):
        pass
    started = ledger.one("execution", status="running")
    assert (started["workflow"], started["user"], started["id"]) == ("None", "7", str(UUID(int=1)))
    assert started["agent"].startswith("<Broken")


def test_a_field_that_there_is_not_is_left_out_and_named(client, ledger, caplog):
    with client.execution("r", agnet="typo"):
        pass
    assert "agnet" not in ledger.one("execution", status="running")
    assert "execution has no agnet" in caplog.text


def test_an_exception_that_cannot_be_shown_is_reported(client, ledger):
    client.capture_exception(BrokenError())
    error = ledger.one("error")
    assert error["error_type"].endswith("BrokenError")
    assert "its text could not be made" in error["message"]


@pytest.mark.parametrize("wrong", ["a string", 7, Broken()])
def test_capturing_what_is_no_exception_is_survived(client, ledger, wrong):
    client.capture_exception(wrong)
    client.track("alive")
    assert ledger.one("event")


def test_a_naive_time_is_local_time(client, ledger):
    client.track("a", at=datetime(2026, 1, 2, 3, 4))
    at = datetime.fromisoformat(ledger.one("event")["at"])
    assert at == datetime(2026, 1, 2, 3, 4).astimezone()


def test_milliseconds_go_as_they_are(client, ledger):
    client.track("a", at=1_767_323_045_000)
    assert ledger.one("event")["at"] == 1_767_323_045_000


@pytest.mark.parametrize("url", [None, "", "localhost:8080", "file:///etc/passwd", "http://"])
def test_without_a_usable_address_a_program_runs_the_same(caplog, monkeypatch, url):
    monkeypatch.delenv("PILOTHOUSE_URL", raising=False)
    client = Client(url, "token")
    with client.execution("r") as run, run.step("s"):
        run.record_tokens(model="m", prompt_tokens=1, completion_tokens=1)
        client.track("a")
    assert client.flush()
    assert caplog.text.count("nothing is reported") == 1
    client.close()


def test_without_a_token_the_log_says_what_to_do(caplog, monkeypatch):
    monkeypatch.delenv("PILOTHOUSE_TOKEN", raising=False)
    Client("http://127.0.0.1:1").close()
    assert "no token (or $PILOTHOUSE_TOKEN)" in caplog.text


def test_address_and_token_come_from_the_environment(server, spool, monkeypatch):
    monkeypatch.setenv("PILOTHOUSE_URL", server.url)
    monkeypatch.setenv("PILOTHOUSE_TOKEN", "from-environment")
    with Client() as client:
        client.track("a")
    assert server.ledger.requests[0]["authorization"] == "Bearer from-environment"


def test_reports_from_many_threads_all_arrive(client, ledger):
    threads = [threading.Thread(target=lambda: [client.track("a") for _ in range(200)]) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush()
    assert len({event["id"] for event in ledger.of("event")}) == 2_000


def test_reporting_costs_the_program_little(client, ledger, until):
    began = time.perf_counter()
    for _ in range(2_000):
        client.track("a", properties={"page": 1})
    # Measured at about 25 microseconds; a request in the caller's thread would take a thousand.
    assert (time.perf_counter() - began) / 2_000 < 0.0005


def test_an_interrupt_while_reporting_is_the_programs_own(client):
    class Interrupts:
        def __repr__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.track("a", properties={"value": Interrupts()})


def test_the_public_names_are_these():
    assert pilothouse_client.__all__ == [
        "Cancelled",
        "Client",
        "Command",
        "Execution",
        "Step",
        "current_execution",
        "current_step",
    ]


@pytest.mark.parametrize("wrong", ["text", 5, ["a"], Broken()])
def test_attributes_that_are_none_keep_nobody_from_the_end(client, ledger, wrong):
    with pytest.raises(KeyError), client.execution("w", attributes=wrong) as run, run.step("s", attributes=wrong) as step:
        run.set_attributes(more=1)
        step.set_attributes(more=1)
        raise KeyError
    assert ledger.one("step", status="failed")["attributes"]["more"] == 1
    assert ledger.one("execution", status="failed")["attributes"]["more"] == 1
    assert client.capture_exception(ValueError("x"), attributes=wrong)
