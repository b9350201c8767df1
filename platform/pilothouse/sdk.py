"""All that a plugin may import, under the compatibility promise: names listed in `__all__` keep working within SDK 1.x."""

from pilothouse import outgoing
from pilothouse.access import PUBLIC, ROLES, Permission, Principal, Role, outranks, roles_from
from pilothouse.audit import AuditEntry
from pilothouse.audit import record as audit
from pilothouse.bus import publish
from pilothouse.clock import DAY, HOUR, MINUTE, SECOND, new_id, now, to_datetime, to_rfc3339
from pilothouse.contract.answers import Command, Credential, Price, Reservation, Spend
from pilothouse.contract.arrivals import Arrival, ArrivalSink, Refusal
from pilothouse.contract.events import Event, EventSink, Reaction
from pilothouse.contract.hookspecs import hookimpl
from pilothouse.contract.manifest import Manifest
from pilothouse.contract.notices import Notice, NotificationCategory
from pilothouse.contract.pages import AdminView, FirstStep, LoginMethod, NavItem, PaletteSource, Panel, Snippet, StepFigures
from pilothouse.contract.recording import Batch, Enricher, Link, Measure, MeasureSink, Recorded, Recorder, Source
from pilothouse.contract.work import BeatEntry, HealthCheck, Task
from pilothouse.crypto import Place, checksum_ok, hash_token, make_token
from pilothouse.db import (
    Bulk,
    Id,
    Json,
    Millis,
    Model,
    Name,
    Nanodollars,
    after_commit,
    count_changed,
    db,
    in_list,
    in_list_sql,
    insert_ignore,
    known_ids,
    lock_writers,
    run_many,
    unit_of_work,
)
from pilothouse.errors import (
    BudgetUsedUp,
    Busy,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    NotSignedIn,
    PilothouseError,
    StoreAway,
    TooLarge,
    TooManyRequests,
    UnsupportedMedia,
)
from pilothouse.identity import access_tokens, proving
from pilothouse.identity.changes import identity_changed
from pilothouse.identity.directory import Member, active_members, find_member, find_members
from pilothouse.identity.entering import admit, begin_session, enter
from pilothouse.identity.models import LoginSession, User
from pilothouse.identity.next_path import local_path
from pilothouse.identity.principal import current_principal, find_principal, require
from pilothouse.identity.refusals import refuse
from pilothouse.identity.sessions import end_other_sessions, end_session, end_sessions_of, sessions_of
from pilothouse.identity.users import (
    add_user,
    change_user,
    check_may_manage,
    checked_name,
    find_user,
    get_user,
    normalise_email,
    remove_user,
)
from pilothouse.measure_reads import Ask, read_all, read_totals
from pilothouse.measure_reads import read as read_measure
from pilothouse.measure_sums import OTHER, QUARTER, Resolution, Sum, Values, percentile
from pilothouse.measures import Deltas, declared
from pilothouse.money import NANO, parse_usd, to_usd
from pilothouse.outcomes import Outcome, Rejection
from pilothouse.outgoing import NotReached, UrlNotAllowed, check_target
from pilothouse.outgoing_pool import CutOff, OutgoingAnswer, OutgoingPool, TimedOut
from pilothouse.plugins.guard import PluginFailed
from pilothouse.runtime import application, runtime
from pilothouse.scrubbing import clean, clean_text, needs_cleaning
from pilothouse.settings import Setting, Settings, duration, flag, names, text, url, whole
from pilothouse.signals import (
    FINAL,
    NOTHING,
    Deadline,
    Error,
    ErrorDetail,
    Execution,
    Frame,
    Severity,
    Signal,
    Status,
    Step,
    StepKind,
    TokenUsage,
    json_text,
    parse_id,
    raw,
)
from pilothouse.signals import Event as EventSignal
from pilothouse.signals import Id as SignalId
from pilothouse.signals import Millis as Moment
from pilothouse.web import formats
from pilothouse.web.api import ApiBlueprint
from pilothouse.web.bodies import read_body
from pilothouse.web.charts import Chart, Series
from pilothouse.web.client_door import Door
from pilothouse.web.conditional import tagged, unchanged
from pilothouse.web.console_base import ConsoleView, expose, needs
from pilothouse.web.console_models import ConsoleModelView
from pilothouse.web.cross_origin import open_to_browsers
from pilothouse.web.csrf import check_origin
from pilothouse.web.csv_stream import csv_response
from pilothouse.web.ingest_api import charge
from pilothouse.web.limits import Limit as RateLimit
from pilothouse.web.live import Undo, done, fragment, poll_etag
from pilothouse.web.marks import Bucket, Lane
from pilothouse.web.paging import DEFAULT_LIMIT, Limit, Page, page_of, read_cursor, write_cursor
from pilothouse.web.panels import panel_answers
from pilothouse.web.parsing import read_query
from pilothouse.web.prefs import current_prefs
from pilothouse.web.ranges import Period, read_period, read_zone
from pilothouse.web.snippets import written_snippets
from pilothouse.web.urls import qs, toggled
from pilothouse.web.waiting import long_lived
from pilothouse.work.jobs import enqueue
from pilothouse.work.mail import MailRefusedError
from pilothouse.work.mail import send as send_mail

__all__ = [
    "DAY", "DEFAULT_LIMIT", "FINAL", "HOUR", "MINUTE", "NANO", "NOTHING", "OTHER", "PUBLIC", "QUARTER", "ROLES",
    "SECOND", "AdminView", "ApiBlueprint", "Arrival", "ArrivalSink", "Ask", "AuditEntry", "Batch", "BeatEntry",
    "Bucket", "BudgetUsedUp", "Bulk", "Busy", "Chart", "Command", "Conflict", "ConsoleModelView", "ConsoleView",
    "Credential", "CutOff", "Deadline", "Deltas", "Door", "Enricher", "Error", "ErrorDetail", "Event",
    "EventSignal", "EventSink", "Execution", "FieldError", "FirstStep", "Forbidden", "Frame", "HealthCheck", "Id", "Invalid",
    "Json", "Lane", "Limit", "Link", "LoginMethod", "LoginSession", "MailRefusedError", "Malformed", "Manifest",
    "Measure", "MeasureSink", "Member", "Millis", "Model", "Moment", "Name", "Nanodollars", "NavItem", "NotFound",
    "NotReached", "NotSignedIn", "Notice", "NotificationCategory", "Outcome", "OutgoingAnswer", "OutgoingPool",
    "Page", "PaletteSource", "Panel", "Period", "Permission", "PilothouseError", "Place", "PluginFailed", "Price", "Principal",
    "RateLimit", "Reaction", "Recorded", "Recorder", "Refusal", "Rejection", "Reservation", "Resolution", "Role",
    "Series", "Setting", "Settings", "Severity", "Signal", "SignalId", "Snippet", "Source", "Spend", "Status",
    "Step", "StepFigures", "StepKind", "StoreAway", "Sum", "Task", "TimedOut", "TokenUsage", "TooLarge",
    "TooManyRequests", "Undo", "UnsupportedMedia", "UrlNotAllowed", "User", "Values", "access_tokens",
    "active_members", "add_user", "admit", "after_commit", "application", "audit", "begin_session", "change_user",
    "charge", "check_may_manage", "check_origin", "check_target", "checked_name", "checksum_ok", "clean",
    "clean_text", "count_changed", "csv_response", "current_prefs", "current_principal", "db", "declared", "done",
    "duration", "end_other_sessions", "end_session", "end_sessions_of", "enqueue", "enter", "expose", "find_member",
    "find_members", "find_principal", "find_user", "flag", "formats", "fragment", "get_user", "hash_token",
    "hookimpl", "identity_changed", "in_list", "in_list_sql", "insert_ignore", "json_text", "known_ids",
    "local_path", "lock_writers", "long_lived", "make_token", "names", "needs", "needs_cleaning", "new_id",
    "normalise_email", "now", "open_to_browsers", "outgoing", "outranks", "page_of", "panel_answers", "parse_id",
    "parse_usd", "percentile", "poll_etag", "proving", "publish", "qs", "raw", "read_all", "read_body",
    "read_cursor", "read_measure", "read_period", "read_query", "read_totals", "read_zone", "refuse", "remove_user",
    "require", "roles_from", "run_many", "runtime", "send_mail", "sessions_of", "tagged", "text", "to_datetime",
    "to_rfc3339", "to_usd", "toggled", "unchanged", "unit_of_work", "url", "whole", "write_cursor",
    "written_snippets",
]  # fmt: skip
