"""The parts by themselves: spool, buffer, transport, back-off, clock, notices."""

from __future__ import annotations

import fcntl
import json
import logging
import threading
import time
from datetime import datetime

import pytest

from pilothouse_client.buffer import BATCH_SIGNALS, MAX_BYTES, Buffer
from pilothouse_client.clock import Watch, now
from pilothouse_client.options import spool_folder
from pilothouse_client.shield import Notices, Shield, Tally
from pilothouse_client.spool import Spool
from pilothouse_client.transport import BackOff, Fate, Transport

URL = "http://127.0.0.1:9"


@pytest.fixture
def dropped():
    """Return a count of dropped signals."""
    return Tally(Notices(), "a test drops them")


@pytest.fixture
def store(tmp_path, dropped):
    """Return a spool of at most 1,000 bytes."""
    return Spool(tmp_path, URL, 1_000, dropped)


@pytest.fixture
def buffer(dropped):
    """Return a buffer of at most 300 signals."""
    return Buffer(300, dropped)


def test_a_spool_gives_back_what_was_put_in_oldest_first(store):
    assert store.put([b"1", b"2"])
    assert store.put([b"3"])
    with store.claim() as (path, signals):
        assert signals == [b"1", b"2"]
        store.remove(path)
    with store.claim() as (_, signals):
        assert signals == [b"3"]


def test_an_empty_spool_has_nothing_to_claim(store):
    with store.claim() as claimed:
        assert claimed is None


def test_a_claimed_file_is_passed_over_by_others(store, tmp_path, dropped):
    store.put([b"1"])
    store.put([b"2"])
    other = Spool(tmp_path, URL, 1_000, dropped)
    with store.claim() as (_, first), other.claim() as (_, second):
        assert (first, second) == ([b"1"], [b"2"])


def test_a_claim_ends_with_its_block_also_by_an_exception(store):
    store.put([b"1"])
    with pytest.raises(RuntimeError), store.claim():
        raise RuntimeError
    with store.claim() as claimed:
        assert claimed[1] == [b"1"]


def test_a_claim_is_a_lock_that_the_system_keeps(store):
    store.put([b"1"])
    [file] = store.files()
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with store.claim() as claimed:
            assert claimed is None
    with store.claim() as claimed:
        assert claimed is not None


def test_a_file_that_is_not_finished_is_not_claimed(store):
    store.put([b"1"])
    (store.folder / "0-1.tmp").write_bytes(b"half a sig")
    assert [path.suffix for path in store.files()] == [".signals"]


def test_only_what_nobody_writes_any_more_is_cleared_away(store):
    store.put([b"1"])
    (store.folder / "0-1.tmp").write_bytes(b"half a sig")
    with (store.folder / "1-1.tmp").open("wb") as written:
        fcntl.flock(written, fcntl.LOCK_EX)
        store.clear()
        assert sorted(path.suffix for path in store.folder.iterdir()) == [".signals", ".tmp"]
    store.clear()
    assert list(store.folder.iterdir()) == store.files()


def test_clearing_where_nothing_was_ever_spooled_is_no_fault(store):
    store.clear()
    assert not store.folder.exists()


def test_nothing_is_cleared_away_under_those_who_write(tmp_path, dropped):
    shared = Spool(tmp_path, URL, 1_000_000, dropped)
    ended = threading.Event()

    def clear():
        while not ended.wait(0.001):
            shared.clear()

    clearing = threading.Thread(target=clear)
    clearing.start()
    stored = [shared.put([str(number).encode() * 100]) for number in range(300)]
    ended.set()
    clearing.join()
    assert stored == [True] * 300
    assert len(shared.files()) == 300


def test_a_spool_drops_the_oldest_and_counts_their_signals(store, dropped):
    for number in range(5):
        store.put([str(number).encode() * 100] * 4)
    assert dropped.total == 12
    with store.claim() as (_, signals):
        assert signals[0] == b"3" * 100


def test_a_batch_larger_than_the_spool_is_dropped_itself(store, dropped):
    store.put([b"x" * 2_000])
    assert store.files() == []
    assert dropped.total == 1


def test_a_spool_that_cannot_be_made_says_so(tmp_path, dropped):
    (tmp_path / "file").touch()
    assert not Spool(tmp_path / "file", URL, 1_000, dropped).put([b"1"])


def test_removing_twice_is_no_fault(store):
    store.put([b"1"])
    [file] = store.files()
    store.remove(file)
    store.remove(file)
    assert store.files() == []


def test_each_address_has_its_own_folder(tmp_path, dropped):
    folders = {Spool(tmp_path, url, 1, dropped).folder for url in (URL, URL + "0", "https://elsewhere")}
    assert len(folders) == 3


def test_the_spool_lies_where_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PILOTHOUSE_SPOOL", str(tmp_path / "named"))
    assert spool_folder({}) == tmp_path / "named"
    assert spool_folder({"spool": tmp_path / "given"}) == tmp_path / "given"


def test_the_spool_lies_in_the_state_folder_else(monkeypatch, tmp_path):
    monkeypatch.delenv("PILOTHOUSE_SPOOL", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert spool_folder({}) == tmp_path / "pilothouse"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert spool_folder({}) == tmp_path / ".local" / "state" / "pilothouse"


def test_threads_that_share_a_spool_get_each_file_once(tmp_path, dropped):
    shared = Spool(tmp_path, URL, 1_000_000, dropped)
    taken = []

    def work():
        while shared.files():
            with shared.claim() as claimed:
                if claimed:
                    taken.extend(claimed[1])
                    shared.remove(claimed[0])

    for number in range(100):
        shared.put([str(number).encode()])
    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(map(int, taken)) == list(range(100))


def test_a_buffer_keeps_the_order(buffer):
    for number in range(5):
        buffer.put(str(number).encode())
    assert buffer.take() == [b"0", b"1", b"2", b"3", b"4"]


def test_a_buffer_drops_the_newest_and_counts(buffer, dropped):
    kept = [buffer.put(str(number).encode()) for number in range(310)]
    assert kept == [True] * 300 + [False] * 10
    assert dropped.total == 10


def test_a_buffer_is_bounded_in_bytes_too(buffer, dropped):
    large = b"x" * (MAX_BYTES // 2)
    assert [buffer.put(large) for _ in range(3)] == [True, True, False]
    assert dropped.total == 1


def test_a_batch_is_bounded_in_signals_and_bytes(buffer):
    for _ in range(BATCH_SIGNALS + 1):
        buffer.put(b"x")
    assert buffer.batch_is_full
    assert len(buffer.take()) == BATCH_SIGNALS
    buffer.done()
    for _ in range(5):
        buffer.put(b"x" * 3_000_000)
    assert len(buffer.take()) < 5


def test_what_is_taken_is_pending_until_it_is_done(buffer):
    buffer.put(b"1")
    buffer.take()
    assert (buffer.pending, buffer.waiting) == (1, False)
    buffer.done()
    assert buffer.pending == 0


def test_what_is_given_back_comes_first(buffer):
    for each in (b"1", b"2"):
        buffer.put(each)
    buffer.take()
    buffer.put(b"3")
    buffer.give_back()
    assert buffer.take() == [b"1", b"2", b"3"]


def test_emptying_takes_also_what_is_under_way(buffer):
    buffer.put(b"1")
    buffer.take()
    buffer.put(b"2")
    assert buffer.empty() == [b"1", b"2"]
    buffer.give_back()
    assert buffer.pending == 0


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        *((status, Fate.LATER) for status in (408, 429, 500, 502, 503, 507)),
        *((status, Fate.REFUSED) for status in (301, 307, 400, 401, 403, 404, 415, 422)),
        (413, Fate.TOO_LARGE),
    ],
)
def test_a_status_decides_the_fate_of_a_batch(server, status, fate):
    server.ledger.answer_next(status, {"detail": "why"})
    answer = Transport(server.url, "t", 5).send([b'{"a":1}'])
    assert answer.fate is fate
    assert answer.reason == f"the server answered {status} why"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("999999", 3600),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("1e400", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 99 Oct 2015", None),
    ],
)
def test_a_retry_after_is_read_with_care(server, header, seconds):
    server.ledger.answer_next(503, Retry_After=header)
    assert Transport(server.url, "t", 5).send([]).retry_after == seconds


def test_a_transport_sends_what_it_was_given(server):
    signals = [json.dumps({"n": number}).encode() for number in range(300)]
    answer = Transport(server.url + "/", "t", 5).send(signals)
    assert answer.fate is Fate.TAKEN
    assert answer.body["accepted"] == 300
    assert [each["n"] for each in server.ledger.signals] == list(range(300))


def test_nobody_at_the_address_is_an_answer(server):
    server.stop()
    answer = Transport(server.url, "t", 5).send([])
    assert answer.fate is Fate.LATER
    assert "could not be reached" in answer.reason
    server.start_again()


def test_a_connection_that_hangs_is_given_up(server):
    server.ledger.delay = 3
    began = time.monotonic()
    assert Transport(server.url, "t", 0.2).send([]).fate is Fate.LATER
    assert time.monotonic() - began < 2


def test_a_server_below_a_path_is_found(server):
    Transport(server.url + "/console/", "t", 5).send([])
    assert server.ledger.requests[0]["path"] == "/console/api/ingest"


def test_the_token_stays_out_of_faults():
    transport = Transport("http://127.0.0.1:1", "ph_secret", 1)
    assert "ph_secret" not in transport.send([]).reason
    with pytest.raises(ValueError, match="is no web address"):
        Transport("nonsense", "ph_secret", 1)


def test_a_token_that_no_header_can_hold_is_an_answer(server):
    assert Transport(server.url, "line\nbreak", 1).send([]).fate is Fate.LATER


def test_a_back_off_doubles_up_to_its_bound():
    back_off = BackOff(max_wait=4)
    waits = []
    for _ in range(8):
        back_off.failed(None)
        waits.append(back_off.remaining)
    for wait, most in zip(waits, [0.5, 1, 2, 4, 4, 4, 4, 4], strict=True):
        assert most / 2 - 0.1 <= wait <= most


def test_back_offs_differ_by_chance():
    def wait():
        back_off = BackOff()
        back_off.failed(None)
        return back_off.remaining

    assert len({round(wait(), 3) for _ in range(20)}) > 5


def test_a_success_ends_a_back_off():
    back_off = BackOff()
    for _ in range(5):
        back_off.failed(None)
    back_off.succeeded()
    assert back_off.remaining == 0
    back_off.failed(None)
    assert back_off.remaining <= 0.5


def test_hurry_ends_a_back_off_of_our_own_only():
    back_off = BackOff()
    back_off.failed(None)
    back_off.hurry()
    assert back_off.remaining == 0
    back_off.failed(20)
    back_off.hurry()
    assert back_off.remaining > 19


def test_times_are_in_utc_with_an_offset():
    assert now().endswith("+00:00")
    assert abs(datetime.fromisoformat(now()).timestamp() - time.time()) < 5


def test_a_watch_measures_what_has_passed():
    watch = Watch()
    time.sleep(0.05)
    passed = datetime.fromisoformat(watch.finished_at()) - datetime.fromisoformat(watch.started_at)
    assert 0.05 <= passed.total_seconds() < 1


def test_a_notice_is_repeated_after_its_quiet_time(caplog):
    notices = Notices(quiet_seconds=0.1)
    for _ in range(3):
        notices.warn("kind", "said")
    time.sleep(0.12)
    notices.warn("kind", "said")
    assert [record.message for record in caplog.records] == ["said", "said (2 more like this were not logged)"]


def test_notices_of_two_kinds_do_not_hold_each_other_back(caplog):
    notices = Notices()
    notices.warn("one", "a")
    notices.warn("two", "b")
    assert [record.message for record in caplog.records] == ["a", "b"]
    assert {record.name for record in caplog.records} == {"pilothouse_client"}


def test_a_tally_says_its_final_count(caplog):
    tally = Tally(Notices(), "full")
    for _ in range(5):
        tally.add(2)
    tally.conclude()
    assert caplog.records[-1].message == "Pilothouse: 10 signals dropped: full"


def test_a_shield_holds_faults_and_tells_them(caplog):
    with Shield(Notices(), "testing"):
        raise RuntimeError("inside")
    assert "testing went wrong" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_shield_lets_the_end_of_the_program_through(kind):
    with pytest.raises(kind), Shield(Notices(), "testing"):
        raise kind


def test_spooled_text_is_plain_lines_of_json(client, server, spool, until):
    server.stop()
    client.track("a\nb")
    until(lambda: list(spool.glob("*/*.signals")))
    [file] = spool.glob("*/*.signals")
    assert [json.loads(line)["name"] for line in file.read_text().splitlines()] == ["a\nb"]
    server.start_again()
