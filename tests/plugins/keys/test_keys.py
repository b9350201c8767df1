"""The vault over HTTP: what goes in never comes out, lives, rotates, expires and is shredded."""

from __future__ import annotations

import re
import shutil
import threading
from html import unescape
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from tests.conftest import token_of

from pilothouse.access import Principal
from pilothouse.crypto import MASTER_FILE, add_master_key
from pilothouse.db import db, unit_of_work
from pilothouse.errors import VaultIntegrity, VaultSealed
from pilothouse.runtime import runtime
from pilothouse.sdk import DAY, HOUR, now
from pilothouse.testing import Api, environment, let_go, make_app, open_browser_session
from pilothouse_keys import queries, service
from pilothouse_keys.models import ProviderKey

SECRET = "sk-canary-0123456789abcdef"
NEW = {"name": "main", "service": "openai", "secret": SECRET}
SHOWN = {
    "id", "user_id", "name", "service", "base_url", "last4", "fingerprint", "usage_count", "last_used_at", "status",
    "expires_at", "rotated_at", "created_at",
}  # fmt: skip


OWNER = Principal("token:test", "owner", "test")


def application(migrated, folder, **environ):
    shutil.copy(migrated, folder / "pilothouse.db")
    settings = {name: value for name, value in environment(folder, **environ).items() if value}
    return make_app(settings)


@pytest.fixture
def open_app(migrated, tmp_path):
    """Allow private addresses: the provider's stand-in listens on one."""
    with application(migrated, tmp_path, PILOTHOUSE_ALLOW_PRIVATE_TARGETS="on").app_context():
        yield
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def file_app(migrated, tmp_path):
    """Keep the master keys in a file, where they can be rotated."""
    add_master_key(tmp_path / MASTER_FILE)
    with application(migrated, tmp_path, PILOTHOUSE_MASTER_KEYS="").app_context():
        yield
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def key(api):
    return api.post("/api/keys", json=NEW).json


def stored(key_id):
    db.session.rollback()
    return db.session.get(ProviderKey, key_id, populate_existing=True)


def test_a_new_key_answers_everything_but_its_secret(api):
    answer = api.post("/api/keys", json=NEW)
    assert answer.status_code == 201
    assert set(answer.json) >= SHOWN
    assert (answer.json["status"], answer.json["last4"]) == ("active", "cdef")
    assert SECRET not in answer.text


def test_no_list_page_or_file_holds_the_secret(app, api, key, as_role):
    answers = (api.get("/api/keys"), api.get(f"/api/keys/{key['id']}"), as_role("owner").get("/keys/"))
    assert not [answer for answer in answers if SECRET in answer.text]
    files = [path for path in runtime().settings.data_dir.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({**NEW, "secret": "short"}, "secret"),
        ({**NEW, "service": "other"}, "service"),
        ({**NEW, "name": ""}, "name"),
        ({**NEW, "service": "custom"}, "base_url"),
        ({**NEW, "expires_at": 1}, "expires_at"),
        ({**NEW, "more": 1}, "more"),
    ],
)
def test_wrong_fields_are_named(api, body, path):
    answer = api.post("/api/keys", json=body)
    assert answer.status_code == 422
    assert path in answer.text


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://2130706433/", "http://[::ffff:10.0.0.1]/", "ftp://x", "http://a@b.c/"]
)
def test_a_destination_must_be_a_public_address(api, url):
    answer = api.post("/api/keys", json={**NEW, "service": "custom", "base_url": url})
    assert (answer.status_code, answer.json["type"].rsplit("/", 1)[-1]) == (422, "url_not_allowed")
    assert answer.json["errors"][0]["path"] == "base_url"


def test_a_new_destination_asks_for_the_secret_again(api, key):
    change = {"base_url": "https://example.com/v1"}
    answer = api.patch(f"/api/keys/{key['id']}", json=change)
    assert (answer.status_code, answer.json["type"].rsplit("/", 1)[-1]) == (422, "secret_required")
    assert api.patch(f"/api/keys/{key['id']}", json={**change, "secret": "sk-some-other-secret"}).status_code == 422


def test_a_custom_key_always_has_a_destination(api):
    made = api.post("/api/keys", json={**NEW, "service": "custom", "base_url": "https://models.example.com"}).json
    answer = api.patch(f"/api/keys/{made['id']}", json={"base_url": None, "secret": SECRET})
    assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, "base_url")


def test_names_and_expiry_change_without_the_secret(api, key):
    changed = api.patch(f"/api/keys/{key['id']}", json={"name": "second", "expires_at": now() + DAY}).json
    assert (changed["name"], changed["status"]) == ("second", "active")
    assert changed["expires_at"] is not None


def test_a_rotation_keeps_the_id_and_opens_the_new_secret(api, key):
    rotated = api.post(f"/api/keys/{key['id']}/rotate", json={"secret": "sk-second-0123456789", "grace_seconds": 3600}).json
    assert (rotated["id"], rotated["last4"]) == (key["id"], "6789")
    assert service.open_newest("openai", None).secret == "sk-second-0123456789"
    assert abs(stored(key["id"]).previous_until - (now() + HOUR)) < 10_000


def test_the_old_secret_is_offered_after_the_new_one_until_its_time_is_over(api, key):
    api.post(f"/api/keys/{key['id']}/rotate", json={"secret": "sk-second-0123456789", "grace_seconds": 3600})
    second = service.open_newest("openai", None)
    first = service.open_newest("openai", None, frozenset({second.name}))
    assert (first.secret, first.key_id) == (SECRET, key["id"])
    assert service.open_newest("openai", None, frozenset({second.name, first.name})) is None
    with unit_of_work() as session:
        session.get(ProviderKey, key["id"]).previous_until = now() - 1
    assert service.open_newest("openai", None, frozenset({second.name})) is None


def test_an_old_secret_follows_to_no_new_destination(api, key):
    api.post(f"/api/keys/{key['id']}/rotate", json={"secret": "sk-second-0123456789", "grace_seconds": 3600})
    change = {"base_url": "https://example.com/v1", "secret": "sk-second-0123456789"}
    assert api.patch(f"/api/keys/{key['id']}", json=change).status_code == 200
    assert service.open_newest("openai", None, frozenset({key["id"]})) is None


def test_the_newest_usable_key_is_opened_or_the_one_named(api, key):
    api.post("/api/keys", json={**NEW, "name": "newer", "secret": "sk-newer-0123456789"})
    assert service.open_newest("openai", None).secret == "sk-newer-0123456789"
    assert service.open_newest("openai", "main").secret == service.open_newest("openai", key["id"]).secret == SECRET
    assert service.open_newest("anthropic", None) is None


def test_a_revoked_key_is_shredded_and_opens_no_more(api, key):
    assert api.patch(f"/api/keys/{key['id']}", json={"status": "revoked"}).json["status"] == "revoked"
    assert stored(key["id"]).sealed == ""
    assert service.open_newest("openai", None) is None
    assert api.post(f"/api/keys/{key['id']}/rotate", json={"secret": "sk-second-0123456789"}).status_code == 409


def test_a_deleted_key_is_gone(api, key):
    assert api.delete(f"/api/keys/{key['id']}").status_code == 204
    assert api.get(f"/api/keys/{key['id']}").status_code == 404


@pytest.mark.parametrize(
    "spoil",
    [
        lambda mine, other: other,
        lambda mine, other: mine[:-1],
        lambda mine, other: mine[: len(mine) // 2],
        lambda mine, other: mine[:-2] + ("A" if mine[-2] != "A" else "B") + mine[-1],
        lambda mine, other: ".".join((*mine.split(".")[:3], other.split(".")[3])),
        lambda mine, other: ".".join((*other.split(".")[:3], mine.split(".")[3])),
        lambda mine, other: "",
    ],
    ids=["swapped", "cut", "halved", "flipped", "body of another", "data key of another", "emptied"],
)
def test_swapped_cut_and_flipped_ciphertexts_are_refused(api, key, spoil):
    other = api.post("/api/keys", json={**NEW, "name": "other"}).json
    with unit_of_work() as session:
        mine = session.get(ProviderKey, key["id"])
        mine.sealed = spoil(mine.sealed, session.get(ProviderKey, other["id"]).sealed)
    with pytest.raises(VaultIntegrity):
        service.open_newest("openai", key["id"])
    answer = api.post(f"/api/keys/{key['id']}/validate")
    assert answer.json["type"].endswith("/vault_integrity")
    assert service.open_newest("openai", other["id"]).secret == SECRET


def test_a_key_that_expires_soon_is_told_of_once_a_notice(api, key):
    api.patch(f"/api/keys/{key['id']}", json={"expires_at": now() + 6 * DAY})
    with unit_of_work():
        assert service.tell_expiring() == 1
    with unit_of_work():
        assert service.tell_expiring() == 0


def test_uses_are_counted(api, key):
    usage = {"type": "token_usage", "model": "m", "prompt_tokens": 1, "completion_tokens": 1}
    calls = [{**usage, "id": name, "key_id": of} for name, of in (("u1", key["id"]), ("u2", key["id"]), ("u3", "elsewhere"))]
    api.send(*calls)
    api.send(*calls)
    shown = api.get(f"/api/keys/{key['id']}").json
    assert (shown["usage_count"], shown["last_used_at"] is None) == (2, False)


def test_usage_comes_from_what_the_key_was_named_with(api, key):
    usage = {"type": "token_usage", "id": "u1", "model": "m", "prompt_tokens": 100, "completion_tokens": 20, "cost_usd": 0.5}
    api.send({**usage, "key_id": key["id"]}, {**usage, "id": "u2"})
    used = api.get(f"/api/keys/{key['id']}/usage?range=24h").json
    assert (used["calls"], used["total_tokens"], used["cost_usd"]) == (1, 120, "0.500000000")


def test_the_list_goes_on_by_cursor(api):
    ids = [api.post("/api/keys", json={**NEW, "name": str(number)}).json["id"] for number in range(5)]
    first = api.get("/api/keys?limit=3").json
    rest = api.get(f"/api/keys?limit=3&cursor={first['next_cursor']}").json
    assert [key["id"] for key in first["data"] + rest["data"]] == ids[::-1]


def test_the_page_goes_on_to_the_older_keys(api, as_role):
    for number in range(51):
        api.post("/api/keys", json={**NEW, "name": f"key-{number}."})
    member = as_role("member")
    first = member.get("/keys/").text
    assert "key-0." not in first
    assert "of 51" in first
    older = member.get(unescape(re.search(r'rel="next" href="([^"]+)"', first)[1])).text
    assert "key-0." in older
    assert "key-50." not in older


@pytest.mark.parametrize("cursor", ["x", "%00"])
def test_a_cursor_that_is_none_of_the_list_is_refused(as_role, cursor):
    assert as_role("member").get(f"/keys/?cursor={cursor}").status_code == 422


class Provider(BaseHTTPRequestHandler):
    """A stand-in for a model provider: it takes one key and refuses every other."""

    def do_GET(self):
        good = self.headers.get("Authorization") == f"Bearer {SECRET}"
        self.send_response(200 if good else 401 if self.path == "/v1/models" else 500)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture
def provider():
    server = HTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(("secret", "valid"), [(SECRET, True), ("sk-a-wrong-secret-123", False)])
def test_a_check_tells_whether_the_provider_takes_the_key(open_app, provider, secret, valid):
    with unit_of_work():
        key = service.add("main", "custom", secret, OWNER, base_url=provider)
    assert service.check(key.id)[0] is valid


def test_a_provider_that_does_not_answer_tells_nothing(open_app, provider):
    with unit_of_work():
        key = service.add("main", "custom", SECRET, OWNER, base_url="http://127.0.0.1:9")
    assert service.check(key.id)[0] is None


def test_a_private_address_is_not_called_unless_allowed(api, key, provider):
    with unit_of_work() as session:
        session.get(ProviderKey, key["id"]).base_url = provider
    answer = api.post(f"/api/keys/{key['id']}/validate").json
    assert (answer["valid"], "no public address" in answer["detail"]) == (None, True)


def test_every_secret_is_wrapped_anew_after_a_master_key_was_added(file_app):
    with unit_of_work():
        key = service.add("main", "openai", SECRET, OWNER)
    before = stored(key.id).sealed
    add_master_key(runtime().settings.data_dir / MASTER_FILE)
    runtime().keyring.reload()
    assert (service.rewrap_all(), service.rewrap_all()) == (1, 0)
    assert stored(key.id).sealed != before
    assert service.open_newest("openai", None).secret == SECRET


def test_members_see_names_and_manage_nothing(as_role, api, key):
    member, viewer = as_role("member"), as_role("viewer")
    assert member.get("/api/keys").json["data"][0]["name"] == "main"
    assert member.post("/api/keys", json=NEW).status_code == 403
    assert viewer.get("/api/keys").status_code == viewer.get("/keys/").status_code == 403


def test_a_key_that_nobody_used_for_a_month_is_marked(as_role, api, key):
    assert "Unused for 30 days" not in as_role("member").get("/keys/").text
    with unit_of_work() as session:
        session.get(ProviderKey, key["id"]).created_at = now() - 31 * DAY
    assert "Unused for 30 days" in as_role("member").get("/keys/").text
    api.send({"type": "token_usage", "id": "u", "model": "m", "prompt_tokens": 1, "completion_tokens": 1, "key_id": key["id"]})
    assert "Unused for 30 days" not in as_role("member").get("/keys/").text


def test_without_the_master_key_only_the_vault_is_closed(file_app):
    with unit_of_work():
        key = service.add("main", "openai", SECRET, OWNER)
    path = runtime().settings.data_dir / MASTER_FILE
    kept = path.read_text()
    path.unlink()
    runtime().keyring.reload()
    with pytest.raises(VaultSealed):
        service.open_newest("openai", None)
    with pytest.raises(VaultSealed), unit_of_work():
        service.add("second", "openai", SECRET, OWNER)
    add_master_key(path)  # a wrong one is as good as none
    with pytest.raises(VaultSealed):
        service.open_newest("openai", key.id)
    path.write_text(kept)
    assert service.open_newest("openai", None).secret == SECRET


def test_the_page_says_that_the_vault_is_sealed(migrated, tmp_path):
    app = application(migrated, tmp_path, PILOTHOUSE_MASTER_KEYS="")
    with app.app_context():
        api = Api(app.test_client(), token_of(app))
        assert api.send({"type": "event", "id": "e", "name": "n"})["accepted"] == 1
        refused = api.post("/api/keys", json=NEW)
        assert (refused.status_code, refused.json["type"].rsplit("/", 1)[-1], SECRET in refused.text) == (
            503,
            "vault_sealed",
            False,
        )
        browser = app.test_client()
        browser.set_cookie("pilothouse_session", open_browser_session("owner"))
        assert "The vault is sealed" in browser.get("/keys/").text
        for page in ("/executions/", "/errors/", "/tokens/", "/team/", "/notifications/", "/settings/system"):
            assert browser.get(page).status_code == 200
    let_go(app)


def test_the_page_adds_checks_and_revokes(as_role):
    admin = as_role("admin")
    added = admin.post("/keys/add", data={"name": "p", "service": "openai", "secret": SECRET})
    assert added.status_code == 303
    assert "…cdef" in admin.get("/keys/").text
    refused = admin.post("/keys/add", data={"name": "p", "service": "openai", "secret": "x"})
    assert (refused.status_code, "It was not kept" in refused.text) == (422, True)
    key = queries.page(1)[0]
    assert admin.post(f"/keys/{key.id}/revoke").status_code == 303
    assert stored(key.id).status(now()) == "revoked"


@pytest.mark.parametrize("number", ["²", "9" * 30, "9" * 5_000, "-1", "1.5"])
def test_numbers_in_the_forms_that_are_none_are_refused(as_role, key, number):
    owner = as_role("owner")
    form = {"name": "p", "service": "openai", "secret": SECRET, "expires": number, "grace": number, "scope": "read"}
    for path in ("/keys/add", f"/keys/{key['id']}/rotate", "/keys/tokens"):
        assert owner.post(path, data=form).status_code == 422
