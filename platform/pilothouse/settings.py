"""Settings: one table of `Setting`s, read from the environment, all faults reported at once by name."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from pilothouse.errors import SettingsError

MASTER_KEY_BYTES = 32  # AES-256
SECRET_KEY_CHARS = 32  # 128 bits as hex: what a signing key needs at least
UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}  # ms of what durations are written in, the smallest first
LONGEST_DURATION = 3_650 * 86_400_000  # ms; beyond ten years a duration is a slip, and far beyond it leaves 64 bits


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: the environment variable's name, how to read it, its default, what it is for, whether it is secret.

    `parse` raises ValueError with a sentence where the text is wrong. Where `default` is a function it is called
    with the values read so far.
    """

    name: str
    parse: Callable[[str], Any]
    default: Any
    help: str
    secret: bool = False


def text(value: str) -> str:
    """Read any text."""
    return value


def flag(value: str) -> bool:
    """Read yes or no."""
    answer = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if value.lower() not in answer:
        raise ValueError("must be one of on, off, true, false, yes, no, 1, 0")
    return answer[value.lower()]


def whole(minimum: int, maximum: int) -> Callable[[str], int]:
    """Read a whole number between two bounds."""

    def parse(value: str) -> int:
        if not value.isascii() or not value.isdigit() or not minimum <= int(value) <= maximum:
            raise ValueError(f"must be a whole number from {minimum} to {maximum}")
        return int(value)

    return parse


def duration(value: str) -> int:
    """Read a duration such as `90s`, `30m`, `12h` or `2d`; a bare number is seconds. Returns milliseconds."""
    number, unit = (value[:-1], UNITS[value[-1]]) if value[-1:] in UNITS else (value, 1_000)
    if not number.isascii() or not number.isdigit() or int(number) == 0:
        raise ValueError("must be a duration such as 90s, 30m, 12h or 2d")
    if int(number) * unit > LONGEST_DURATION:
        raise ValueError("must be a duration of at most 3650d")
    return int(number) * unit


def write_duration(ms: int) -> str:
    """Write a duration as `duration` reads it, in the largest unit that holds it as a whole number."""
    unit = next(unit for unit in reversed(UNITS) if ms % UNITS[unit] == 0)
    return f"{ms // UNITS[unit]}{unit}"


def url(*schemes: str) -> Callable[[str], str]:
    """Read a URL of one of the schemes that names a host (or a socket's path), without a slash at its end."""

    def parse(value: str) -> str:
        try:
            parts = urlsplit(value)
            named = parts.path.strip("/") if parts.scheme == "unix" else parts.hostname and parts.port != 0
        except ValueError:  # whose own words may hold a part of the password
            raise ValueError("must be a URL") from None
        if parts.scheme not in schemes or not value.startswith(f"{parts.scheme}://"):
            raise ValueError(f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        if not named:
            raise ValueError("must name a host, such as https://console.example.com")
        return value.rstrip("/")

    return parse


def secret_key(value: str) -> str:
    """Read the secret key; short ones are refused, since it signs cookies and CSRF tokens."""
    if len(value) < SECRET_KEY_CHARS:
        raise ValueError("must have at least 32 characters")
    return value


def master_keys(value: str) -> tuple[str, ...]:
    """Read master keys separated by commas; each must be 32 bytes in base64."""
    keys = names(value)
    try:
        sizes = {len(base64.b64decode(key, validate=True)) for key in keys}
    except ValueError:
        sizes = {0}
    if sizes != {MASTER_KEY_BYTES}:
        raise ValueError("must hold keys of 32 bytes in base64, such as `openssl rand -base64 32` prints")
    return keys


def sender(value: str) -> str:
    """Read the sender of mails: an address, with a name before it or without."""
    _, address = parseaddr(value)
    local, at, host = address.rpartition("@")
    if not (local and at and host) or not value.isprintable():
        raise ValueError("must be an address, such as Pilothouse <console@example.com>")
    return value


def names(value: str) -> tuple[str, ...]:
    """Read names separated by commas."""
    return tuple(name.strip() for name in value.split(",") if name.strip())


def origins(value: str) -> tuple[str, ...]:
    """Read the origins of web pages separated by commas, or `*` for all."""
    found = tuple(name.lower().rstrip("/") for name in names(value))
    for name in found:
        if name != "*" and (urlsplit(url("http", "https")(name)).path or "@" in name):
            raise ValueError("must be origins such as https://shop.example.com, separated by commas, or *")
    return found


def folder(value: str) -> Path:
    """Read the path of a folder; it need not exist."""
    try:
        return Path(value).expanduser().resolve()
    except RuntimeError:
        raise ValueError("starts with the home folder of a user who does not exist") from None


def _database_in_data_dir(values: Mapping[str, Any]) -> str:
    return f"sqlite:///{values['PILOTHOUSE_DATA_DIR'] / 'pilothouse.db'}"


def _database_url(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if not separator or scheme not in {"sqlite", "postgres", "postgresql", "postgresql+psycopg"}:
        raise ValueError("must start with sqlite:/// or postgresql://")
    address = value if scheme == "sqlite" else f"postgresql+psycopg://{rest}"
    try:
        parsed = make_url(address)
    except (ArgumentError, ValueError):  # whose own words hold the password
        raise ValueError("must be a URL, such as postgresql://user:password@host:5432/name") from None
    if scheme == "sqlite" and (parsed.host or parsed.database in {None, "", ":memory:"}):
        raise ValueError("must name a file, such as sqlite:////var/lib/pilothouse/pilothouse.db")
    return address


CORE_SETTINGS = (
    Setting(
        "PILOTHOUSE_DATA_DIR",
        folder,
        lambda _: Path("pilothouse-data").resolve(),
        "Folder for the database, secrets, mails and the embedded broker",
    ),
    Setting(
        "PILOTHOUSE_DATABASE_URL",
        _database_url,
        _database_in_data_dir,
        "sqlite:///FILE or postgresql://...; a SQLite file in the data folder if unset",
        secret=True,
    ),
    Setting(
        "PILOTHOUSE_REDIS_URL",
        url("redis", "rediss", "unix"),
        None,
        "redis://... of Valkey or Redis; `pilothouse up` starts an embedded Valkey if unset",
        secret=True,
    ),
    Setting(
        "PILOTHOUSE_SECRET_KEY",
        secret_key,
        None,
        "Signs cookies and CSRF tokens; made by `pilothouse up`, required elsewhere",
        secret=True,
    ),
    Setting(
        "PILOTHOUSE_MASTER_KEYS",
        master_keys,
        (),
        "Master keys of the vault, newest first, each 32 bytes in base64; made by `pilothouse up`",
        secret=True,
    ),
    Setting(
        "PILOTHOUSE_MASTER_KEYS_COMMAND",
        text,
        None,
        "A command that prints the master keys, newest first, where a secret store or a key service keeps them",
    ),
    Setting(
        "PILOTHOUSE_BASE_URL",
        url("http", "https"),
        "http://127.0.0.1:8080",
        "The address that links in mails and pages start with",
    ),
    Setting(
        "PILOTHOUSE_PROXIES",
        whole(0, 10),
        0,
        "Proxies in front of the web server, each of which adds the address that it hears from to X-Forwarded-For",
    ),
    Setting(
        "PILOTHOUSE_SMTP_URL",
        url("smtp", "smtps", "smtp+starttls"),
        None,
        "smtp://user:password@host:port; mails go to <data>/outbox/*.eml if unset",
        secret=True,
    ),
    Setting("PILOTHOUSE_MAIL_FROM", sender, "Pilothouse <pilothouse@localhost>", "The sender of mails"),
    Setting("PILOTHOUSE_PLUGINS_DISABLED", names, (), "Plugins that are not loaded, separated by commas"),
    Setting("PILOTHOUSE_RETENTION_DAYS", whole(1, 3650), 90, "Days after which raw rows are deleted"),
    Setting(
        "PILOTHOUSE_INGEST_RATE", whole(1, 10_000_000), None, "Signals a second that one token may send; no limit if unset"
    ),
    Setting(
        "PILOTHOUSE_BROWSER_ORIGINS",
        origins,
        ("*",),
        "Sites whose pages may send from browsers, separated by commas, such as https://shop.example.com; * for all",
    ),
    Setting(
        "PILOTHOUSE_LONG_REQUESTS",
        whole(0, 4_000),
        512,
        "Requests that mostly wait, such as streams of a model, that one web server takes at once",
    ),
    Setting("PILOTHOUSE_ALLOW_PRIVATE_TARGETS", flag, False, "Allow outgoing calls to private addresses"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked settings. The core's own are attributes; `values` has every one by its variable's name."""

    values: Mapping[str, Any] = field(repr=False)  # secrets are among them
    table: tuple[Setting, ...] = field(default=CORE_SETTINGS, repr=False)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    def extended(self, extra: Iterable[Setting]) -> Settings:
        """Return these settings together with plugins' own. Raises SettingsError for wrong ones."""
        return read_settings(self.environ, extra, require_secrets=bool(self.values["PILOTHOUSE_SECRET_KEY"]))

    def __getitem__(self, name: str) -> Any:
        """Return a setting by its variable's name, the core's and the plugins' alike."""
        return self.values[name]

    @property
    def data_dir(self) -> Path:
        """The data folder."""
        return Path(self.values["PILOTHOUSE_DATA_DIR"])

    @property
    def database_url(self) -> str:
        """The database's SQLAlchemy URL."""
        return str(self.values["PILOTHOUSE_DATABASE_URL"])

    @property
    def redis_url(self) -> str | None:
        """The broker's URL, None where there is none."""
        found: str | None = self.values["PILOTHOUSE_REDIS_URL"]
        return found

    @property
    def secret_key(self) -> str:
        """The signing key."""
        return str(self.values["PILOTHOUSE_SECRET_KEY"])

    @property
    def base_url(self) -> str:
        """The public address, without a slash at its end."""
        return str(self.values["PILOTHOUSE_BASE_URL"])

    def public(self) -> dict[str, Any]:
        """Return every setting that is not secret, for the settings page; durations as people write them."""
        shown = [(s, self.values[s.name]) for s in self.table if not s.secret]
        return {s.name: write_duration(value) if s.parse is duration and value is not None else value for s, value in shown}


def read_settings(
    environ: Mapping[str, str] | None = None, extra: Iterable[Setting] = (), *, require_secrets: bool = True
) -> Settings:
    """Read and check all settings, the core's and `extra` ones of plugins.

    Raises SettingsError that names every wrong variable. `require_secrets` is off only while `pilothouse up` and
    `doctor` still make or look for what is missing.
    """
    environ = os.environ if environ is None else environ
    table = (*CORE_SETTINGS, *extra)
    values: dict[str, Any] = {}
    faults = []
    for setting in table:
        raw = environ.get(setting.name, "")
        try:
            if raw:
                values[setting.name] = setting.parse(raw)
            else:
                values[setting.name] = setting.default(values) if callable(setting.default) else setting.default
        except ValueError as fault:
            values[setting.name] = None
            faults.append(f"{setting.name} {fault}")
        except Exception as fault:  # noqa: BLE001 - a plugin's reader may raise anything; the start must name the setting
            values[setting.name] = None
            if raw or not faults:  # a default may fail because of a fault that was named before
                faults.append(f"{setting.name} cannot be read ({type(fault).__name__})")
    if require_secrets and not environ.get("PILOTHOUSE_SECRET_KEY"):
        faults.append("PILOTHOUSE_SECRET_KEY is required (`pilothouse up` makes one in its data folder)")
    if faults:
        raise SettingsError("; ".join(faults))
    return Settings(MappingProxyType(values), table, environ)
