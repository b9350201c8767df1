"""The page of one's own second factors: passkeys, codes of an authenticator, recovery codes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Response, make_response, request, url_for

from pilothouse.sdk import (
    ConsoleView,
    Invalid,
    NotFound,
    PilothouseError,
    User,
    done,
    expose,
    get_user,
    proving,
    require,
    unit_of_work,
)
from pilothouse_factors import ceremonies, pictures, service
from pilothouse_factors.permissions import SELF


class FactorsView(ConsoleView):
    """One's own passkeys and codes."""

    title = "Passkeys and codes"
    path = "/factors"
    permission = SELF

    @expose("/")
    def index(self) -> str:
        """Show what one has."""
        user = _me()
        return self.render(
            "factors/index.html", passkeys=service.passkeys(user.id), codes=service.authenticator(user.id),
            left=service.recovery_left(user.id), possible=ceremonies.possible(),
        )  # fmt: skip

    @expose("/passkeys/new")
    def new_passkey(self) -> Response:
        """Let the browser make a passkey."""
        proving.require_proof()
        user = _me()
        options, challenge = ceremonies.to_make(user, service.passkeys(user.id))
        response = make_response(self.render("factors/new_passkey.html", options=options))
        ceremonies.keep(response, challenge, "make")
        return response

    @expose("/passkeys", methods=("POST",))
    def add_passkey(self) -> Response:
        """Keep the passkey that the browser has made."""
        proving.require_proof()
        user = _me()
        with unit_of_work():
            service.add_passkey(user, request.form.get("name", ""), request.form.get("answer", ""))
        return done("The passkey is kept", url_for(".index"))

    @expose("/passkeys/<key_id>/remove", methods=("POST",))
    def remove_passkey(self, key_id: str) -> Response:
        """Forget a passkey."""
        proving.require_proof()
        with unit_of_work():
            service.remove_passkey(key_id, _me().id)
        return done("The passkey opens this account no longer", url_for(".index"))

    @expose("/codes", methods=("POST",))
    def begin_codes(self) -> Any:
        """Show the secret for an authenticator, this once."""
        proving.require_proof()
        with unit_of_work():
            address = service.begin_codes(_me())
        return self._codes_page(address)

    @expose("/codes/confirm", methods=("POST",))
    def confirm_codes(self) -> Any:
        """Switch codes on after a first right one, and show the recovery codes, this once."""
        proving.require_proof()
        try:
            with unit_of_work():
                recovery = service.confirm_codes(_me(), request.form.get("code", ""))
        except Invalid as fault:
            return self._codes_page(service.waiting_address(_me()), fault)
        return _secret(self.render("factors/recovery.html", recovery=recovery, fresh=True))

    def _codes_page(self, address: str, fault: PilothouseError | None = None) -> Response:
        picture = pictures.qr(address)
        secret = service.shown_secret(address)
        page = self.render("factors/codes.html", picture=picture, secret=secret, address=address, fault=fault)
        return _secret(page, HTTPStatus.UNPROCESSABLE_ENTITY if fault is not None else HTTPStatus.OK)

    @expose("/codes/off", methods=("POST",))
    def codes_off(self) -> Response:
        """Switch codes off."""
        proving.require_proof()
        with unit_of_work():
            service.codes_off(_me().id)
        return done("Signing in asks for no code any more", url_for(".index"))

    @expose("/recovery", methods=("POST",))
    def renew_recovery(self) -> Response:
        """Make new recovery codes and show them, this once."""
        proving.require_proof()
        with unit_of_work():
            recovery = service.new_recovery_codes(_me().id)
        return _secret(self.render("factors/recovery.html", recovery=recovery, fresh=False))


def _me() -> User:
    principal = require(SELF)
    if principal.user_id is None or principal.session_id is None:
        raise NotFound("Second factors belong to a person in a browser.")
    return get_user(principal.user_id)


def _secret(page: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(page, status, headers={"Cache-Control": "no-store"})
