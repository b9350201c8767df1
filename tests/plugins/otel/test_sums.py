"""Random trees in random order, with and without sums above their calls: the total is the sum of the leaves."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.plugins.otel.conftest import llm, span, trace_id

KINDS = ("invoke_agent", "invoke_workflow", "execute_task", "chat", None)


def tree(dice, size):
    """Return the parent of each node: node 0 is the root, each other one hangs below an earlier one."""
    return [None, *(dice.randrange(node) for node in range(1, size))]


def spans_of(dice, trace, size):
    """Make a tree of spans; leaves are model calls, those above may tell the sum of the leaves below them.

    Returns the spans and the tokens of the leaves.
    """
    parents = tree(dice, size)
    leaves = set(range(size)) - set(parents)
    tokens = {node: (dice.randint(1, 1_000), dice.randint(0, 100)) for node in leaves}
    below = {node: list(tokens.get(node, (0, 0))) for node in range(size)}
    for node in range(size - 1, 0, -1):
        for place in (0, 1):
            below[parents[node]][place] += below[node][place]
    spans = []
    for node, parent in enumerate(parents):
        told = llm(tokens[node]) if node in leaves else sums(dice, below[node])
        above = None if parent is None else f"n{parent}"
        spans.append(span(f"n{node}", trace, parent=above, start=node, attributes=told))
    return spans, [sum(found[place] for found in tokens.values()) for place in (0, 1)]


def sums(dice, total):
    kind = dice.choice(KINDS)
    told = {} if kind is None else {"gen_ai.operation.name": kind}
    if dice.random() < 0.6:
        told |= {"gen_ai.usage.input_tokens": total[0], "gen_ai.usage.output_tokens": total[1]}
    if dice.random() < 0.3:
        told |= {"gen_ai.aggregated_usage.input_tokens": total[0]}
    return told


def requests_of(dice, spans):
    """Shuffle spans into requests of any size; some come twice."""
    sent = [*spans, *dice.sample(spans, len(spans) // 3)]
    dice.shuffle(sent)
    while sent:
        size = dice.randint(1, len(sent))
        yield sent[:size]
        sent = sent[size:]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), size=st.integers(1, 14))
def test_the_total_of_any_tree_in_any_order_is_the_sum_of_its_leaves(door, seed, size):
    dice, trace = random.Random(seed), trace_id()
    spans, expected = spans_of(dice, trace, size)
    for batch in requests_of(dice, spans):
        assert door.export(*batch).status_code == 200
    run = door.execution(trace)
    usage = run["token_usage"]
    assert [usage["prompt_tokens"], usage["completion_tokens"]] == expected
    assert run["total_tokens"] == sum(expected)
    assert len(run["steps"]) == size


def test_the_totals_of_all_runs_are_the_sum_of_all_leaves(door):
    dice, expected = random.Random(7), [0, 0]
    for _ in range(12):
        spans, tokens = spans_of(dice, trace_id(), dice.randint(2, 20))
        expected = [one + other for one, other in zip(expected, tokens, strict=True)]
        for batch in requests_of(dice, spans):
            door.export(*batch)
    totals = door.api.get("/api/tokens/usage?range=24h").json["totals"]
    assert [totals["prompt_tokens"], totals["completion_tokens"]] == expected


def test_a_chain_of_a_thousand_spans_is_climbed(door, trace):
    chain = [span(f"n{n}", trace, parent=f"n{n - 1}" if n else None, start=n) for n in range(1_000)]
    chain[0] = span("n0", trace, attributes=sums(random.Random(1), (9, 9)) | llm((9, 9)))
    chain[-1] = span("n999", trace, parent="n998", attributes=llm((5, 1)))
    for batch in (chain[:1], chain[-1:], chain[1:-1]):
        door.export(*batch)
    assert door.tokens(trace) == (1, 5, 1)
