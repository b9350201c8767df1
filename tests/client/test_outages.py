"""The promises under chance: outages, kills and concurrent processes, with a recount at the end."""

from __future__ import annotations

import json
import random
import signal
import threading
import time

import pytest

WRITER = """
number = 0
while True:
    client.track("e", properties={"n": number})
    number += 1
    time.sleep(0.002)
"""


def spooled_numbers(spool):
    for path in spool.glob("*/*.signals"):
        try:
            yield from (json.loads(line)["properties"]["n"] for line in path.read_text().splitlines())
        except FileNotFoundError:
            continue


def test_a_server_that_comes_and_goes_gets_everything_once(client, server, ledger):
    stop = threading.Event()

    def flicker():
        while not stop.wait(0.15):
            ledger.away = not ledger.away

    thread = threading.Thread(target=flicker)
    thread.start()
    for number in range(600):
        client.track("e", properties={"n": number})
        time.sleep(0.003)
    stop.set()
    thread.join()
    ledger.away = False
    assert client.flush(timeout=15)
    assert sorted(event["properties"]["n"] for event in ledger.of("event")) == list(range(600))


def test_an_answer_that_is_lost_leads_to_a_second_sending_with_the_same_ids(connect, ledger):
    client = connect(timeout=0.3)
    ledger.delay = 0.6
    client.track("e")
    ledger.wait_for("event")
    ledger.delay = 0
    first, *again = ledger.wait_for("event", 2)
    assert {first["id"]} == {each["id"] for each in again}


def test_random_refusals_halve_and_retry_to_the_same_end(client, ledger):
    chance = random.Random(7)
    ledger.most_signals = 30
    for number in range(1_000):
        client.track("e", properties={"n": number})
        if number % 100 == 0:
            ledger.answer_next(chance.choice([429, 500, 503]))
    deadline = time.monotonic() + 15
    while not client.flush(1) and time.monotonic() < deadline:
        pass
    assert sorted(event["properties"]["n"] for event in ledger.of("event")) == list(range(1_000))


@pytest.mark.parametrize("round_number", range(3))
def test_a_kill_at_any_moment_loses_nothing_that_was_spooled(program, server, spool, until, round_number):
    server.stop()
    with program(WRITER) as process:
        until(lambda: len(list(spooled_numbers(spool))) > 20 * (round_number + 1))
        process.send_signal(signal.SIGKILL)
    kept = set(spooled_numbers(spool))
    server.start_again()
    with program("client.flush(10)"):
        pass
    assert kept == {event["properties"]["n"] for event in server.ledger.of("event")}
    assert list(spooled_numbers(spool)) == []


def test_a_kill_leaves_no_unfinished_file_that_is_taken_for_a_whole_one(program, server, spool, until):
    server.stop()
    with program(WRITER) as process:
        until(lambda: list(spooled_numbers(spool)))
        process.send_signal(signal.SIGKILL)
    for path in spool.glob("*/*.signals"):
        lines = path.read_text().splitlines()
        assert len(lines) == int(path.stem.rpartition("-")[2])
        assert all(json.loads(line)["id"] for line in lines)
    server.start_again()


def test_a_living_process_takes_over_what_a_killed_one_left(client, program, server, spool, until):
    client.track("here", properties={"n": -1})
    assert client.flush()
    server.stop()
    with program(WRITER) as process:
        until(lambda: list(spooled_numbers(spool)))
        process.send_signal(signal.SIGKILL)
    kept = set(spooled_numbers(spool))
    server.start_again()
    until(lambda: kept <= {event["properties"]["n"] for event in server.ledger.of("event")})
