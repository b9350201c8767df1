"""Revisions of topics: new after each change, never an old one again, and no wait for a broker that is away."""

from __future__ import annotations

import signal
import time

from work_parts import Broker

from pilothouse import broker as address
from pilothouse.changes import Changes


def connect(broker: Broker, timeout_s: float = address.TIMEOUT_S) -> Changes:
    return Changes(address.connect(broker.url, timeout_s=timeout_s))


def test_a_change_makes_a_new_revision_of_its_topic_alone(broker: Broker) -> None:
    changes = connect(broker)
    runs, errors = changes.revision("runs"), changes.revision("errors")
    changes.bump("runs")
    assert changes.revision("runs") != runs
    assert changes.revision("errors") == errors


def test_every_process_sees_the_same_revision(broker: Broker) -> None:
    one, two = connect(broker), connect(broker)
    one.bump("runs", "errors")
    assert one.revision("runs", "errors") == two.revision("runs", "errors")


def test_a_recent_revision_shows_own_changes_at_once_and_others_a_little_later(broker: Broker) -> None:
    mine, others = connect(broker), connect(broker)
    first = mine.recent("runs", within_s=60)
    others.bump("runs")
    assert mine.recent("runs", within_s=60) == first
    mine.bump("errors")
    assert mine.recent("runs", within_s=60) == first  # another topic's change is none of its business
    mine.bump("runs")
    assert mine.recent("runs", within_s=60) != first
    before = others.recent("runs", within_s=0.01)
    mine.bump("runs")
    time.sleep(0.02)
    assert others.recent("runs", within_s=60) == mine.revision("runs") != before


def test_a_recent_revision_is_not_known_while_the_broker_is_away(broker: Broker) -> None:
    changes = connect(broker)
    changes.recent("runs", within_s=0.1)
    broker.stop()
    time.sleep(0.11)
    assert changes.recent("runs", within_s=60) is None


def test_an_emptied_broker_brings_no_old_revision_back(broker: Broker) -> None:
    changes = connect(broker, timeout_s=5)  # emptying takes its time on a busy machine
    seen = {changes.revision("runs")}
    for _ in range(3):
        address.connect(broker.url).flushall()
        seen.add(changes.revision("runs"))
        changes.bump("runs")
        seen.add(changes.revision("runs"))
    assert len(seen) == 7


def test_a_broker_that_is_away_costs_nothing_and_is_found_again(broker: Broker) -> None:
    changes = connect(broker)
    before = changes.revision("runs")
    broker.stop()
    begun = time.monotonic()
    for _ in range(50):
        changes.bump("runs")
        assert changes.revision("runs") is None
    assert time.monotonic() - begun < 1.5  # 2.5 s and more if each call waited
    broker.start()
    time.sleep(2.1)
    assert changes.revision("runs") not in {before, None}


def test_a_frozen_broker_holds_up_one_call_for_50_ms(broker: Broker) -> None:
    changes = connect(broker)
    changes.bump("runs")
    broker.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    for _ in range(50):
        changes.bump("runs")
    spent = time.monotonic() - begun
    broker.send_signal(signal.SIGCONT)
    assert spent < 1.5  # 2.5 s if each call waited


def test_a_change_that_could_not_be_said_is_said_when_the_broker_is_back(broker: Broker) -> None:
    writer, reader = connect(broker), connect(broker)
    before = reader.revision("runs")
    broker.send_signal(signal.SIGSTOP)
    writer.bump("runs")
    broker.send_signal(signal.SIGCONT)
    time.sleep(2.1)
    writer.bump("other")
    assert reader.revision("runs") != before


def test_without_a_broker_there_is_no_revision() -> None:
    changes = Changes(None)
    changes.bump("runs")
    assert changes.revision("runs") is None
