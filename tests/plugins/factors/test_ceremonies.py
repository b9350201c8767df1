"""Answers of browsers that are none: refused, whatever is wrong with them."""

from __future__ import annotations

import json

import pytest

from pilothouse.errors import Forbidden
from pilothouse_factors import ceremonies
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
