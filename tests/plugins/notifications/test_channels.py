"""Webhooks over a real socket, signed and verified as receivers do; mails; quiet hours, digests; retries and the breaker."""

from __future__ import annotations

import socket
from email import message_from_bytes, policy

import pytest
from aiosmtpd.controller import Controller
from standardwebhooks import Webhook

from pilothouse import clock
from pilothouse.db import db, unit_of_work
from pilothouse.sdk import publish
from pilothouse.testing import Api, environment, let_go, make_app
from pilothouse.work.events import DeadLetter
from pilothouse.work.runner import drain as run_due
from pilothouse_notifications import categories, delivering, preferences
from pilothouse_notifications.recorder import takes


@pytest.fixture
def webhooks(private_app):
    """Return an API whose channels may lead to this machine."""
    from pilothouse.identity.access_tokens import create_token

    with unit_of_work():
        token = create_token("test", ("read", "write", "admin", "ingest"))[1]
    return Api(private_app.test_client(), token)


@pytest.fixture
def hook(webhooks, receiver):
    """Make a webhook channel to the receiver, as its record with the secret."""
    made = webhooks.post(
        "/api/notifications/channels",
        json={"name": "Hook", "kind": "webhook", "url": receiver.url, "categories": ["core.dead_letter"]},
    )
    assert made.status_code == 201, made.text
    return made.json


@pytest.fixture
def happen(private_app):
    """Let a task give up, and everything that follows happen."""

    def make(task="weather.fetch"):
        with unit_of_work():
            publish(DeadLetter(job_id="j", task=task, starts=3, error="It is cold."))
        settle(private_app)

    return make


def settle(app):
    run_due(app)
    delivering.wake_due()
    run_due(app)
    db.session.rollback()


def statuses(api, **query):
    found = api.get("/api/notifications/deliveries", query_string=query).json["data"]
    return [(line["status"], line["attempts"]) for line in found]


def test_a_webhook_arrives_once_with_a_signature_that_its_receiver_accepts(hook, webhooks, receiver, happen):
    happen()
    assert len(receiver.got) == 1
    headers, body = receiver.got[0]
    told = Webhook(hook["secret"]).verify(body, headers)
    assert (told["type"], told["data"]["count"]) == ("core.dead_letter", 1)
    assert told["data"]["event"]["task"] == "weather.fetch"
    assert statuses(webhooks, channel_id=hook["id"]) == [("sent", 1)]


def test_the_secret_is_shown_once_and_stored_sealed(hook, webhooks, rows):
    listed = webhooks.get("/api/notifications/channels").json["data"][0]
    assert "secret" not in listed
    stored = rows("SELECT * FROM notification_channels")[0]
    assert hook["secret"].removeprefix("whsec_") not in str(stored)


def test_the_id_stays_the_same_over_all_tries(hook, webhooks, receiver, happen, private_app, time_passes):
    receiver.answers = [(500, {}), (503, {})]
    happen()
    for _ in range(2):
        time_passes(60_000)
        settle(private_app)
    ids = {headers["webhook-id"] for headers, _ in receiver.got}
    assert (len(receiver.got), len(ids)) == (3, 1)
    assert statuses(webhooks, channel_id=hook["id"]) == [("sent", 3)]


def test_ten_tries_over_three_days_and_then_it_failed_and_can_be_replayed(
    hook, webhooks, receiver, happen, private_app, time_passes
):
    receiver.answers = [(500, {})] * 10
    tried = lambda: sum(body["data"]["event"].get("task") == "weather.fetch" for body in receiver.bodies)  # noqa: E731
    begun = clock.now()
    happen()
    while tried() < 10:
        time_passes(3_600_000)
        settle(private_app)
    days = (clock.now() - begun) / 86_400_000
    assert 2.5 < days < 4.5
    line = webhooks.get("/api/notifications/deliveries", query_string={"channel_id": hook["id"]}).json["data"][0]
    assert (line["status"], line["attempts"]) == ("failed", 10)
    assert "500" in line["error"]
    time_passes(3_600_000)
    webhooks.post(f"/api/notifications/deliveries/{line['id']}/replay")
    settle(private_app)
    assert statuses(webhooks, channel_id=hook["id"]) == [("sent", 1)]


def test_a_410_switches_the_channel_off(hook, webhooks, receiver, happen):
    receiver.answers = [(410, {})]
    happen("a")
    happen("b")
    assert len(receiver.got) == 1
    assert webhooks.get("/api/notifications/channels").json["data"][0]["enabled"] is False
    assert statuses(webhooks, channel_id=hook["id"]) == [("failed", 1)]


def test_a_receiver_that_keeps_failing_is_left_alone(hook, webhooks, receiver, happen):
    receiver.answers = [(500, {})] * 20
    for number in range(8):
        happen(f"task-{number}")
    assert len(receiver.got) == delivering.BREAKS_AFTER
    waiting = webhooks.get("/api/notifications/deliveries?status=held").json["data"]
    assert any("left alone" in (line["error"] or "") for line in waiting)


def test_redirects_are_not_followed(hook, webhooks, receiver, happen):
    receiver.answers = [(302, {"Location": receiver.url + "/else"})]
    happen()
    assert len(receiver.got) == 1
    line = webhooks.get("/api/notifications/deliveries", query_string={"channel_id": hook["id"]}).json["data"][0]
    assert (line["status"], "302" in line["error"]) == ("held", True)


def test_both_secrets_sign_while_one_is_rotated(hook, webhooks, receiver, happen):
    new = webhooks.post(f"/api/notifications/channels/{hook['id']}/rotate").json["secret"]
    happen()
    headers, body = receiver.got[0]
    for secret in (hook["secret"], new):
        assert Webhook(secret).verify(body, headers)["type"] == "core.dead_letter"


def test_equal_events_reach_a_channel_once_and_then_gathered(hook, webhooks, receiver, happen, private_app, time_passes):
    for _ in range(4):
        happen()
    assert len(receiver.got) == 1
    time_passes(6 * 60_000)
    settle(private_app)
    assert [body["data"]["count"] for body in receiver.bodies] == [1, 3]


def test_a_channel_gets_only_its_categories(webhooks, receiver, happen):
    body = {"name": "Money", "kind": "webhook", "url": receiver.url, "categories": ["billing"]}
    webhooks.post("/api/notifications/channels", json=body)
    happen()
    assert receiver.got == []


def test_a_test_send_tells_how_it_went(hook, webhooks, receiver):
    path = f"/api/notifications/channels/{hook['id']}/test"
    assert webhooks.post(path).json["sent"] is True
    receiver.answers = [(500, {})]
    failed = webhooks.post(path).json
    assert (failed["sent"], "500" in failed["error"]) == (False, True)


def test_a_channel_is_changed_and_deleted(hook, webhooks, receiver, happen):
    path = f"/api/notifications/channels/{hook['id']}"
    changed = webhooks.patch(path, json={"name": "New", "enabled": False}).json
    assert (changed["name"], changed["enabled"]) == ("New", False)
    happen()
    assert receiver.got == []
    assert webhooks.delete(path).status_code == 204
    assert webhooks.patch(path, json={"name": "X"}).status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://2130706433/", "http://0177.0.0.1/", "http://0x7f.1/", "http://[::1]/", "http://localhost:1/",
        "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://169.254.169.254/",
        "http://10.1.2.3/", "http://224.0.0.1/", "http://0.0.0.0/", "http://100.64.0.1/", "http://[fd00::1]/",
        "http://user:pass@example.com/", "ftp://example.com/", "//example.com", "http://exa mple.com/", "http://a\\@127.0.0.1/",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(api, url):
    answer = api.post("/api/notifications/channels", json={"name": "x", "kind": "webhook", "url": url})
    assert answer.status_code == 422
    assert answer.json["type"].endswith("url_not_allowed")
    assert [one["path"] for one in answer.json["errors"]] == ["url"]


def test_a_webhook_that_takes_workflows_is_told_of_commands_too(app):
    """They are for programs; people who take the group are not bothered with them, nor a webhook with each success."""
    commanded, succeeded = categories.find("executions.commanded"), categories.find("executions.succeeded")
    assert takes("webhook", '["workflow"]', commanded)
    assert not takes("email", '["workflow"]', commanded)
    assert not takes("webhook", '["workflow"]', succeeded)


def test_a_mail_channel_s_wrong_address_is_named_as_its_url(api):
    answer = api.post("/api/notifications/channels", json={"name": "x", "kind": "email", "url": "nobody"})
    assert [one["path"] for one in answer.json["errors"]] == ["url"]


@pytest.mark.parametrize("url", ["json://127.0.0.1/", "syslog://", "mailto://a:b@127.0.0.1", "workflows://127.0.0.1/a/b"])
def test_apprise_reaches_known_services_only(api, url):
    answer = api.post("/api/notifications/channels", json={"name": "x", "kind": "apprise", "url": url})
    assert answer.status_code == 422


@pytest.mark.filterwarnings("ignore:.*imghdr:DeprecationWarning")  # a library of Apprise's asks for it
def test_an_apprise_address_is_sealed_and_shown_by_its_kind_only(api):
    url = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/"
    made = api.post("/api/notifications/channels", json={"name": "Slack", "kind": "apprise", "url": url})
    assert made.status_code == 201, made.text
    assert (made.status_code, made.json["url"], made.json["secret"]) == (201, "slack://…", None)


def test_an_address_that_turned_private_since_is_not_called(hook, webhooks, receiver, happen, app):
    """What was allowed when it was made is checked again at each send: this application allows no private targets."""
    from pilothouse import outgoing

    with app.app_context(), pytest.raises(outgoing.UrlNotAllowed):
        outgoing.post(receiver.url, b"", {})
    assert receiver.got == []


class Inbox:
    """A mail server's handler that keeps what came."""

    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - the library's name
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default)))
        return "250 OK"


@pytest.fixture
def inbox():
    """Start a real mail server; yield its handler and its address."""
    handler = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(handler, hostname="127.0.0.1", port=port)
    server.start()
    yield handler, f"smtp://127.0.0.1:{port}"
    server.stop()


def test_a_mail_arrives_once_as_text_and_html_with_a_way_out(migrated_copy, inbox):
    handler, url = inbox
    app = make_app(environment(migrated_copy, PILOTHOUSE_SMTP_URL=url))
    with app.app_context():
        from pilothouse.identity.users import add_user

        with unit_of_work():
            add_user("ann@example.com", "owner")
            publish(DeadLetter(job_id="j", task="weather.fetch", starts=3, error="It is cold."))
        settle(app)
        settle(app)
    let_go(app)
    ((recipients, mail),) = handler.mails
    assert recipients == ["ann@example.com"]
    assert mail["Subject"] == "A task gave up: weather.fetch"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


def test_a_mail_whose_worker_died_is_not_sent_twice(app, member, mailbox, rows, monkeypatch):
    member("owner")
    with unit_of_work():
        publish(DeadLetter(job_id="j", task="t", starts=3, error=""))
    monkeypatch.setattr(delivering, "_mail", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_due(app)
    monkeypatch.undo()
    db.session.rollback()
    with unit_of_work():
        db.session.execute(db.text("DELETE FROM jobs WHERE state = 'running'"))
    delivering.wake_due()
    assert mailbox() == []
    line = rows("SELECT status, error FROM notification_deliveries WHERE lane = 'email'")[0]
    assert (line["status"], "Nobody knows" in line["error"]) == ("failed", True)


@pytest.fixture
def owner(as_role):
    """Return the owner's browser."""
    return as_role("owner")


def give_up(task="t"):
    with unit_of_work():
        publish(DeadLetter(job_id="j", task=task, starts=3, error=""))


def test_quiet_hours_hold_mails_until_they_end(app, owner, mailbox, time_passes, rows):
    local = clock.to_datetime(clock.now())
    quiet = {"from": f"{(local.hour - 1) % 24:02}:00", "to": f"{(local.hour + 2) % 24:02}:00", "tz": "UTC"}
    owner.put("/api/notifications/preferences", json={"quiet_hours": quiet})
    give_up()
    assert mailbox() == []
    assert rows("SELECT status FROM notification_deliveries WHERE lane = 'email'") == [{"status": "held"}]
    time_passes(3 * 3_600_000)
    delivering.wake_due()
    assert len(mailbox()) == 1


def test_the_daily_digest_is_one_mail(app, owner, mailbox, time_passes):
    owner.put("/api/notifications/preferences", json={"digest": "daily"})
    give_up("a")
    give_up("b")
    assert mailbox() == []
    time_passes(25 * 3_600_000)
    delivering.wake_due()
    (mail,) = mailbox()
    assert mail["Subject"] == "2 notifications from Pilothouse"


def test_the_hourly_digest_is_one_mail_at_the_full_hour(app, owner, mailbox, time_passes, rows):
    assert owner.put("/api/notifications/preferences", json={"digest": "hourly"}).json["digest"] == "hourly"
    give_up("a")
    give_up("b")
    assert mailbox() == []
    assert {row["due_at"] % 3_600_000 for row in rows("SELECT due_at FROM notification_deliveries WHERE lane = 'email'")} == {0}
    time_passes(3_600_000)
    delivering.wake_due()
    (mail,) = mailbox()
    assert mail["Subject"] == "2 notifications from Pilothouse"


@pytest.mark.parametrize(("zone", "minute"), [("UTC", 0), ("Asia/Kolkata", 30), ("Asia/Kathmandu", 15)])
def test_full_hours_are_those_of_the_zone(zone, minute):
    due, _ = preferences.Choices(tz=zone, digest="hourly").mail_at(1_790_000_123_456)
    assert clock.to_datetime(due).minute == minute
    assert 0 < due - 1_790_000_123_456 <= 3_600_000


def test_an_hourly_digest_waits_for_the_end_of_the_quiet_hours():
    night = clock.to_datetime(1_790_000_000_000 // 86_400_000 * 86_400_000)
    chosen = preferences.Choices(quiet_from=60, quiet_to=7 * 60, digest="hourly")
    due, why = chosen.mail_at(round(night.timestamp() * 1000) + 1_800_000)
    assert (clock.to_datetime(due).hour, why) == (7, "It waits for the end of the quiet hours.")


def test_what_is_muted_while_it_is_held_never_goes_out(app, owner, mailbox, time_passes, rows):
    owner.put("/api/notifications/preferences", json={"digest": "daily"})
    give_up()
    mailbox()
    owner.put("/api/notifications/preferences", json={"digest": "off", "categories": {"system": {"email": False}}})
    time_passes(25 * 3_600_000)
    delivering.wake_due()
    assert mailbox() == []
    assert rows("SELECT status FROM notification_deliveries WHERE lane = 'email'") == [{"status": "muted"}]
