"""Mail to a real SMTP server, or into the outbox."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import compat32
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from pilothouse.errors import Invalid
from pilothouse.settings import read_settings
from pilothouse.work.mail import Mailer, MailRefusedError


class Postbox:
    """Keeps what it is sent; refuses recipients called `nobody`, and hangs up in the middle where it is told to."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.senders: list[str | None] = []
        self.sessions: set[int] = set()
        self.hang_up = False

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - the same
        self.mails.append(message_from_bytes(envelope.content or b"", policy=compat32))
        self.senders.append(envelope.mail_from)
        self.sessions.add(id(session))
        if self.hang_up:
            server.transport.abort()
        return "250 taken"


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@pytest.fixture
def mailer(postbox: Postbox, tmp_path: Path) -> Iterator[Mailer]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(postbox, hostname="127.0.0.1", port=port)
    controller.start()
    found = make_mailer(tmp_path, f"smtp://127.0.0.1:{port}")
    yield found
    found.close()
    controller.stop()


def make_mailer(folder: Path, url: str = "") -> Mailer:
    return Mailer(
        read_settings(
            {
                "PILOTHOUSE_DATA_DIR": str(folder),
                "PILOTHOUSE_SMTP_URL": url,
                "PILOTHOUSE_MAIL_FROM": "Pilothouse <console@example.org>",
            },
            require_secrets=False,
        )
    )


def mail(to: str = "ada@example.org", subject: str = "Hello") -> EmailMessage:
    message = EmailMessage()
    message["To"], message["Subject"] = to, subject
    message.set_content("A link that nobody else should see: http://127.0.0.1/login/secret\n")
    return message


def test_a_mail_arrives_complete(mailer: Mailer, postbox: Postbox) -> None:
    mailer.send(mail(subject="Grüße"))
    (arrived,) = postbox.mails
    assert postbox.senders == ["console@example.org"]
    assert arrived["From"] == "Pilothouse <console@example.org>"
    assert arrived["Date"]
    assert str(arrived["Message-ID"]).endswith("@example.org>")


def test_several_mails_share_one_connection(mailer: Mailer, postbox: Postbox) -> None:
    for _ in range(5):
        mailer.send(mail())
    assert len(postbox.mails) == 5
    assert len(postbox.sessions) == 1


def test_a_refused_recipient_is_told_and_the_next_mail_goes_out(mailer: Mailer, postbox: Postbox) -> None:
    with pytest.raises(MailRefusedError, match="refused the recipient"):
        mailer.send(mail(to="nobody@example.org"))
    mailer.send(mail())
    assert len(postbox.mails) == 1


def test_a_mail_of_unknown_fate_is_not_sent_twice(mailer: Mailer, postbox: Postbox) -> None:
    postbox.hang_up = True
    mailer.send(mail())
    postbox.hang_up = False
    mailer.send(mail(subject="next"))
    assert [str(arrived["Subject"]) for arrived in postbox.mails] == ["Hello", "next"]


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MailRefusedError, match="cannot be used"):
        make_mailer(tmp_path, "smtp://127.0.0.1:9").send(mail())


@pytest.mark.parametrize("name", ["Subject", "To", "X-Extra"])
def test_no_header_can_be_smuggled_in(tmp_path: Path, name: str) -> None:
    message = EmailMessage(policy=compat32)  # the default policy refuses such a value by itself
    message[name] = "hello\r\nBcc: everybody@example.org"
    with pytest.raises(Invalid, match="must be one line"):
        make_mailer(tmp_path).send(message)
    assert not (tmp_path / "outbox").exists()


def test_without_a_server_mails_lie_in_the_outbox(tmp_path: Path) -> None:
    mailer = make_mailer(tmp_path)
    mailer.send(mail(subject="first"))
    mailer.send(mail(subject="second"))
    found = sorted((tmp_path / "outbox").glob("*"))
    assert [message_from_bytes(path.read_bytes())["Subject"] for path in found] == ["first", "second"]
    assert {path.suffix for path in found} == {".eml"}
    assert stat.S_IMODE(found[0].stat().st_mode) == 0o600


def test_the_log_names_the_file_and_not_what_is_in_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_mailer(tmp_path).send(mail())
    told = "".join(capfd.readouterr())
    assert ".eml" in told
    assert "secret" not in told
