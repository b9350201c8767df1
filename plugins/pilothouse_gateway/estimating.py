"""What a call may cost, guessed before it is made, for hard budgets; its usage replaces the guess."""

from __future__ import annotations

import threading
import time

from pilothouse.sdk import Price, TokenUsage, new_id, runtime

SAMPLE = 1_000  # tokens of each kind that are priced to learn a model's rates
KEPT_S, KEPT = 60.0, 1_000  # a guess may be a minute old; models that are remembered
LEARNT_S = 600.0  # how long a guess is raised by what calls before used beyond theirs
NOTHING = (0, 0)


class Estimates:
    """Rates of models as they were within the last minute, so that a call asks for no price of its own."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self._rates: dict[tuple[str, str], tuple[float, int, int]] = {}
        self._beyond: dict[tuple[str, str], tuple[float, tuple[int, int]]] = {}
        self._lock = threading.Lock()

    def nano(self, service: str, model: str | None, guess: tuple[int, int]) -> int:
        """Return what prompt and completion tokens of a model may cost in nano-dollars; 0 where nothing prices it."""
        if model is None:
            return 0
        prompt_rate, completion_rate = self._of((service, model))
        prompt, completion = self._exceeded((service, model))
        return ((guess[0] + prompt) * prompt_rate + (guess[1] + completion) * completion_rate) // SAMPLE

    def learn(self, service: str, model: str | None, guess: tuple[int, int], used: tuple[int, int]) -> None:
        """Take in what a call used that was guessed at: tools, pictures and other tongues make more tokens of a prompt."""
        if model is None or (used[0] <= guess[0] and used[1] <= guess[1]):
            return
        known = self._exceeded((service, model))
        beyond = (max(known[0], used[0] - guess[0]), max(known[1], used[1] - guess[1]))
        if beyond == known:
            return
        with self._lock:
            if len(self._beyond) >= KEPT:
                self._beyond.clear()
            self._beyond[service, model] = (time.monotonic() + LEARNT_S, beyond)

    def _exceeded(self, key: tuple[str, str]) -> tuple[int, int]:
        until, beyond = self._beyond.get(key, (0.0, NOTHING))
        return beyond if until > time.monotonic() else NOTHING

    def _of(self, key: tuple[str, str]) -> tuple[int, int]:
        known = self._rates.get(key)
        if known is not None and known[0] > time.monotonic():
            return known[1:]
        rates = (_price(*key, SAMPLE, 0), _price(*key, 0, SAMPLE))
        with self._lock:
            if len(self._rates) >= KEPT:
                self._rates.clear()
            self._rates[key] = (time.monotonic() + KEPT_S, *rates)
        return rates


def _price(service: str, model: str, prompt: int, completion: int) -> int:
    usage = TokenUsage(id=new_id(), model=model, provider=service, prompt_tokens=prompt, completion_tokens=completion)
    found: Price | None = runtime().registry.first("price", usage=usage)
    return found.cost_nano if found else 0
