"""Mail: through the SMTP server, or into `<data>/outbox` where there is none.

A message is handed over at most once by one call: when the connection breaks after the text was sent and before
the server's answer, nobody knows, and it is not sent again. A caller whose worker may be killed in between, and who
must not send twice, marks its own row in a unit of work of its own before it calls `send`.
"""

from __future__ import annotations

import os
import smtplib
import ssl
import threading
import time
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from pilothouse import clock, logs
from pilothouse.errors import Invalid, PilothouseError
from pilothouse.runtime import runtime
from pilothouse.settings import Settings

TIMEOUT_S = 10.0  # for each answer of the server
REUSE_S = 20.0  # servers drop idle connections after a minute or more; reconnecting costs about 5 ms on a local network
PORTS = {"smtp": 587, "smtps": 465, "smtp+starttls": 587}  # RFC 6409 and RFC 8314


class MailRefusedError(PilothouseError):
    """The server did not take the mail, and nothing of it was delivered."""

    status, code, title = 502, "mail_refused", "The mail server refused the mail"


def send(message: EmailMessage) -> None:
    """Send a message, or write it to the outbox; From, Date and Message-ID are added where they are missing.

    Raises MailRefusedError where it surely was not sent (trying again is safe), Invalid where a header holds a line
    break. Never raises where nobody knows; that is logged.
    """
    runtime().mailer.send(message)


class Mailer:
    """Sends mails one after the other over one connection, which it keeps for a while. Safe to use from any thread."""

    def __init__(self, settings: Settings) -> None:
        """Take PILOTHOUSE_SMTP_URL, PILOTHOUSE_MAIL_FROM and the data folder; nothing is connected yet."""
        url = settings["PILOTHOUSE_SMTP_URL"]
        self._server: SplitResult | None = urlsplit(url) if url else None
        self._sender = str(settings["PILOTHOUSE_MAIL_FROM"])
        self._outbox = settings.data_dir / "outbox"
        self._connection: smtplib.SMTP | None = None
        self._used_at = 0.0
        self._lock = threading.Lock()

    def send(self, message: EmailMessage) -> None:
        """Send one message; see `send` of this module."""
        self._complete(message)
        check_headers(message)
        if self._server is None:
            path = write_to_outbox(self._outbox, message)
            logs.get("mail").info("mail_in_outbox", file=str(path))
            return
        with self._lock:
            self._deliver(self._server, message)

    def close(self) -> None:
        """Say goodbye to the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.quit()
            except (smtplib.SMTPException, OSError):
                connection.close()

    def _drop(self) -> None:
        """Let go of a connection that broke, without a word to the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _complete(self, message: EmailMessage) -> None:
        if "From" not in message:
            message["From"] = self._sender
        if "Date" not in message:
            message["Date"] = formatdate(clock.now() / clock.SECOND, usegmt=True)
        if "Message-ID" not in message:
            domain = parseaddr(self._sender)[1].rpartition("@")[2] or "localhost"
            message["Message-ID"] = f"<{clock.new_id()}@{domain}>"

    def _deliver(self, server: SplitResult, message: EmailMessage) -> None:
        connection = self._ready(server)
        try:
            connection.send_message(message, from_addr=parseaddr(self._sender)[1])
        except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as fault:
            self._used_at = time.monotonic()
            raise MailRefusedError(f"The mail server said no: {_words(fault)}") from fault
        except (smtplib.SMTPException, OSError) as fault:
            # It may have been taken: the text may have gone out before the connection broke.
            self._drop()
            logs.get("mail").error("mail_unknown", error=type(fault).__name__, message_id=str(message["Message-ID"]))
            return
        self._used_at = time.monotonic()
        logs.get("mail").info("mail_sent", message_id=str(message["Message-ID"]))

    def _ready(self, server: SplitResult) -> smtplib.SMTP:
        """Return a connection that just answered, so that a stale one is not found out in the middle of a mail."""
        connection = self._connection
        if connection is not None and time.monotonic() - self._used_at < REUSE_S:
            try:
                if connection.noop()[0] == 250:  # noqa: PLR2004 - RFC 5321: requested action completed
                    return connection
            except (smtplib.SMTPException, OSError):
                self._drop()
        self.close()
        try:
            self._connection = connect(server)
        except (smtplib.SMTPException, OSError) as fault:
            raise MailRefusedError(f"The mail server {server.hostname} cannot be used: {_words(fault)}") from fault
        return self._connection


def connect(server: SplitResult) -> smtplib.SMTP:
    """Open a connection and sign in. Raises smtplib.SMTPException or OSError."""
    host, port = server.hostname or "localhost", server.port or PORTS[server.scheme]
    if server.scheme == "smtps":
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            host, port, timeout=TIMEOUT_S, context=ssl.create_default_context()
        )
    else:
        connection = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    if server.scheme == "smtp+starttls":
        connection.starttls(context=ssl.create_default_context())
    if server.username:
        connection.login(unquote(server.username), unquote(server.password or ""))
    return connection


def check_headers(message: EmailMessage) -> None:
    """Refuse line breaks in headers: they would start headers, or mails, of somebody else's choice. Raises Invalid."""
    for name, value in message.items():
        if any(character in f"{name}{value}" for character in "\r\n\0"):
            raise Invalid.field(name.splitlines()[0] if name else "header", "must be one line")


def write_to_outbox(folder: Path, message: EmailMessage) -> Path:
    """Write the message to `<time>-<id>.eml`, readable by its owner only, whole or not at all; return the path."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    moment = clock.to_datetime(clock.now()).strftime("%Y%m%dT%H%M%S%f")[:-3]
    path = folder / f"{moment}Z-{clock.new_id()}.eml"
    temporary = path.with_suffix(".part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(message.as_bytes(policy=policy.SMTP))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return path


def _words(fault: Exception) -> str:
    """Say what the server said, without what was sent to it."""
    if isinstance(fault, smtplib.SMTPAuthenticationError):
        return "it does not accept the user name and password"
    if isinstance(fault, smtplib.SMTPResponseException):
        said = fault.smtp_error
        return f"{fault.smtp_code} {said.decode(errors='replace') if isinstance(said, bytes) else said}"[:200]
    if isinstance(fault, smtplib.SMTPRecipientsRefused):
        return "it refused the recipient"
    return f"{type(fault).__name__}"
