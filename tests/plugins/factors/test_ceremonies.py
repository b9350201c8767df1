"""Answers of browsers that are none: refused, whatever is wrong with them."""

from __future__ import annotations

import json

import pytest

from pilothouse.db import unit_of_work
from pilothouse.errors import Forbidden
from pilothouse.identity.users import add_user
from pilothouse_factors import ceremonies, service
from pilothouse_factors.models import Passkey

KEY = Passkey(id="k", user_id="u", name="n", credential_id="oA", public_key="oA", sign_count=0, created_at=0)
WRONG = ["", "!!!!", "a", "é", "oA", "gg", 5, None, [], {}]
FIELDS = ("clientDataJSON", "authenticatorData", "signature", "userHandle", "attestationObject")


def answers():
    sound = {"id": "oA", "rawId": "oA", "type": "public-key", "response": dict.fromkeys(FIELDS, "oA")}
    for wrong in WRONG:
        yield {**sound, "response": wrong}
        yield {**sound, "rawId": wrong}
        for name in FIELDS:
            yield {**sound, "response": {**sound["response"], name: wrong}}


def test_what_is_no_answer_is_refused(app):
    for answer in answers():
        with pytest.raises(Forbidden):
            ceremonies.used(answer, KEY, b"challenge")
        with pytest.raises(Forbidden):
            ceremonies.made(json.dumps(answer), b"challenge")


def test_nul_in_an_answer_is_nobodys_passkey(either_app):
    browser = either_app.test_client()
    assert browser.get("/factors/passkey").status_code == 200
    told = browser.post("/factors/passkey", data={"answer": '{"id": "a\\u0000b", "response": {}}'})
    assert told.status_code == 403


def test_a_device_that_counts_high_can_be_kept(either_app):
    highest = 2**32 - 1  # WebAuthn Level 3, section 6.1: 32 bits, unsigned
    with unit_of_work() as session:
        user = add_user("ada@example.com", "member")
        session.add(
            Passkey(id="k", user_id=user.id, name="n", credential_id="oA", public_key="oA", sign_count=highest, created_at=0)
        )
    assert service.passkeys(user.id)[0].sign_count == highest
