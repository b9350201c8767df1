"""Calls to addresses that people typed in: checked against our own list of non-public ranges, connected to as checked.

The name is resolved once, every address that it has is checked, and the connection goes to one of those very addresses:
a name that answers differently the second time (DNS rebinding) gains nothing. Redirects are not followed. Python's
`is_global` is no help: it passes NAT64 (64:ff9b::/96), 6to4 (2002::/16) and multicast.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from pilothouse.errors import FieldError, Invalid, PilothouseError
from pilothouse.runtime import runtime

TIMEOUT_S = 10.0  # to connect, and for each part of the answer
ANSWER_LIMIT = 16 * 1024  # bytes that are read of an answer: enough for any reason
PORTS = {"http": 80, "https": 443}
URL_CHARS = 2_000

# IANA's special-purpose registries for IPv4 and IPv6, what carries an IPv4 address inside, and multicast.
NON_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "::/96", "::1/128", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64",
        "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10",
        "fec0::/10", "ff00::/8",
    )
)  # fmt: skip


class UrlNotAllowed(Invalid):
    """The address is none that may be called from here."""

    code, title = "url_not_allowed", "The address is not allowed"

    @classmethod
    def of_field(cls, path: str, reason: str) -> UrlNotAllowed:
        """Make the error for a field of a form."""
        return cls(reason, [FieldError(path, reason)])


class NotReached(PilothouseError):
    """Nobody answered; trying again may help."""

    status, code, title = 502, "not_reached", "The address cannot be reached"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the start of the body as text, and the headers by lower-case name."""

    status: int
    text: str
    headers: Mapping[str, str]


def is_public(address: str) -> bool:
    """Say whether an IP address is none of a private, local, reserved or translated range."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return not any(found.version == network.version and found in network for network in NON_PUBLIC)


def check_url(url: str) -> SplitResult:
    """Take an http or https address apart. Raises UrlNotAllowed with the reason."""
    if len(url) > URL_CHARS or not url.isprintable() or " " in url or "\\" in url:
        raise UrlNotAllowed(f"The address must be at most {URL_CHARS} printable characters without spaces.")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as fault:
        raise UrlNotAllowed(f"The address cannot be read: {fault}.") from None
    if parts.scheme not in PORTS or not host:
        raise UrlNotAllowed("The address must start with https:// or http:// and name a host.")
    if parts.username is not None or parts.password is not None:
        raise UrlNotAllowed("The address must not hold a user name or password.")
    return parts


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, each of which may be called.

    Raises UrlNotAllowed where any of them is not public and PILOTHOUSE_ALLOW_PRIVATE_TARGETS is off, NotReached where
    the name is not known. Whole numbers and octal forms are resolved as the system would: to what they mean.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotReached(f"The name {host} is not known.") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not runtime().settings["PILOTHOUSE_ALLOW_PRIVATE_TARGETS"]:
        for address in addresses:
            if not is_public(address):
                raise UrlNotAllowed(f"{host} leads to {address}, which is no public address.")
    return addresses


def check_target(url: str, field: str = "url") -> None:
    """Refuse an address that could never be called, for forms. Raises UrlNotAllowed; a name that is not known passes."""
    try:
        parts = check_url(url)
        resolve(parts.hostname or "", parts.port or PORTS[parts.scheme])
    except NotReached:
        return
    except UrlNotAllowed as fault:
        raise UrlNotAllowed.of_field(field, fault.detail) from None


def post(url: str, body: bytes, headers: Mapping[str, str], *, limit: int = ANSWER_LIMIT) -> Answer:
    """Post a body; reads so many bytes of the answer. Redirects come back as they are. Raises UrlNotAllowed, NotReached."""
    return _call("POST", url, body, headers, limit)


def get(url: str, headers: Mapping[str, str], *, limit: int = ANSWER_LIMIT) -> Answer:
    """Ask for an address; reads so many bytes. Redirects come back as they are. Raises UrlNotAllowed, NotReached."""
    return _call("GET", url, None, headers, limit)


def _call(method: str, url: str, body: bytes | None, headers: Mapping[str, str], limit: int) -> Answer:
    parts = check_url(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    addresses = resolve(host, port)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    connection = Pinned(host, port, addresses, tls=tls)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        text = response.read(limit).decode(errors="replace")
        return Answer(response.status, text, {name.lower(): value for name, value in response.getheaders()})
    except (OSError, http.client.HTTPException) as fault:
        raise NotReached(f"{host} did not answer: {str(fault) or type(fault).__name__}.") from fault
    finally:
        connection.close()


class Pinned(http.client.HTTPConnection):
    """A connection to addresses that were checked; with `tls` the certificate is checked for the name."""

    def __init__(self, host: str, port: int, addresses: list[str], *, tls: ssl.SSLContext | None) -> None:
        """Take the name, for the Host header and the certificate, and the addresses to connect to."""
        super().__init__(host, port, timeout=TIMEOUT_S)
        self._addresses = addresses
        self._tls = tls
        self.default_port = PORTS["https" if tls else "http"]

    def connect(self) -> None:
        """Connect to the first of the addresses that answers."""
        fault: OSError | None = None
        for address in self._addresses:
            try:
                self.sock = socket.create_connection((address, self.port), TIMEOUT_S)
                break
            except OSError as refused:
                fault = refused
        else:
            raise fault or OSError("no address")
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # headers and body are two writes: no waiting between
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)
