"""The keyring: envelope encryption for stored secrets, and the tokens that programs and browsers carry.

A secret is sealed with AES-256-GCM under a data key that is made for this one version; the data key is wrapped, with
AES-256-GCM as well, by the newest master key (NIST SP 800-38D; 96-bit random nonces, one use a data key). The place of
the secret (table, row, field, version) is authenticated with it: a ciphertext that was moved elsewhere does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
import shlex
import stat
import subprocess
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pilothouse.errors import VaultIntegrity, VaultSealed
from pilothouse.settings import Settings

FORMAT = "ph1"
KEY_BYTES = 32  # AES-256
NONCE_BYTES = 12  # what GCM is specified for
TAG_BYTES = 16
MASTER_FILE = "master.keys"
COMMAND_S = 10.0
OTHERS_MAY_READ = 0o077

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_CHARS = 43  # 62**43 > 2**256
CHECKSUM_CHARS = 6  # 62**6 > 2**32, the range of CRC32


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed secret is stored: it opens only there."""

    table: str
    row: str
    field: str
    version: int = 1

    def bound(self) -> bytes:
        """Return the authenticated data; the lengths keep ("ab", "c") apart from ("a", "bc")."""
        parts = (FORMAT, self.table, self.row, self.field, str(self.version))
        return "".join(f"{len(part)}:{part}" for part in parts).encode()


class Keyring:
    """Seals and opens secrets with versioned master keys, newest first.

    A keyring without usable keys is *sealed*: `sealed` says why, every operation raises VaultSealed, and nothing else
    of Pilothouse is touched. The keys are read again when a secret names one that is not known, so that a running
    process learns of a rotation.
    """

    def __init__(self, load: Callable[[], Sequence[bytes]]) -> None:
        """Read the keys. `load` raises VaultSealed with the reason where they are missing or wrong."""
        self._load = load
        self._keys: dict[str, bytes] = {}
        self._reason: str | None = None
        self.reload()

    @classmethod
    def from_settings(cls, settings: Settings) -> Keyring:
        """Make the keyring from PILOTHOUSE_MASTER_KEYS, from what a command prints, or from `<data>/master.keys`."""
        named, command = settings["PILOTHOUSE_MASTER_KEYS"], settings["PILOTHOUSE_MASTER_KEYS_COMMAND"]
        if named:
            return cls(lambda: _decode_all(named, "PILOTHOUSE_MASTER_KEYS"))
        if command:
            return cls(lambda: ask_for_master_keys(command))
        path = settings.data_dir / MASTER_FILE
        return cls(lambda: read_master_keys(path))

    def __repr__(self) -> str:
        return f"Keyring({len(self._keys)} keys, sealed={self._reason!r})"

    @property
    def sealed(self) -> str | None:
        """Why the vault cannot be used; None when it can."""
        return self._reason

    @property
    def newest(self) -> str:
        """The id of the master key that new secrets are wrapped with. Raises VaultSealed."""
        return next(iter(self._open_keys()))

    def reload(self) -> None:
        """Read the master keys again."""
        try:
            self._keys = {key_id(key): key for key in self._load()}
            self._reason = None
        except VaultSealed as fault:
            self._keys, self._reason = {}, fault.detail

    def seal(self, secret: str, place: Place) -> str:
        """Encrypt a secret for one place; the result is printable text. Raises VaultSealed."""
        keys = self._open_keys()
        newest = next(iter(keys))
        data_key = AESGCM.generate_key(KEY_BYTES * 8)
        body = _encrypt(data_key, secret.encode(), place.bound())
        return ".".join((FORMAT, newest, _text(_encrypt(keys[newest], data_key, FORMAT.encode())), _text(body)))

    def unseal(self, ciphertext: str, place: Place) -> str:
        """Decrypt what was sealed for this place. Raises VaultIntegrity where it was swapped, cut or changed."""
        data_key, body = self._data_key(ciphertext)
        return _decrypt(data_key, body, place.bound()).decode()

    def rewrap(self, ciphertext: str) -> str:
        """Wrap the data key with the newest master key; the secret itself is not opened."""
        data_key, body = self._data_key(ciphertext)
        keys = self._open_keys()
        newest = next(iter(keys))
        return ".".join((FORMAT, newest, _text(_encrypt(keys[newest], data_key, FORMAT.encode())), _text(body)))

    def wrapped_by(self, ciphertext: str) -> str:
        """Return the id of the master key that a ciphertext needs. Raises VaultIntegrity where it is none of ours."""
        return _parts(ciphertext)[0]

    def _open_keys(self) -> dict[str, bytes]:
        if self._reason is not None:
            self.reload()  # the operator may have put the file right meanwhile
        if self._reason is not None:
            raise VaultSealed(self._reason)
        return self._keys

    def _data_key(self, ciphertext: str) -> tuple[bytes, bytes]:
        keys = self._open_keys()
        name, wrapped, body = _parts(ciphertext)
        if name not in keys:
            self.reload()
            keys = self._open_keys()
        if name in keys:
            return _decrypt(keys[name], wrapped, FORMAT.encode()), body
        if any(_opens(key, wrapped) for key in keys.values()):
            raise VaultIntegrity("A stored secret names a master key that it was not wrapped with: it was changed.")
        raise VaultSealed(f"A secret needs the master key {name}, which is not among PILOTHOUSE_MASTER_KEYS.")


def key_id(key: bytes) -> str:
    """Return the public name of a master key: the start of a hash, which tells nothing of the key."""
    return hashlib.sha256(b"pilothouse master key" + key).hexdigest()[:12]


def new_master_key() -> str:
    """Make a master key as it is written in the settings and the file."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def read_master_keys(path: Path) -> list[bytes]:
    """Read the key file, one key a line, newest first. Raises VaultSealed for a missing, wrong or open file."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        lines = path.read_text().split()
    except FileNotFoundError:
        raise VaultSealed("There is no master key: set PILOTHOUSE_MASTER_KEYS, or put back master.keys.") from None
    except (OSError, UnicodeDecodeError) as fault:
        raise VaultSealed(f"The master key file cannot be read: {type(fault).__name__}.") from fault
    if mode & OTHERS_MAY_READ:
        raise VaultSealed(f"Others may read the master key file (mode {mode:04o}): chmod 600 it.")
    return _decode_all(lines, "The master key file")


def ask_for_master_keys(command: str) -> list[bytes]:
    """Run a command, not in a shell, and read the keys that it prints. Raises VaultSealed; what it said is shown nowhere."""
    try:
        asked = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=COMMAND_S, check=True)
    except subprocess.CalledProcessError as fault:
        raise VaultSealed(f"The command for the master keys failed (exit status {fault.returncode}).") from None
    except (OSError, ValueError, subprocess.TimeoutExpired) as fault:
        raise VaultSealed(f"The command for the master keys could not be run: {type(fault).__name__}.") from None
    return _decode_all(asked.stdout.split(), "The command for the master keys")


def add_master_key(path: Path) -> str:
    """Put a new key before the others in the file, making the file where there is none; returns the new key's id.

    The file is replaced in one step: a crash leaves the old one or the new one, never half of it.
    """
    old = path.read_text() if path.exists() else ""
    key = new_master_key()
    write_master_keys(path, [key, *old.split()])
    return key_id(base64.b64decode(key))


def write_master_keys(path: Path, keys: Sequence[str]) -> None:
    """Replace the key file, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(keys) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _decode_all(lines: Sequence[str], where: str) -> list[bytes]:
    try:
        keys = [base64.b64decode(line, validate=True) for line in lines]
    except binascii.Error:
        raise VaultSealed(f"{where} must hold keys in base64.") from None
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise VaultSealed(f"{where} must hold at least one key, each {KEY_BYTES} bytes in base64.")
    return keys


def _encrypt(key: bytes, plain: bytes, bound: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def _decrypt(key: bytes, body: bytes, bound: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], bound)
    except InvalidTag:
        raise VaultIntegrity("A stored secret does not open in its place: it was swapped, cut or changed.") from None


def _opens(key: bytes, wrapped: bytes) -> bool:
    try:
        _decrypt(key, wrapped, FORMAT.encode())
    except VaultIntegrity:
        return False
    return True


def _text(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def _bytes(part: str) -> bytes:
    body = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if _text(body) != part:  # base64 has several spellings of the same bytes; one of them is ours
        raise ValueError(part)
    return body


def _parts(ciphertext: str) -> tuple[str, bytes, bytes]:
    try:
        form, name, wrapped_text, body_text = ciphertext.split(".")
        wrapped, body = _bytes(wrapped_text), _bytes(body_text)
    except ValueError:
        form, name, wrapped, body = "", "", b"", b""
    least = NONCE_BYTES + TAG_BYTES
    if form != FORMAT or len(wrapped) != least + KEY_BYTES or len(body) < least:
        raise VaultIntegrity("A stored secret has lost its form: it was cut or changed.")
    return name, wrapped, body


def make_token(kind: str) -> str:
    """Make `ph_<kind>_<random><checksum>`: 256 random bits and six characters by which a typing error is known.

    The form is that of GitHub's tokens: a prefix that scanners find, and a checksum that needs no database.
    """
    random = "".join(secrets.choice(BASE62) for _ in range(RANDOM_CHARS))
    return f"ph_{kind}_{random}{_checksum(f'ph_{kind}_{random}')}"


def checksum_ok(token: str) -> bool:
    """Say whether a text has the form of a token and its checksum; costs no query."""
    pattern = rf"ph_[a-z]{{1,16}}_[0-9A-Za-z]{{{RANDOM_CHARS + CHECKSUM_CHARS}}}"
    return re.fullmatch(pattern, token) is not None and _checksum(token[:-CHECKSUM_CHARS]) == token[-CHECKSUM_CHARS:]


def hash_token(token: str) -> str:
    """Return the SHA-256 of a token as hex: all that is stored. A slow hash is needless for 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(CHECKSUM_CHARS):
        number, digit = divmod(number, len(BASE62))
        digits = BASE62[digit] + digits
    return digits
