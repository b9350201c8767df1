"""Some mutated bodies at every door, as `make fuzz` sends a million of them; each round is repeatable by its seed."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from tests.fuzz.bodies import DOORS, starting_bodies
from tests.fuzz.mutating import mutated
from tests.fuzz.sending import Found, round_of, target
from tests.fuzz.serving import served, served_round


def sent(migrated: Path, rounds: range, count: int) -> Found:
    found = Found()
    with target(migrated) as made:
        for seed in rounds:
            round_of(made, count, seed, found)
    return found


def test_mutated_bodies_are_answered_without_a_fault_of_ours(migrated: Path) -> None:
    found = sent(migrated, range(1), 200)
    assert found.faults == []
    assert {door for door, _ in found.answers} == set(DOORS)
    assert {status for _, status in found.answers} >= {200, 400}


@pytest.mark.slow
def test_very_many_mutated_bodies_are_answered_without_a_fault_of_ours(migrated: Path) -> None:
    assert sent(migrated, range(10, 20), 5_000).faults == []


@pytest.mark.slow
def test_the_processes_outlive_mutated_bodies_over_http(tmp_path: Path) -> None:
    found = Found()
    with served(tmp_path) as made:
        served_round(made, 4_000, 20, found)
    assert found.faults == []
    assert {door for door, _ in found.answers} == set(DOORS)


@pytest.mark.parametrize("door", DOORS)
def test_a_seed_makes_the_same_bodies_each_time(door: str) -> None:
    others = starting_bodies(door)
    first, second = ([mutated(dice, others[n % len(others)], others) for n in range(50)] for dice in (Random(3), Random(3)))
    assert first == second
    assert any(body not in others for body in first)
