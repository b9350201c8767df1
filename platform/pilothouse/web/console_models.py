"""`ConsoleModelView`: lists and forms over a table, closed by default.

What stock Flask-Admin gets wrong and this base closes: everything is allowed, hidden columns are found
through search, `get_one` ignores the scope of `get_query`, a huge page number is an error, counts read the whole table,
errors show SQL, exports carry formulas and read everything first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import structlog
from flask import Response, flash, redirect, request
from flask_admin.actions import action
from flask_admin.contrib.sqla import ModelView
from flask_admin.contrib.sqla.tools import get_query_for_ids
from flask_admin.model.base import ViewArgs
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from wtforms.validators import ValidationError

from pilothouse import audit, clock
from pilothouse.db import after_commit, db, unit_of_work
from pilothouse.errors import Forbidden, NotFound, PilothouseError, PluginError
from pilothouse.runtime import runtime
from pilothouse.web.confirm import ask, confirmed
from pilothouse.web.console_base import NO_STATIC, ConsoleMixin, expose
from pilothouse.web.converter import ConsoleConverter
from pilothouse.web.csv_stream import csv_response
from pilothouse.web.formats import MISSING
from pilothouse.web.keyset import Cursor, KeysetPage, Order, page_of, read_cursor

CHUNK = 1_000  # rows of an export that are in memory at once
LONGEST_SEARCH = 200
WRITES = frozenset({"create_view", "edit_view", "delete_view", "action_view", "ajax_update"})
OWN_ARGUMENTS = frozenset({"cursor", "page", "page_size", "sort", "desc", "search", "f", "v"})


def _yes_or_no(_view: Any, value: bool, _name: str) -> str:
    return "Yes" if value else "No"


def _missing(_view: Any, _value: None, _name: str) -> str:
    return MISSING


SHOWN: Any = MappingProxyType({bool: _yes_or_no, type(None): _missing})  # the stock ones show Font Awesome's icons


class ConsoleModelView(ConsoleMixin, ModelView):
    """A table as pages. Subclasses set `model`, `title`, `path`, `permission`, `column_list`, and what they allow.

    `write_permission` is needed as soon as something may be changed. `order_by` names the columns of the list's own order,
    newest first; the primary key is added. Scope rows by overriding `get_query` alone. `topics` are raised after a change.
    """

    model: Any = None
    write_permission = ""
    order_by: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()

    can_create = can_edit = can_delete = can_export = can_view_details = False
    column_list: Any = None
    column_display_actions = False
    form_columns: Any = ()
    named_filter_urls = True
    simple_list_pager = True
    page_size = 50
    export_max_rows = 1_000_000
    export_types = ("csv",)
    model_form_converter = ConsoleConverter
    column_type_formatters = SHOWN
    column_type_formatters_detail = SHOWN
    column_type_formatters_export: Any = MappingProxyType({})

    def __init__(self, endpoint: str | None = None) -> None:
        """Make the page. Raises PluginError where something is open that should not be."""
        self._check_declarations()
        for name in ("column_details_list", "column_export_list"):  # never more than what the list shows
            if getattr(self, name) is None:
                setattr(self, name, self.column_list)
        super().__init__(self.model, db, name=self.title, endpoint=endpoint, url=self.path)
        self.static_url_path = NO_STATIC

    def _check_declarations(self) -> None:
        faults = []
        if not self.column_list:
            faults.append("states no column_list: columns are shown only where they are listed")
        hidden = [c for c in self.column_searchable_list or () if getattr(c, "key", c) not in (self.column_list or ())]
        if hidden:
            faults.append(f"searches columns that it does not show: {', '.join(map(str, hidden))}")
        if (self.can_create or self.can_edit or self.can_delete) and not self.write_permission:
            faults.append("allows changes without a write_permission")
        if (self.can_create or self.can_edit) and not (self.form_columns or self.form):
            faults.append("states no form_columns")
        if self.form_ajax_refs or self.column_editable_list or self.inline_models:
            faults.append("uses form_ajax_refs, column_editable_list or inline_models, which need Flask-Admin's scripts")
        if faults:
            raise PluginError(self.plugin, f"{type(self).__name__} {'; '.join(faults)}")

    def permission_for(self, handler: str) -> str:
        """Return the permission of a handler: writing needs `write_permission`."""
        return self.write_permission or self.permission if handler in WRITES else self.permission

    # -- reading ------------------------------------------------------------------------------------------------------

    def get_one(self, id: Any) -> Any:  # noqa: A002 - Flask-Admin's name
        """Return one record inside of the scope of `get_query`; None where there is none."""
        return get_query_for_ids(self.get_query(), self.model, (str(id),)).one_or_none()

    def order(self, arguments: ViewArgs) -> Order:
        """Return the order that the address asks for, else the page's own."""
        keys = [column.key for column in self.model.__mapper__.primary_key]
        name = arguments.sort if arguments.sort in self._sortable_columns else None
        names = [name] if name else list(self.order_by)
        columns = [getattr(self.model, one) for one in [*names, *(key for key in keys if key not in names)]]
        return Order(tuple(columns), descending=arguments.sort_desc if name else True)

    def read_page(self, arguments: ViewArgs, size: int, cursor: Cursor | None = None) -> KeysetPage[Any]:
        """Read one page of the filtered list: one statement, however deep it lies."""
        order = self.order(arguments)
        query = self.filtered(arguments)
        if cursor is not None:
            query = query.filter(order.beyond(cursor.values, backwards=cursor.backwards))
        backwards = cursor is not None and cursor.backwards
        rows = query.order_by(*order.by(backwards=backwards)).limit(size + 1).all()
        return page_of(rows, size, order, cursor)

    def filtered(self, arguments: ViewArgs) -> Any:
        """Return the scoped query with the search and the filters of the address."""
        query = self.get_query()
        if self._search_supported and arguments.search:
            query, _, _, _ = self._apply_search(query, None, {}, {}, arguments.search[:LONGEST_SEARCH])
        if arguments.filters and self._filters:
            query, _, _, _ = self._apply_filters(query, None, {}, {}, arguments.filters)
        return query

    def get_list(self, *_args: Any, page_size: int | None = None, **_kwargs: Any) -> Any:
        """Return the first page, in the form that Flask-Admin's own code expects; there is no count."""
        return None, self.read_page(self._get_list_extra_args(), page_size or self.page_size).rows

    def _get_list_extra_args(self) -> ViewArgs:
        """Read the address. Sorting is by a column's name, so that links outlive a change of columns."""
        arguments = request.args
        return ViewArgs(
            sort=arguments.get("sort"),
            sort_desc=1 if arguments.get("desc") else 0,
            search=arguments.get("search"),
            filters=self._get_list_filter_args(),
            extra_args={k: v for k, v in arguments.items() if k not in OWN_ARGUMENTS and not k.startswith("flt")},
        )

    def _get_list_url(self, view_args: ViewArgs, cursor: str | None = None) -> str:
        wanted = {
            "sort": view_args.sort,
            "desc": 1 if view_args.sort and view_args.sort_desc else None,
            "search": view_args.search,
            "cursor": cursor,
            **view_args.extra_args,
            **self._get_filters(view_args.filters),
        }
        return str(self.get_url(".index_view", **wanted))

    @expose("/")
    def index_view(self) -> Any:
        """Show the list."""
        arguments = self._get_list_extra_args()
        if request.args.get("f"):
            return redirect(self._with_filter(arguments))
        text = request.args.get("cursor")
        page = self.read_page(arguments, self.page_size, read_cursor(text, self.order(arguments)) if text else None)
        return self.render(self.list_template, **self._shown(arguments, page))

    def _with_filter(self, arguments: ViewArgs) -> str:
        """Turn the filter form's choice into the address of the list with that filter added."""
        found = (self._filter_args or {}).get(request.args["f"])
        value = request.args.get("v", "")
        if found is None or not value or not found[1].validate(value):
            return self._get_list_url(arguments)
        filters = [*(arguments.filters or []), (found[0], str(found[1].name), value)]
        return self._get_list_url(arguments.clone(filters=filters))

    def _shown(self, arguments: ViewArgs, page: KeysetPage[Any]) -> dict[str, Any]:
        actions, confirmations = self.get_actions_list()
        writing = self.may(self.permission_for("edit_view"))
        return {
            "data": page.rows, "columns": [self._column(arguments, *column) for column in self._list_columns],
            "list_columns": self._list_columns, "get_value": self.get_list_value, "get_pk_value": self.get_pk_value,
            "newer": self._get_list_url(arguments, page.newer) if page.newer else None,
            "older": self._get_list_url(arguments, page.older) if page.older else None,
            "search": arguments.search or "", "search_supported": self._search_supported,
            "search_placeholder": f"Search {', '.join(self._searched()).lower()}\u2026" if self._search_supported else "",
            "filter_groups": self._get_filter_groups() or {}, "active_filters": self._active(arguments),
            "narrowed": bool(arguments.search or arguments.filters),
            "clear_url": self._get_list_url(arguments.clone(search=None, filters=None)),
            "actions": actions if writing else [], "confirmations": confirmations, "writing": writing,
            "list_row_actions": self.column_extra_row_actions or [], "return_url": self._get_list_url(arguments),
            "export_url": self._export_url(arguments) if self.can_export else None,
        }  # fmt: skip

    def _searched(self) -> list[str]:
        return [self.get_column_name(getattr(column, "key", column)) for column in self.column_searchable_list or ()]

    def _column(self, arguments: ViewArgs, name: Any, title: str) -> dict[str, Any]:
        falling = arguments.sort == name and not arguments.sort_desc
        sortable = name in self._sortable_columns
        return {
            "title": title,
            "sort": self._get_list_url(arguments.clone(sort=name, sort_desc=falling)) if sortable else None,
            "dir": ("desc" if arguments.sort_desc else "asc") if arguments.sort == name and sortable else None,
        }

    def _active(self, arguments: ViewArgs) -> list[dict[str, str]]:
        filters = list(arguments.filters or [])
        return [
            {"label": f"{self._filters[one[0]].name} {self._filters[one[0]].operation()}", "value": one[2],
             "url": self._get_list_url(arguments.clone(filters=[other for other in filters if other is not one]))}
            for one in filters
        ]  # fmt: skip

    # -- changing -----------------------------------------------------------------------------------------------------

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """Show and take the form of a new record."""
        self._allow(self.can_create, "create")
        return super().create_view()

    @expose("/edit/", methods=("GET", "POST"))
    def edit_view(self) -> Any:
        """Show and take the form of a record."""
        self._allow(self.can_edit, "change")
        self._require_one(request.args.get("id", ""))
        return super().edit_view()

    @expose("/details/")
    def details_view(self) -> Any:
        """Show one record."""
        self._allow(self.can_view_details, "open")
        self._require_one(request.args.get("id", ""))
        return super().details_view()

    @expose("/delete/", methods=("POST",))
    def delete_view(self) -> Any:
        """Delete a record, after a question."""
        self._allow(self.can_delete, "delete")
        record = self._require_one(request.form.get("id", ""))
        if not confirmed():
            return ask(f"Delete {self.title.lower()} {record}?", "This cannot be undone.", "Delete")
        return super().delete_view()

    @expose("/action/", methods=("POST",))
    def action_view(self) -> Any:
        """Run an action over the selected records, after a question where it has one."""
        name = request.form.get("action", "")
        known = self._actions_data.get(name)
        if known is None or not self.is_action_allowed(name):
            raise NotFound("There is no such action.")
        if known[2] and not confirmed():
            return ask(str(known[2]), f"{len(request.form.getlist('rowid'))} selected.", str(known[1]))
        return self.handle_action()

    def _allow(self, allowed: bool, verb: str) -> None:
        if not allowed:
            raise Forbidden(f"Nobody can {verb} {self.title.lower()} here.")

    def _require_one(self, key: str) -> Any:
        record = self.get_one(key) if key else None
        if record is None:
            raise NotFound(f"There is no such record in {self.title}.")
        return record

    def create_model(self, form: Any) -> Any:
        """Store a new record; None where it was refused, with the reason flashed."""

        def work(session: Session) -> Any:
            model = self.build_new_instance()
            form.populate_obj(model)
            session.add(model)
            self.on_model_change(form, model, True)
            session.flush()
            return model

        model = self._write("created", work)
        if model is not None:
            self.after_model_change(form, model, True)
        return model

    def update_model(self, form: Any, model: Any) -> bool:
        """Store a changed record; False where it was refused, with the reason flashed."""

        def work(_session: Session) -> Any:
            form.populate_obj(model)
            self.on_model_change(form, model, False)
            return model

        if self._write("changed", work) is None:
            return False
        self.after_model_change(form, model, False)
        return True

    def delete_model(self, model: Any) -> bool:
        """Delete a record; False where it was refused, with the reason flashed."""

        def work(session: Session) -> Any:
            self.on_model_delete(model)
            session.flush()
            session.delete(model)
            session.flush()
            return model

        if self._write("deleted", work) is None:
            return False
        self.after_model_delete(model)
        return True

    def _write(self, what: str, work: Callable[[Session], Any]) -> Any:
        try:
            with unit_of_work() as session:
                model = work(session)
                key = self.get_pk_value(model)
                audit.record(f"{self.endpoint}.{what}", f"{self.model.__tablename__}:{key}")
                if self.topics:
                    after_commit(lambda: runtime().changes.bump(*self.topics))
        except PilothouseError:
            raise
        except Exception as fault:  # a plugin's own form and model code runs in there; what is not known goes up
            if not self.handle_view_exception(fault):
                raise
            return None
        return model

    def handle_view_exception(self, exc: Exception) -> bool:
        """Flash what the person can mend; the database's own words stay in the log."""
        if isinstance(exc, ValidationError):
            flash(str(exc), "error")
            return True
        if isinstance(exc, IntegrityError):
            structlog.get_logger("pilothouse.web").info("record refused by the database", table=self.model.__tablename__)
            flash("This conflicts with another record: a value that must be unique is taken, or one that is needed is "
                  "missing or still in use.", "error")  # fmt: skip
            return True
        return False

    @action("delete", "Delete", "Delete the selected records?")
    def action_delete(self, ids: Any) -> Any:
        """Delete the selected records, those of them that are in the page's scope."""
        records = get_query_for_ids(self.get_query(), self.model, ids).all()
        deleted = sum(1 for record in records if self.delete_model(record))
        flash(f"Deleted {deleted} of {len(ids)}.", "success" if deleted == len(ids) else "warning")

    # -- export -------------------------------------------------------------------------------------------------------

    def _export_url(self, arguments: ViewArgs) -> str:
        return self._get_list_url(arguments).replace(self.get_url(".index_view"), self.get_url(".export", export_type="csv"), 1)

    @expose("/export/<export_type>/")
    def export(self, export_type: str) -> Response:
        """Stream the filtered list as CSV; the audit log says who took it."""
        self._allow(self.can_export and export_type in self.export_types, "export")
        with unit_of_work():
            audit.record(f"{self.endpoint}.exported", self.model.__tablename__, detail={"query": request.query_string.decode()})
        titles = [title for _, title in self._export_columns]
        name = f"{self.endpoint}-{clock.to_datetime(clock.now()):%Y%m%d-%H%M%S}.csv"
        return csv_response(name, titles, self._export_rows(self._get_list_extra_args()))

    def _export_rows(self, arguments: ViewArgs) -> Iterator[list[Any]]:
        order, cursor, left = self.order(arguments), None, self.export_max_rows
        while left > 0:
            page = self.read_page(arguments, min(CHUNK, left), cursor)
            for record in page.rows:
                yield [self.get_export_value(record, column) for column, _ in self._export_columns]
            left -= len(page.rows)
            db.session.rollback()  # no snapshot is held, and no row kept, while the reader is slow
            db.session.expunge_all()
            if page.older is None:
                return
            cursor = read_cursor(page.older, order)
