"""The tokens plugin: who it is and what it adds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint

from pilothouse.sdk import (
    AdminView,
    BeatEntry,
    Enricher,
    Event,
    Execution,
    Manifest,
    Measure,
    Model,
    NavItem,
    NotificationCategory,
    Panel,
    Permission,
    Price,
    Reaction,
    Recorder,
    Reservation,
    Setting,
    Spend,
    Step,
    Task,
    TokenUsage,
    hookimpl,
    roles_from,
)
from pilothouse_executions.events import Failed
from pilothouse_tokens import (
    api,
    budgets,
    counting,
    leaves,
    notices,
    panels,
    pricing,
    reactions,
    recorder,
    repricing,
    tasks,
    views,
)
from pilothouse_tokens.events import BudgetCrossed, PriceChanged, Repriced, Unpriced
from pilothouse_tokens.models import MODELS
from pilothouse_tokens.permissions import BUDGETS, PRICES, VIEW


@hookimpl
def pilothouse_manifest() -> Manifest:
    """Say who the plugin is."""
    return Manifest("tokens", "Tokens", "What AI calls used and cost, by which price, and for whom.", requires=("executions",))


@hookimpl
def pilothouse_settings() -> Iterable[Setting]:
    """Return the settings."""
    words = "A price list in the format of genai-prices, newer than the one that it ships"
    return [Setting(pricing.PRICES_FILE, pricing.check_file, "", words)]


@hookimpl
def pilothouse_models() -> Iterable[type[Model]]:
    """Return the tables."""
    return MODELS


@hookimpl
def pilothouse_migrations() -> Path:
    """Return the folder of revisions."""
    return Path(__file__).parent / "migrations"


@hookimpl
def pilothouse_recorders() -> Iterable[Recorder]:
    """Return what records usage, and what lets it follow its execution's workflow and agent and find its sums."""
    return [
        Recorder(TokenUsage, recorder.record_usage, owner=True),
        Recorder(Execution, recorder.relink_usage),
        Recorder(Step, leaves.follow_steps),
    ]


@hookimpl
def pilothouse_enrichers() -> Iterable[Enricher]:
    """Return what prices usage before it is recorded."""
    return [Enricher(TokenUsage, pricing.fill_in)]


@hookimpl
def pilothouse_price(usage: TokenUsage) -> Price | None:
    """Say what a usage costs."""
    return pricing.estimate(usage)


@hookimpl
def pilothouse_reserve(spend: Spend) -> Reservation | None:
    """Set money aside for a call in the hard budgets that it belongs to."""
    return budgets.reserve(spend)


@hookimpl
def pilothouse_measures() -> Iterable[Measure]:
    """Return the measures."""
    return counting.measures()


@hookimpl
def pilothouse_permissions() -> Iterable[Permission]:
    """Return the permissions."""
    return [
        Permission(VIEW, "See token usage and spend", roles_from("viewer"), "read"),
        Permission(PRICES, "Set prices of models", roles_from("admin"), "admin"),
        Permission(BUDGETS, "Set budgets", roles_from("admin"), "admin"),
    ]


@hookimpl
def pilothouse_admin_views() -> Iterable[AdminView]:
    """Return the page."""
    return [AdminView("tokens", views.TokensView, VIEW)]


@hookimpl
def pilothouse_navigation() -> Iterable[NavItem]:
    """Return the entry of the sidebar."""
    return [NavItem("Tokens", "tokens.index", VIEW, "Insights", 20, "coins", "t")]


@hookimpl
def pilothouse_panels() -> Iterable[Panel]:
    """Return the card on an execution's page, the figures of its steps, and what failures of an error group had spent."""
    return [
        Panel("tokens.of_execution", "executions.detail", VIEW, panels.of_execution),
        Panel("tokens.of_steps", "executions.steps", VIEW, panels.of_steps),
        Panel("tokens.wasted", "errors.wasted", VIEW, panels.wasted),
    ]


@hookimpl
def pilothouse_api_blueprints() -> Iterable[Blueprint]:
    """Return the endpoints."""
    return [api.blueprint()]


@hookimpl
def pilothouse_tasks() -> Iterable[Task]:
    """Return the tasks."""
    return [
        Task("tokens.expire", tasks.expire, transaction=False),
        Task(repricing.TASK, tasks.reprice, transaction=False),
        Task("tokens.refresh_prices", tasks.refresh_prices),
        Task("tokens.check_budgets", tasks.check_budgets),
        Task("tokens.recommend", tasks.recommend, transaction=False),
    ]


@hookimpl
def pilothouse_beat_schedule() -> Iterable[BeatEntry]:
    """Return the schedule."""
    return [
        BeatEntry("tokens.check_budgets", "tokens.check_budgets", every_s=10),
        BeatEntry("tokens.recommend", "tokens.recommend", every_s=60),
        BeatEntry("tokens.expire", "tokens.expire", every_s=600),
        BeatEntry("tokens.refresh_prices", "tokens.refresh_prices", every_s=600),
    ]


@hookimpl
def pilothouse_events() -> Iterable[type[Event]]:
    """Return what is published."""
    return [Unpriced, BudgetCrossed, PriceChanged, Repriced]


@hookimpl
def pilothouse_reactions() -> Iterable[Reaction]:
    """Return the reactions to executions."""
    return [Reaction("tokens.note_failure", Failed, reactions.note_failure, when="now")]


@hookimpl
def pilothouse_notification_categories() -> Iterable[NotificationCategory]:
    """Return what people may be told."""
    return [
        NotificationCategory("tokens.unpriced", "Models without a price", "billing", Unpriced, notices.unpriced),
        NotificationCategory("tokens.budget", "Budgets", "billing", BudgetCrossed, notices.budget_crossed),
    ]
