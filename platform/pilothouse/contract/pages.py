"""What is seen in the console: pages, the sidebar, cards on others' pages, the palette, snippets, ways to sign in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class AdminView:
    """A page: its endpoint name (starts with the plugin's), a factory of the Flask-Admin view, the permission to see it.

    A factory, never an instance: a Flask-Admin view keeps the Admin that it was added to.
    """

    name: str
    factory: Callable[[], Any]
    permission: str


@dataclass(frozen=True, slots=True)
class NavItem:
    """An entry of the sidebar. `section` is Monitor, Insights, Workspace, Account (the reader's own menu) or a name of
    the plugin's own; `icon` is the name of one of the console's, `keys` the letter that follows `g`; `badge` returns a count
    or None and must be cheap (it runs once a page, cached for 2 s; with `personal`, where each reader has a count of their
    own, it is not cached).
    """

    title: str
    endpoint: str
    permission: str
    section: str = "Workspace"
    order: int = 100
    icon: str = "plug"
    keys: str = ""
    badge: Callable[[], int | None] | None = None
    personal: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A card on somebody else's page. `slot` is the page's name for the place ("executions.detail"); `render` gets the
    subject's id and returns markup, or None where it has nothing to show.
    """

    name: str
    slot: str
    permission: str
    render: Callable[[str], Any]
    order: int = 100


@dataclass(frozen=True, slots=True)
class StepFigures:
    """What a step of an execution used: tokens, cost in nano-dollars (None while nothing is priced) and the model.

    Panels of the slot "executions.steps" return a mapping of step ids to these in place of markup; the page shows them on the
    step, summed up on the steps above.
    """

    tokens: int = 0
    cost_nano: int | None = None
    model: str = ""
    unpriced: int = 0

    @classmethod
    def together(cls, figures: Sequence[StepFigures]) -> StepFigures:
        """Return the sum; the model is named where there is only one."""
        priced = [one.cost_nano for one in figures if one.cost_nano is not None]
        models = {one.model for one in figures}
        return cls(
            sum(one.tokens for one in figures), sum(priced) if priced else None,
            models.pop() if len(models) == 1 else "", sum(one.unpriced for one in figures),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class FirstStep:
    """A step of "Get started" after the first execution: what one does and why, and a page or lines of code to do it with.

    Panels of the slot "welcome" return one in place of markup; `done` ticks it off.
    """

    title: str
    text: str
    done: bool
    url: str = ""
    label: str = ""
    snippet: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class PaletteSource:
    """What the command palette finds: `search` gets what was typed (2 characters or more) and returns at most 8 hits of
    `{"title", "detail", "url"}`; it must use an index.
    """

    name: str
    title: str
    permission: str
    search: Callable[[str], Sequence[Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Snippet:
    """How to connect a client to this server, as text to copy: `write` gets the server's address and a token.

    `hint` says what to install, `language` how the text is coloured and copied ("python", "shell").
    """

    name: str
    title: str
    write: Callable[[str, str], str]
    language: str = "shell"
    hint: str = ""
    order: int = 100


@dataclass(frozen=True, slots=True)
class LoginMethod:
    """Another way to sign in: a button on the login page that leads to the method's own endpoint.

    `offered` says whether the button is there, for a method that needs settings; always, where it is left out.
    """

    name: str
    title: str
    endpoint: str
    offered: Callable[[], bool] | None = None
