"""The page of keys: provider keys and access tokens."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Response, request, url_for

from pilothouse.sdk import (
    DAY,
    DEFAULT_LIMIT,
    ConsoleView,
    Invalid,
    done,
    expose,
    needs,
    now,
    page_of,
    proving,
    read_cursor,
    require,
    runtime,
    unit_of_work,
)
from pilothouse.sdk import access_tokens as tokens
from pilothouse_keys import api, queries, service

NAMES = {"anthropic": "Anthropic", "openai": "OpenAI", "custom": "Custom"}  # services as they write themselves
EXPIRIES = (("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "never"))
GRACES = (("0", "no longer"), ("3600", "1 hour"), ("86400", "24 hours"), ("259200", "72 hours"))  # seconds
SOON = 7 * DAY
UNUSED = 30 * DAY


class KeysView(ConsoleView):
    """Keys of model providers, and tokens that programs sign in with."""

    title = "API keys"
    path = "/keys"
    permission = api.VIEW

    @expose("/")
    def index(self) -> Any:
        """Show the provider keys, or the access tokens."""
        return self._page()

    def _page(self, *, token: str = "", fault: Invalid | None = None) -> str:
        manages = self.may(api.TOKENS)
        tab = "tokens" if token or (request.args.get("tab") == "tokens" and manages) else "provider"
        cursor = request.args.get("cursor")
        after = read_cursor(cursor) if cursor else None
        found = tokens.tokens(limit=DEFAULT_LIMIT + 1, after=after) if tab == "tokens" else queries.page(DEFAULT_LIMIT, after)
        rows, older = page_of(found, DEFAULT_LIMIT, lambda row: (row.created_at, row.id))
        return self.render(
            "keys/index.html", rows=rows, tab=tab, token=token, fault=fault,
            older=url_for(".index", tab=tab, cursor=older) if older else None,
            key_count=queries.count(), token_count=tokens.count_tokens() if manages else 0,
            may_manage=self.may(api.MANAGE), may_tokens=manages, now=now(), soon=now() + SOON,
            stale=now() - UNUSED, sealed=runtime().keyring.sealed, services=NAMES,
            expiries=EXPIRIES, graces=GRACES, form=request.form, scopes=("ingest", "read", "write", "admin", "gateway"),
        )  # fmt: skip

    @expose("/add", methods=("POST",))
    @needs(api.MANAGE)
    def add(self) -> Any:
        """Add a provider key."""
        proving.require_proof()
        form = request.form
        try:
            if form.get("service") not in service.SERVICES:
                raise Invalid.field("service", "must be chosen")
            if not form.get("name", "").strip():
                raise Invalid.field("name", "is required")
            with unit_of_work():
                service.add(
                    form["name"].strip()[:255], form["service"], form.get("secret", "").strip(), require(api.MANAGE),
                    base_url=form.get("base_url", "").strip() or None, expires_at=_expiry(form.get("expires", "")),
                )  # fmt: skip
        except Invalid as fault:
            return Response(self._page(fault=fault), HTTPStatus.UNPROCESSABLE_ENTITY)
        return done("The key is added", url_for(".index"))

    @expose("/<key_id>/rotate", methods=("POST",))
    @needs(api.MANAGE)
    def rotate(self, key_id: str) -> Any:
        """Give a key a new secret."""
        proving.require_proof()
        try:
            grace = request.form.get("grace", "0")
            if grace not in dict(GRACES):
                raise Invalid.field("grace_seconds", "must be chosen")
            with unit_of_work():
                service.rotate(key_id, request.form.get("secret", "").strip(), int(grace), require(api.MANAGE))
        except Invalid as fault:
            return Response(self._page(fault=fault), HTTPStatus.UNPROCESSABLE_ENTITY)
        return done("The key has its new secret", url_for(".index"))

    @expose("/<key_id>/check", methods=("POST",))
    @needs(api.MANAGE)
    def check(self, key_id: str) -> Response:
        """Ask the provider whether a key works."""
        valid, detail = service.check(key_id)
        return done(detail, url_for(".index"), tone="success" if valid else "error" if valid is False else "warning")

    @expose("/<key_id>/revoke", methods=("POST",))
    @needs(api.MANAGE)
    def revoke(self, key_id: str) -> Response:
        """Revoke a key."""
        proving.require_proof()
        with unit_of_work():
            service.revoke(key_id, require(api.MANAGE))
        return done("The key is revoked", url_for(".index"))

    @expose("/tokens", methods=("POST",))
    @needs(api.TOKENS)
    def make_token(self) -> Any:
        """Make an access token; this answer is the only place that shows it."""
        proving.require_proof()
        try:
            with unit_of_work():
                _, token = tokens.create_token(
                    request.form.get("name", "").strip(), request.form.getlist("scope"), maker=require(api.TOKENS),
                    expires_at=_expiry(request.form.get("expires", "")),
                )  # fmt: skip
        except Invalid as fault:
            return Response(self._page(fault=fault), HTTPStatus.UNPROCESSABLE_ENTITY)
        response = Response(self._page(token=token), HTTPStatus.CREATED)
        response.headers["Cache-Control"] = "no-store"
        return response

    @expose("/tokens/<token_id>/revoke", methods=("POST",))
    @needs(api.TOKENS)
    def revoke_token(self, token_id: str) -> Response:
        """Revoke an access token."""
        with unit_of_work():
            tokens.revoke_token(token_id, by=require(api.TOKENS))
        return done("The token is revoked", url_for(".index", tab="tokens"))


def _expiry(days: str) -> int | None:
    """Return the moment of a choice; what is none of them is refused, lest a key live for ever by a slip. Raises Invalid."""
    if days not in dict(EXPIRIES):
        raise Invalid.field("expires_at", "must be chosen")
    return now() + int(days) * DAY if days else None
