"""A small plugin with its own tables and pages, in which the tests try what the console offers to everybody."""

from __future__ import annotations

from typing import Any

from flask import Response, render_template_string, request
from sqlalchemy import Double, Float, Interval, Text, Uuid, func, select
from sqlalchemy.orm import Mapped, mapped_column

from pilothouse.access import Permission, roles_from
from pilothouse.contract.hookspecs import hookimpl
from pilothouse.contract.manifest import Manifest
from pilothouse.contract.pages import AdminView, NavItem, PaletteSource, Panel
from pilothouse.db import Id, Millis, Model, Name, db, unit_of_work
from pilothouse.runtime import runtime
from pilothouse.web.charts import Chart, Series
from pilothouse.web.console import ConsoleModelView, ConsoleView, expose, needs
from pilothouse.web.keyset import Order, page_of, read_cursor
from pilothouse.web.live import Undo, done
from pilothouse.web.marks import Bucket, Lane

VIEW, WRITE, PRICES = "trial.runs.view", "trial.runs.write", "trial.prices.manage"
STATUSES = ("running", "queued", "failed", "timed_out", "cancelled", "lost", "succeeded")


class Run(Model):
    __tablename__ = "trial_runs"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    status: Mapped[str] = mapped_column(Name)
    started_at: Mapped[int] = mapped_column(Millis)
    duration_ms: Mapped[int | None] = mapped_column(Millis)
    tokens: Mapped[int] = mapped_column(Millis, default=0)
    cost: Mapped[int | None] = mapped_column(Millis)
    rev: Mapped[int] = mapped_column(default=1)


class PriceRow(Model):
    __tablename__ = "trial_prices"

    id: Mapped[int] = mapped_column(primary_key=True)
    provider: Mapped[str] = mapped_column(Name)
    model: Mapped[str] = mapped_column(Name, unique=True)
    secret: Mapped[str] = mapped_column(Name, default="hidden-secret")
    owner: Mapped[str] = mapped_column(Name, default="ours")
    usd: Mapped[float | None] = mapped_column(Float)
    exact: Mapped[float | None] = mapped_column(Double)
    key: Mapped[Any] = mapped_column(Uuid, nullable=True)
    every: Mapped[Any] = mapped_column(Interval, nullable=True)
    note: Mapped[str | None] = mapped_column(Text)
    active: Mapped[bool] = mapped_column(default=True)

    def __str__(self) -> str:
        return self.model


class RunsView(ConsoleView):
    title = "Runs"
    path = "/runs"

    @expose("/")
    def index(self) -> Any:
        return self.live("trial/runs.html", "trial/_rows.html", ("trial",), self._query, meta=self._meta)

    def _query(self) -> dict[str, Any]:
        order = Order((Run.started_at, Run.id))
        status, text = request.args.getlist("status"), request.args.get("cursor")
        cursor = read_cursor(text, order) if text else None
        statement = select(Run)
        if status:
            statement = statement.where(Run.status.in_(status))
        if cursor:
            statement = statement.where(order.beyond(cursor.values, backwards=cursor.backwards))
        found = db.session.scalars(statement.order_by(*order.by(backwards=bool(cursor and cursor.backwards))).limit(51))
        counts = dict(db.session.execute(select(Run.status, func.count()).group_by(Run.status)).all())
        buckets = [Bucket(f"{n}:00", f"/runs/?n={n}", {"other": 5 + n * 7 % 30, "failed": n % 3}) for n in range(96)]
        return {"page": page_of(list(found), 50, order, cursor), "counts": counts, "total": sum(counts.values()),
                "statuses": STATUSES, "chosen": status, "buckets": buckets}

    def _meta(self, shown: dict[str, Any]) -> dict[str, Any]:
        return {"counts": {"all": shown["total"], **shown["counts"]}}

    @expose("/<run_id>")
    def detail(self, run_id: str) -> str:
        run = db.session.get(Run, run_id)
        lanes = [("plan", "agent", 0, 0, 100, "succeeded"), ("ask the model", "llm", 1, 2, 40, "succeeded"),
                 ("vector search", "retrieval", 1, 42, 20, "succeeded"), ("write file", "tool", 1, 62, 37, "failed")]
        steps = [{"id": str(n), "rev": 1, "name": name, "kind": kind, "depth": depth, "status": status, "more": [],
                  "lane": Lane(start, width, "c-bad" if status == "failed" else f"c{n + 1}"), "duration_ms": width * 31,
                  "started_at": run.started_at, "offset": "1.2 s", "open": status == "failed", "input": {"q": "refund?"},
                  "output": None} for n, (name, kind, depth, start, width, status) in enumerate(lanes)]
        frames = [{"file": "flows/sql/run.py", "line": 83, "function": "dispatch", "in_app": True, "open": True,
                   "source": [(82, "    if reply.status >= 400:", False), (83, "        raise ConnectionError(reply)", True)],
                   "vars": [("timeout", "30")]},
                  {"file": "celery/app/trace.py", "line": 477, "function": "trace_task", "in_app": False, "open": False,
                   "source": [], "vars": []}]
        return self.render("trial/detail.html", run=run, steps=steps, frames=frames)

    @expose("/charts")
    def charts(self) -> str:
        at = [1_700_000_000_000 + n * 6 * 3_600_000 for n in range(28)]
        now = [900 + (n % 4) * 350 - (n // 20) * 300 for n in range(28)]
        before = [value * 0.8 for value in now]
        spent = [Series("Spend", [v * 30_000_000 for v in now], "bar", "c3"),
                 Series("Previous period", [v * 30_000_000 for v in before], "dash")]
        counted = [Series("Executions", now, "area"), Series("Previous period", before, "dash")]
        lasting = [Series("p50", [v * 20 for v in now], tone="c2"), Series("p95", [v * 60 for v in now])]
        one = Chart("Executions", counted, at, open_end=True, zoom="/runs/charts")
        two = Chart("Spend", spent, at, "money", open_end=True)
        three = Chart("Duration", lasting, at, "duration")
        four = Chart("Failure rate", [Series("Failure rate", [v / 50_000 for v in now], "area", "c-bad")], at, "percent")
        return self.render("trial/charts.html", charts=[one, two, three, four])

    @expose("/boom")
    def boom(self) -> str:
        raise TypeError("the page's own fault: SELECT secret FROM trial")

    @expose("/undefined")
    def undefined(self) -> str:
        return render_template_string("{{ nothing.at.all }}")

    @expose("/cancel", methods=("POST",))
    @needs(WRITE)
    def cancel(self) -> Response:
        ids = request.form.getlist("id")
        with unit_of_work() as session:
            for run in session.scalars(select(Run).where(Run.id.in_(ids))):
                run.status, run.rev = "cancelled", run.rev + 1
        runtime().changes.bump("trial")
        return done(f"Cancelled {len(ids)} runs", "/runs/", undo=Undo("/runs/cancel", {"id": "none"}))


class PricesView(ConsoleModelView):
    model = PriceRow
    title = "Model prices"
    path = "/prices"
    write_permission = PRICES
    can_create = can_edit = can_delete = can_export = can_view_details = True
    column_list = ("provider", "model", "usd", "active")
    column_searchable_list = ("model", "provider")
    column_filters = ("provider", "active")
    form_columns = ("provider", "model", "usd", "exact", "key", "every", "note", "active")

    def get_query(self) -> Any:
        return super().get_query().filter(PriceRow.owner == "ours")


def broken_panel(_subject: str) -> str:
    raise RuntimeError("no card today")


def count_runs() -> int | None:
    return db.session.scalar(select(func.count()).select_from(Run))


def find_runs(query: str) -> list[dict[str, str]]:
    rows = db.session.scalars(select(Run).where(Run.name.ilike(f"%{query}%")).limit(8))
    return [{"title": run.name, "detail": run.id, "url": f"/runs/{run.id}"} for run in rows]


@hookimpl
def pilothouse_manifest() -> Manifest:
    return Manifest("trial", "Trial", "Tries the console.")


@hookimpl
def pilothouse_models() -> list[type[Model]]:
    return [Run, PriceRow]


@hookimpl
def pilothouse_permissions() -> list[Permission]:
    return [Permission(VIEW, "See runs", roles_from("viewer")), Permission(WRITE, "Cancel runs", roles_from("member"), "write"),
            Permission(PRICES, "Manage prices", roles_from("admin"), "admin")]


@hookimpl
def pilothouse_admin_views() -> list[AdminView]:
    return [AdminView("trial_runs", RunsView, VIEW), AdminView("trial_prices", PricesView, VIEW)]


@hookimpl
def pilothouse_navigation() -> list[NavItem]:
    return [
        NavItem("Runs", "trial_runs.index", VIEW, "Monitor", 10, "activity", "e", badge=count_runs),
        NavItem("Charts", "trial_runs.charts", VIEW, "Insights", 10, "chart", "a"),
        NavItem("Model prices", "trial_prices.index_view", VIEW, "Insights", 20, "tag"),
        NavItem("Price desk", "trial_prices.create_view", PRICES, "Trial", 20, "plus"),
    ]


@hookimpl
def pilothouse_panels() -> list[Panel]:
    return [Panel("trial.broken_card", "trial.detail", VIEW, broken_panel),
            Panel("trial.fine", "trial.detail", VIEW, lambda subject: f"About {subject} <b>")]


@hookimpl
def pilothouse_palette() -> list[PaletteSource]:
    return [PaletteSource("trial.runs", "Runs", VIEW, find_runs)]
