"""Sums equal a recount of the rows: shuffled, repeated, and with the real traces of a large service."""

from __future__ import annotations

import csv
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pilothouse.clock import DAY, now, to_millis
from pilothouse.contract.recording import Source
from pilothouse.measure_rollups import compact
from pilothouse.runtime import runtime
from pilothouse.signals import TokenUsage

TRACES = Path("/work/shared/data/azure-llm-2023")
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "our-own", "gemini-2.5-pro")


def signals(count, dice):
    start = now() - 20 * DAY
    for number in range(count):
        prompt = dice.randint(0, 20_000)
        yield TokenUsage(
            id=f"u{number}", model=dice.choice(MODELS), prompt_tokens=prompt, completion_tokens=dice.randint(0, 900),
            cached_tokens=dice.choice((None, prompt // 3)), at=start + dice.randint(0, 19 * DAY),
            agent=dice.choice((None, "scout", "writer")), user=dice.choice((None, *(f"user{n}" for n in range(40)))),
            execution_id=dice.choice((None, f"e{number // 7}")), response_id=dice.choice((None, f"r{number}")),
        )  # fmt: skip


def submit(sent, size=1000):
    for first in range(0, len(sent), size):
        outcome = runtime().ingest.submit(enumerate(sent[first : first + size]), Source())
        assert not outcome.rejected


def recount(rows, more=""):
    [found] = rows(
        "SELECT COUNT(*) AS calls, SUM(prompt_tokens) AS prompt_tokens, SUM(completion_tokens) AS completion_tokens, "
        "SUM(cached_tokens) AS cached_tokens, COALESCE(SUM(cost_nano), 0) AS cost, SUM(cost_nano IS NULL) AS unpriced_records "
        f"FROM token_usage {more}"
    )
    return found


def check(api, rows, found, more=""):
    wanted = recount(rows, more)
    cost = wanted.pop("cost")
    assert {name: found[name] for name in wanted} == wanted
    priced = wanted["calls"] > wanted["unpriced_records"]
    assert found["cost_usd"] == (f"{cost // 10**9}.{cost % 10**9:09d}" if priced else None)


def shuffled(count):
    dice = random.Random(7)
    sent = list(signals(count, dice))
    sent += dice.sample(sent, count // 4)  # one in five of all that is sent came before
    dice.shuffle(sent)
    return sent


@pytest.mark.parametrize("count", [4_000, pytest.param(80_000, marks=pytest.mark.slow)])
def test_shuffled_and_repeated_signals_equal_a_recount(api, rows, lines, totals, count):
    sent = shuffled(count)
    submit(sent[: len(sent) // 2])
    compact()
    submit(sent[len(sent) // 2 :])
    assert recount(rows)["calls"] == count
    check(api, rows, totals(api))
    for by, column in (("model", "model"), ("agent", "agent"), ("user", "user")):
        for key, line in lines(api, by).items():
            check(api, rows, line, f'WHERE "{column}" = \'{key}\'' if key else f'WHERE "{column}" IS NULL')
    [kept] = rows("SELECT SUM(calls) AS calls, SUM(cost_nano) AS cost FROM execution_usage")
    with_execution = recount(rows, "WHERE execution_id IS NOT NULL")
    assert kept == {"calls": with_execution["calls"], "cost": with_execution["cost"]}


def trace(name):
    file = TRACES / name
    if not file.exists():
        pytest.skip(f"the public traces are not at {file}")
    with file.open() as lines:
        for number, line in enumerate(csv.DictReader(lines)):
            moment = datetime.fromisoformat(line["TIMESTAMP"][:26]).replace(tzinfo=UTC)
            yield TokenUsage(
                id=f"{name}-{number}", model="gpt-4o", prompt_tokens=int(line["ContextTokens"]),
                completion_tokens=int(line["GeneratedTokens"]), at=to_millis(moment),
            )  # fmt: skip


@pytest.mark.parametrize(("name", "prompt", "completion", "calls"), [
    ("AzureLLMInferenceTrace_code.csv", 18_059_974, 245_896, 8_819),
    ("AzureLLMInferenceTrace_conv.csv", 22_361_870, 4_088_665, 19_366),
])  # fmt: skip
def test_a_replayed_trace_gives_its_tokens(api, name, prompt, completion, calls):
    sent = list(trace(name))
    submit(sent)
    compact()
    day = sent[0].at // DAY * DAY
    found = api.get(f"/api/tokens/usage?since={day}&until={day + DAY}").json["totals"]
    assert (found["prompt_tokens"], found["completion_tokens"], found["calls"]) == (prompt, completion, calls)
    assert found["cost_usd"] == f"{(prompt * 25 + completion * 100) / 10**7:.9f}"
