"""The Celery integration, with a real application: in-memory broker, a worker in a thread, or eager."""

from __future__ import annotations

import os
import signal
import sys
from uuid import uuid4

import pytest
from celery import Celery, signals
from celery.contrib.testing.worker import start_worker
from celery.exceptions import Ignore, SoftTimeLimitExceeded
from celery.utils.dispatch import Signal

import pilothouse_client.celery
from pilothouse_client import Cancelled, current_execution


def leave_logging_alone(**_):
    pass


def nothing():
    pass


def seven():
    return 7


def add(x, y):
    return x + y


def shout(name):
    return name.upper()


@pytest.fixture
def client(connect):
    """Make a client whose heart beats ten times a second: so long does a cancel take."""
    return connect(heartbeat=0.1)


@pytest.fixture
def app(client):
    """Put the integration in place in an application, and take its handlers away again at the end."""
    kept = [(each, each.receivers) for each in vars(signals).values() if isinstance(each, Signal)]
    for each, receivers in kept:
        each.receivers = list(receivers or ())
    application = Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=False)
    application.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)
    application.conf.task_default_queue = uuid4().hex
    application.conf.broker_transport_options = {"polling_interval": 0.01}
    signals.setup_logging.connect(leave_logging_alone)
    pilothouse_client.celery.install(application, client)
    yield application
    for each, receivers in kept:
        each.receivers = receivers


@pytest.fixture
def eager(app):
    """Let the application run its tasks at once, in this thread."""
    app.conf.task_always_eager = True
    return app


@pytest.fixture
def worker(app):
    """Return what starts a worker, once the tasks are there."""
    running = []

    def start():
        context = start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30)
        running.append(context)
        context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


def test_a_task_is_an_execution_from_queue_to_end(app, worker, ledger):
    sent = app.task(shared=False, name="add")(add).delay(2, 3)
    assert ledger.one("execution", status="queued")["id"] == sent.id
    worker()
    started = ledger.one("execution", status="running")
    ended = ledger.one("execution", status="succeeded")
    assert started["id"] == ended["id"] == sent.id
    assert {started["workflow"], ended["workflow"]} == {"add"}
    assert started["trigger"] == "celery"


def test_a_task_that_fails_fails_its_execution(app, worker, ledger):
    @app.task(shared=False, name="broken")
    def broken():
        raise ValueError("no stock")

    sent = broken.delay()
    worker()
    ended = ledger.one("execution", status="failed", id=sent.id)
    assert (ended["error"]["error_type"], ended["error"]["message"]) == ("ValueError", "no stock")
    assert ended["error"]["frames"][-1]["function"].endswith("broken")


def test_retries_are_the_same_execution(app, worker, ledger):
    @app.task(shared=False, name="flaky", bind=True, max_retries=3)
    def flaky(self):
        if self.request.retries < 2:
            raise self.retry(exc=OSError("busy"), countdown=0)

    sent = flaky.delay()
    worker()
    ended = ledger.one("execution", status="succeeded")
    assert {each["id"] for each in ledger.of("execution")} == {sent.id}
    assert ended["attributes"]["celery.retries"] == 2
    assert len(ledger.of("execution", status="queued")) == 1
    assert ledger.of("execution", status="failed") == []


def test_steps_and_tokens_inside_a_task_belong_to_it(eager, ledger, client):
    @eager.task(shared=False, name="ask")
    def ask():
        run = current_execution()
        with run.step("call", kind="llm"):
            client.record_tokens(model="m", prompt_tokens=1, completion_tokens=1)

    sent = ask.delay()
    assert ledger.one("step", status="succeeded")["execution_id"] == sent.id
    assert ledger.one("token_usage")["execution_id"] == sent.id


def test_a_task_sent_from_an_execution_is_its_child(app, worker, ledger, client):
    child = app.task(shared=False, name="child")(nothing)
    with client.execution("parent") as run:
        sent = child.delay()
    assert ledger.one("execution", status="queued", id=sent.id)["parent_id"] == run.id


def test_a_task_sent_from_a_task_is_its_child(app, worker, ledger):
    child = app.task(shared=False, name="child")(nothing)

    @app.task(shared=False, name="parent")
    def parent():
        child.delay()

    sent = parent.delay()
    worker()
    assert ledger.one("execution", status="running", workflow="child")["parent_id"] == sent.id


def test_arguments_stay_in_the_program(eager, ledger):
    eager.task(shared=False, name="greet")(shout).delay("swordfish")
    ledger.one("execution", status="succeeded")
    assert "swordfish" not in str(ledger.signals)


def test_arguments_go_along_when_asked_for(connect, ledger, app):
    other = Celery("other", broker="memory://", set_as_current=False, task_always_eager=True)
    pilothouse_client.celery.install(other, connect(), capture_args=True)
    other.task(shared=False, name="greet")(shout).delay("ann")
    assert ledger.one("execution", status="running")["input"] == {"args": ["ann"], "kwargs": {}}
    assert ledger.one("execution", status="succeeded")["output"] == "ANN"


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Cancelled("stop"), "cancelled"), (SoftTimeLimitExceeded(), "timed_out"), (Ignore(), "succeeded")],
)
def test_an_end_of_its_own_kind_has_its_own_status(eager, ledger, fault, status):
    @eager.task(shared=False, name="special")
    def special():
        raise fault

    sent = special.delay()
    assert ledger.one("execution", id=sent.id, status=status)


def test_a_revoked_task_is_a_cancelled_execution(app, worker, ledger):
    task = app.task(shared=False, name="revoked")(nothing)
    sent = task.apply_async(expires=-1)
    worker()
    assert ledger.one("execution", status="cancelled")["id"] == sent.id
    assert ledger.of("execution", status="running") == []


def test_a_running_task_sees_its_cancel(connect, ledger, app):
    other = Celery("other", broker="memory://", set_as_current=False, task_always_eager=True)
    pilothouse_client.celery.install(other, connect(heartbeat=0.1))

    @other.task(shared=False, name="long")
    def long():
        run = current_execution()
        ledger.commands.append({"execution_id": run.id, "command": "cancel"})
        assert run.wait_cancelled(10)
        run.raise_if_cancelled()

    assert long.delay().state == "FAILURE"
    assert ledger.one("execution", status="cancelled")


def test_a_task_that_is_cancelled_before_it_begins_never_begins(app, worker, ledger):
    sent = app.task(shared=False, name="later")(nothing).apply_async(countdown=3)
    worker()
    signals.worker_ready.send(sender=None)
    ledger.commands.append({"execution_id": sent.id, "command": "cancel"})
    assert ledger.one("execution", status="cancelled")["id"] == sent.id
    assert ledger.of("execution", status="running") == []


def test_installing_twice_reports_once(app, worker, ledger, client):
    assert pilothouse_client.celery.install(app) is client
    app.task(shared=False, name="once")(nothing).delay()
    worker()
    ledger.one("execution", status="succeeded")
    assert len(ledger.of("execution", status="running")) == 1


def test_tasks_of_another_application_are_left_alone(app, ledger, client):
    other = Celery("other", broker="memory://", set_as_current=False, task_always_eager=True)
    other.task(shared=False, name="foreign")(nothing).delay()
    client.flush()
    assert ledger.signals == []


def test_a_server_that_is_away_does_not_touch_the_task(app, worker, server):
    task = app.task(shared=False, name="fine")(seven)
    server.stop()
    sent = task.delay()
    worker()
    assert sent.get(timeout=10) == 7
    server.start_again()
    assert server.ledger.one("execution", status="succeeded")["id"] == sent.id


PREFORK = """
import celery, pilothouse_client.celery, threading
app = celery.Celery("pre", broker="memory://", broker_connection_retry_on_startup=True)
app.conf.worker_lost_wait = 0.5
pilothouse_client.celery.install(app, client)
@app.task(shared=False, name="pre")
def pre(n):
    if n == 2:
        time.sleep(1.5)
        os.kill(os.getpid(), 9)
def feed():
    for n in range(3):
        pre.delay(n)
threading.Timer(1.5, feed).start()
app.worker_main(["worker", "--pool=prefork", "--concurrency=1", "--loglevel=ERROR"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no prefork there")
def test_a_prefork_worker_reports_its_children_even_a_killed_one(program, ledger):
    with program(PREFORK) as process:
        try:
            ended = ledger.wait_for("execution", 2, status="succeeded")
            lost = ledger.one("execution", status="failed")
        finally:
            os.kill(process.pid, signal.SIGTERM)
            process.communicate(timeout=30)
    assert lost["error"]["error_type"].endswith("WorkerLostError")
    assert len({each["id"] for each in [*ended, lost]}) == 3
