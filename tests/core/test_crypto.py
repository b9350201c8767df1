"""The keyring and tokens: what is sealed opens in its place only, and damage is never taken for a secret."""

from __future__ import annotations

import base64
import re
import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.crypto import (
    BASE62,
    Keyring,
    Place,
    add_master_key,
    checksum_ok,
    hash_token,
    make_token,
    new_master_key,
    read_master_keys,
    write_master_keys,
)
from pilothouse.errors import VaultIntegrity, VaultSealed
from pilothouse.settings import read_settings

settings.register_profile("unhurried", deadline=None)  # a slow moment of the machine is no failure
settings.load_profile("unhurried")

PLACE = Place("keys", "018f-a", "secret", 1)
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200)
names = st.text(alphabet="abc:1", min_size=0, max_size=6)
places = st.builds(Place, names, names, names, st.integers(1, 99))


def master_key() -> bytes:
    return secrets.token_bytes(32)


def ring(*keys: bytes) -> Keyring:
    return Keyring(lambda: keys)


@pytest.fixture(scope="module")
def keyring() -> Keyring:
    return ring(master_key())


@given(texts, places)
def test_whatever_is_sealed_opens_again_in_its_place(keyring: Keyring, secret: str, place: Place) -> None:
    assert keyring.unseal(keyring.seal(secret, place), place) == secret


@given(texts, places, places)
def test_a_secret_opens_in_no_other_place(keyring: Keyring, secret: str, place: Place, other: Place) -> None:
    sealed = keyring.seal(secret, place)
    if place != other:
        with pytest.raises(VaultIntegrity):
            keyring.unseal(sealed, other)


def changed(text: str, at: float, shift: int) -> str:
    """Put another character at a place, which is given as a share of the length."""
    index, letters = int(at * len(text)), BASE62 + "-_. é"
    put = letters[(letters.index(text[index]) + shift) % len(letters)]
    return text[:index] + put + text[index + 1 :]


shares = st.floats(0, 0.9999)
shifts = st.integers(1, len(BASE62) + 4)


@given(texts, shares, shifts)
def test_no_changed_character_goes_unnoticed(keyring: Keyring, secret: str, at: float, shift: int) -> None:
    with pytest.raises(VaultIntegrity):
        keyring.unseal(changed(keyring.seal(secret, PLACE), at, shift), PLACE)


@given(texts, shares)
def test_no_cut_goes_unnoticed(keyring: Keyring, secret: str, at: float) -> None:
    sealed = keyring.seal(secret, PLACE)
    with pytest.raises(VaultIntegrity):
        keyring.unseal(sealed[: int(at * len(sealed))], PLACE)


@given(st.text(max_size=300))
def test_any_other_text_is_refused_and_never_crashes(keyring: Keyring, text: str) -> None:
    with pytest.raises(VaultIntegrity):
        keyring.unseal(text, PLACE)


def test_the_parts_of_two_ciphertexts_do_not_go_together(keyring: Keyring) -> None:
    one, other = (keyring.seal(secret, PLACE).split(".") for secret in ("first", "second"))
    with pytest.raises(VaultIntegrity):
        keyring.unseal(".".join((*one[:3], other[3])), PLACE)


def test_the_same_secret_never_looks_the_same(keyring: Keyring) -> None:
    sealed = {keyring.seal("sk-live-1", PLACE) for _ in range(50)}
    assert len({text.split(".")[3] for text in sealed}) == 50
    assert not any("sk-live" in text for text in sealed)


def test_rewrapping_moves_a_secret_to_the_newest_key_without_touching_it() -> None:
    old, new = master_key(), master_key()
    sealed = ring(old).seal("sk-live-1", PLACE)
    both = ring(new, old)
    rewrapped = both.rewrap(sealed)
    assert both.wrapped_by(rewrapped) == both.newest != both.wrapped_by(sealed)
    assert rewrapped.split(".")[3] == sealed.split(".")[3]
    assert ring(new).unseal(rewrapped, PLACE) == "sk-live-1"


def test_older_keys_still_open_what_they_sealed() -> None:
    old, new = master_key(), master_key()
    assert ring(new, old).unseal(ring(old).seal("sk-live-1", PLACE), PLACE) == "sk-live-1"


def test_another_master_key_says_which_one_is_missing() -> None:
    first = ring(master_key())
    with pytest.raises(VaultSealed, match=first.newest):
        ring(master_key()).unseal(first.seal("sk-live-1", PLACE), PLACE)


def test_a_running_keyring_learns_of_a_rotation(tmp_path) -> None:
    path = tmp_path / "master.keys"
    add_master_key(path)
    running = Keyring(lambda: read_master_keys(path))
    newest = add_master_key(path)
    rotated = Keyring(lambda: read_master_keys(path))
    assert running.newest != rotated.newest == newest
    assert running.unseal(rotated.seal("sk-live-1", PLACE), PLACE) == "sk-live-1"
    assert running.newest == newest


def test_a_missing_file_seals_the_vault_and_putting_it_back_opens_it(tmp_path) -> None:
    path = tmp_path / "master.keys"
    keyring = Keyring(lambda: read_master_keys(path))
    assert "no master key" in (keyring.sealed or "")
    with pytest.raises(VaultSealed):
        keyring.seal("sk-live-1", PLACE)
    add_master_key(path)
    assert keyring.unseal(keyring.seal("sk-live-1", PLACE), PLACE) == "sk-live-1"
    assert keyring.sealed is None


@pytest.mark.parametrize("content", ["", "not base64!", base64.b64encode(b"short").decode(), "\xff"])
def test_wrong_files_seal_the_vault(tmp_path, content: str) -> None:
    path = tmp_path / "master.keys"
    write_master_keys(path, [])
    path.write_bytes(content.encode("latin-1"))
    keyring = Keyring(lambda: read_master_keys(path))
    assert keyring.sealed
    with pytest.raises(VaultSealed):
        keyring.rewrap("ph1.a.b.c")


def test_a_file_that_others_may_read_seals_the_vault(tmp_path) -> None:
    path = tmp_path / "master.keys"
    add_master_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    assert "0640" in (Keyring(lambda: read_master_keys(path)).sealed or "")


def test_keys_come_from_the_setting_or_from_the_data_folder(tmp_path) -> None:
    environ = {"PILOTHOUSE_DATA_DIR": str(tmp_path), "PILOTHOUSE_SECRET_KEY": "x" * 32}
    assert Keyring.from_settings(read_settings(environ)).sealed
    add_master_key(tmp_path / "master.keys")
    by_file = Keyring.from_settings(read_settings(environ))
    by_name = Keyring.from_settings(read_settings({**environ, "PILOTHOUSE_MASTER_KEYS": new_master_key()}))
    assert by_file.sealed is by_name.sealed is None
    assert by_file.newest != by_name.newest


def test_keys_come_from_a_command(tmp_path) -> None:
    environ = {"PILOTHOUSE_DATA_DIR": str(tmp_path), "PILOTHOUSE_SECRET_KEY": "x" * 32}
    (tmp_path / "kept").write_text(f"{new_master_key()}\n{new_master_key()}\n")
    asked = {**environ, "PILOTHOUSE_MASTER_KEYS_COMMAND": f"cat '{tmp_path}/kept'"}
    found = Keyring.from_settings(read_settings(asked))
    assert found.unseal(found.seal("sk-live-1", PLACE), PLACE) == "sk-live-1"
    assert repr(found).startswith("Keyring(2 keys")


@pytest.mark.parametrize("command", ["false", "echo nonsense", "/no/such/program", "'", "true"])
def test_a_command_that_prints_no_keys_seals_the_vault(tmp_path, command: str) -> None:
    environ = {"PILOTHOUSE_DATA_DIR": str(tmp_path), "PILOTHOUSE_SECRET_KEY": "x" * 32}
    ring = Keyring.from_settings(read_settings({**environ, "PILOTHOUSE_MASTER_KEYS_COMMAND": command}))
    assert "command for the master keys" in (ring.sealed or "")


def test_a_keyring_never_shows_its_keys() -> None:
    key = master_key()
    assert repr(ring(key)) == "Keyring(1 keys, sealed=None)"


@given(st.sampled_from(["access", "session", "login", "invite"]))
def test_tokens_have_their_form_and_256_random_bits(kind: str) -> None:
    token = make_token(kind)
    assert re.fullmatch(rf"ph_{kind}_[0-9A-Za-z]{{49}}", token)
    assert checksum_ok(token)
    assert len(hash_token(token)) == 64


def test_no_two_tokens_are_the_same() -> None:
    assert len({make_token("access") for _ in range(2_000)}) == 2_000


@given(shares, shifts)
def test_a_mistyped_token_is_known_without_a_query(at: float, shift: int) -> None:
    assert not checksum_ok(changed(make_token("access"), at, shift))


@given(st.text(max_size=80))
def test_other_texts_are_no_tokens(text: str) -> None:
    assert not checksum_ok(text)
    assert not checksum_ok(make_token("access") + "\n")
