"""The way to the server: batches, refusals, outages, and what is on disk meanwhile."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import stat
import time
from email.utils import formatdate
from pathlib import Path

import pytest


def spooled(spool):
    return sorted(spool.glob("*/*.signals"))


def lines(spool):
    return [json.loads(line) for path in spooled(spool) for line in path.read_text().splitlines()]


def test_a_request_is_json_with_the_token(client, ledger):
    client.track("a")
    ledger.wait_for("event")
    request = ledger.requests[0]
    assert (request["path"], request["authorization"]) == ("/api/ingest", "Bearer ph_access_test")
    assert request["content-type"] == "application/json"
    assert "content-encoding" not in request


def test_a_large_request_is_compressed(client, ledger):
    client.track("a", properties={"text": "x" * 5_000})
    ledger.wait_for("event")
    assert ledger.requests[0]["content-encoding"] == "gzip"
    assert int(ledger.requests[0]["content-length"]) < 500


def test_signals_that_come_together_go_together(client, ledger):
    for number in range(50):
        client.track("a", properties={"number": number})
    events = ledger.wait_for("event", 50)
    assert [event["properties"]["number"] for event in events] == list(range(50))
    assert len(ledger.batches) <= 3


def test_no_batch_is_larger_than_200_signals(client, ledger):
    for _ in range(1_000):
        client.track("a")
    assert client.flush()
    assert len(ledger.of("event")) == 1_000
    assert max(map(len, ledger.batches)) <= 200


def test_flush_says_whether_everything_arrived(client, ledger):
    client.track("a")
    assert client.flush()
    ledger.away = True
    client.track("b")
    assert not client.flush(timeout=5)
    ledger.away = False
    assert client.flush(timeout=5)
    assert len(ledger.of("event")) == 2


def test_flush_gives_up_in_time(client, ledger):
    ledger.delay = 3
    client.track("a")
    began = time.monotonic()
    assert not client.flush(timeout=0.3)
    assert time.monotonic() - began < 2.5  # the answer comes after 3 s


def test_after_close_nothing_more_is_reported(client, ledger):
    client.track("a")
    client.close()
    client.track("b")
    with client.execution("late"):
        pass
    client.close()
    assert [event["name"] for event in ledger.signals] == ["a"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 507])
def test_an_outage_is_waited_out(client, ledger, status):
    ledger.answer_next(status)
    client.track("a")
    assert len(ledger.wait_for("event")) == 1
    assert len(ledger.requests) == 2


def test_a_cut_connection_is_an_outage(client, ledger, spool, until):
    ledger.cut = True
    client.track("a")
    until(lambda: spooled(spool))
    ledger.cut = False
    assert ledger.one("event", name="a")


def test_signals_of_an_outage_lie_in_the_spool_for_their_owner_only(client, server, spool, until):
    server.stop()
    client.track("a")
    until(lambda: spooled(spool))
    [file] = spooled(spool)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [each["name"] for each in lines(spool)] == ["a"]
    server.start_again()


def test_the_spool_is_emptied_when_the_server_is_back(client, server, spool, until):
    server.stop()
    for name in "abc":
        client.track(name)
        client.flush(timeout=2)
    assert len(lines(spool)) == 3
    server.start_again()
    assert [event["name"] for event in server.ledger.wait_for("event", 3)] == ["a", "b", "c"]
    until(lambda: not spooled(spool))


def test_tries_come_less_and_less_often(client, ledger):
    ledger.away = True
    client.track("a")
    time.sleep(3.2)
    assert 2 <= len(ledger.arrivals) <= 6
    waits = [later - earlier for earlier, later in zip(ledger.arrivals, ledger.arrivals[1:], strict=False)]
    assert 0.25 <= waits[0] <= 0.8
    assert waits[-1] > waits[0]


def test_retry_after_is_kept_to_in_seconds(client, ledger):
    ledger.answer_next(503, Retry_After="2")
    client.track("a")
    ledger.wait_for("event")
    assert 1.9 < ledger.arrivals[1] - ledger.arrivals[0] < 4


def test_retry_after_is_kept_to_as_a_date(client, ledger):
    ledger.answer_next(429, Retry_After=formatdate(time.time() + 3, usegmt=True))
    client.track("a")
    ledger.wait_for("event")
    assert 1.5 < ledger.arrivals[1] - ledger.arrivals[0] < 5


def test_flush_does_not_break_a_retry_after(client, ledger):
    ledger.answer_next(503, Retry_After="60")
    client.track("a")
    client.flush(timeout=1)
    client.flush(timeout=1)
    assert len(ledger.arrivals) == 1


def test_a_refused_batch_is_dropped_with_its_reason(client, ledger, spool, caplog, until):
    ledger.answer_next(401, {"detail": "the token has expired"})
    client.track("a")
    until(lambda: "the server answered 401 the token has expired" in caplog.text)
    client.track("b")
    assert ledger.one("event")["name"] == "b"
    assert spooled(spool) == []


def test_a_redirect_is_not_followed_but_told(client, ledger, caplog, until):
    ledger.answer_next(302, Location="https://elsewhere.example/")
    client.track("a")
    until(lambda: "302 https://elsewhere.example/" in caplog.text)
    assert len(ledger.requests) == 1


def test_a_batch_that_is_too_large_goes_in_halves(client, ledger):
    ledger.most_signals = 30
    for _ in range(200):
        client.track("a")
    assert client.flush()
    assert len({event["id"] for event in ledger.of("event")}) == len(ledger.of("event")) == 200
    assert max(map(len, ledger.batches)) <= 30


def test_a_single_signal_that_is_too_large_is_dropped(client, ledger, caplog):
    ledger.answer_next(413)
    client.track("huge")
    client.flush()
    client.track("b")
    assert ledger.one("event")["name"] == "b"
    assert "1 signals dropped" in caplog.text


def test_what_the_server_rejects_is_named_once_a_minute(client, ledger, caplog):
    ledger.rejected = [{"index": 0, "id": "x", "errors": [{"path": "name", "message": "too long"}]}]
    for _ in range(3):
        client.track("a")
        client.flush()
    assert caplog.text.count("too long") == 1


def test_an_answer_that_is_no_json_is_taken_as_success(client, ledger, spool):
    ledger.answer_next(200, ["not", "an", "object"])
    client.track("a")
    assert client.flush()
    assert spooled(spool) == []


def test_the_buffer_has_a_bound_and_keeps_the_oldest(connect, ledger, caplog):
    client = connect(buffer_signals=100)
    ledger.delay = 0.5
    client.track("first")
    time.sleep(0.2)
    for number in range(500):
        client.track("a", properties={"number": number})
    ledger.delay = 0
    client.flush()
    kept = [event["properties"]["number"] for event in ledger.of("event", name="a")]
    assert kept[:100] == list(range(100))
    assert len(kept) < 300
    assert "signals dropped so far: the buffer is full" in caplog.text


def test_the_spool_has_a_bound_and_keeps_the_newest(connect, server, spool, caplog):
    client = connect(spool_bytes=3_000)
    server.stop()
    for number in range(40):
        client.track("a", properties={"number": number})
        client.flush(timeout=2)
    numbers = [each["properties"]["number"] for each in lines(spool)]
    assert numbers[-1] == 39
    assert 0 not in numbers
    assert sum(path.stat().st_size for path in spooled(spool)) <= 3_000
    assert "the spool is full" in caplog.text
    server.start_again()


def test_without_a_spool_signals_stay_in_memory(connect, ledger, spool, caplog, until):
    spool.write_text("a file where the folder should be")
    ledger.away = True
    client = connect()
    client.track("a")
    until(lambda: "cannot be written" in caplog.text)
    ledger.away = False
    assert ledger.one("event")["name"] == "a"


def test_what_was_meant_for_one_server_is_not_sent_to_another(connect, ledger, spool):
    connect(url="http://127.0.0.1:1").track("secret")
    connect(url="http://127.0.0.1:1").close()
    other = connect()
    other.track("a")
    other.flush()
    time.sleep(0.5)
    assert [event["name"] for event in ledger.signals] == ["a"]


def test_an_outage_is_logged_once_a_minute(client, ledger, caplog):
    caplog.set_level(logging.WARNING)
    ledger.away = True
    for _ in range(4):
        client.track("a")
        client.flush(timeout=2)
    assert caplog.text.count("a store is away") == 1


def test_a_new_process_sends_what_an_earlier_one_left(run, server, spool):
    server.stop()
    assert run("client.track('left')")[0] == 0
    assert len(lines(spool)) == 1
    server.start_again()
    assert run("client.flush()")[0] == 0
    assert server.ledger.one("event")["name"] == "left"
    assert spooled(spool) == []


def test_a_kill_loses_nothing_that_was_spooled(program, server, spool, until):
    server.stop()
    with program("for n in range(300): client.track('e', properties={'n': n})\ntime.sleep(60)") as process:
        until(lambda: len(lines(spool)) == 300)
        process.send_signal(signal.SIGKILL)
    server.start_again()
    with program("client.flush()"):
        events = server.ledger.wait_for("event", 300)
    assert {event["properties"]["n"] for event in events} == set(range(300))


def test_what_a_kill_left_unfinished_is_cleared_away_by_the_next_start(run, server, spool):
    server.stop()
    script = "import pathlib\npathlib.Path.replace = lambda *_: os.kill(os.getpid(), 9)\nclient.track('e')\ntime.sleep(60)"
    assert run(script)[0] == -signal.SIGKILL
    assert len(list(spool.glob("*/*.tmp"))) == 1
    assert run("")[0] == 0
    assert list(spool.glob("*/*")) == []
    server.start_again()


def test_a_kill_while_sending_loses_nothing_that_was_spooled(program, server, spool, until):
    server.stop()
    with program("client.track('e')"):
        until(lambda: spooled(spool))
    server.ledger.delay = 30
    server.start_again()
    with program("time.sleep(60)") as process:
        until(lambda: server.ledger.arrivals)
        process.send_signal(signal.SIGKILL)
    server.ledger.delay = 0
    with program("client.flush()"):
        assert server.ledger.one("event", name="e")


def test_many_processes_send_each_spooled_file_once(program, server, spool):
    server.stop()
    with program("for n in range(40):\n client.track('e', properties={'n': n})\n client.flush(1)") as writer:
        writer.wait()
    server.start_again()
    readers = [program("client.flush()") for _ in range(4)]
    for reader in readers:
        reader.communicate()
    numbers = [event["properties"]["n"] for event in server.ledger.wait_for("event", 40)]
    assert sorted(numbers) == list(range(40))


def test_a_folder_of_another_user_is_survived(connect, server, spool, caplog):
    spool.mkdir(mode=0o500)
    server.stop()
    client = connect()
    client.track("a")
    client.close(timeout=1)
    assert os.geteuid() == 0 or "neither sent nor spooled" in caplog.text
    server.start_again()


def test_of_a_batch_in_halves_only_the_rest_is_sent_again(client, ledger, spool):
    ledger.delay = 0.3
    client.track("first")
    for number in range(4):
        client.track("e", properties={"n": number})
    ledger.wait_for("event")
    ledger.delay = 0
    for status in (413, 413):
        ledger.answer_next(status)
    assert client.flush()
    assert sorted(event["properties"]["n"] for event in ledger.of("event", name="e")) == [0, 1, 2, 3]
    assert spooled(spool) == []


def test_the_client_introduces_itself_with_its_version(client, ledger):
    client.track("a")
    ledger.wait_for("event")
    project = (Path(__file__).parents[2] / "client" / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"', project, re.MULTILINE)[1]
    assert ledger.requests[0]["user-agent"].startswith(f"pilothouse-client/{version} Python/3.")
