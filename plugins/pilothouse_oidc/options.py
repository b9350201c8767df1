"""The settings of the plugin, and whether it is set up at all."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from pilothouse.sdk import Role, Setting, names, runtime, text, url

ROLES = ("viewer", "member", "admin")  # nobody becomes owner by having an address


def role(value: str) -> str:
    """Read the role of newcomers."""
    if value not in ROLES:
        raise ValueError(f"must be one of {', '.join(ROLES)}")
    return value


def domains(value: str) -> tuple[str, ...]:
    """Read mail domains separated by commas."""
    found = tuple(name.lower() for name in names(value))
    if any("." not in name or "@" in name or "*" in name for name in found):
        raise ValueError("must be mail domains such as example.com, separated by commas")
    return found


SETTINGS = (
    Setting("PILOTHOUSE_OIDC_ISSUER", url("https", "http"), None, "Address of the OpenID Connect provider"),
    Setting("PILOTHOUSE_OIDC_CLIENT_ID", text, None, "Client id that the provider gave"),
    Setting("PILOTHOUSE_OIDC_CLIENT_SECRET", text, None, "Client secret; none for a public client", secret=True),
    Setting("PILOTHOUSE_OIDC_DOMAINS", domains, (), "Mail domains whose people become members by signing in"),
    Setting("PILOTHOUSE_OIDC_ROLE", role, "viewer", "Role of those newcomers"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """What the provider is asked as, and who may come in unasked."""

    issuer: str
    client_id: str
    client_secret: str
    domains: tuple[str, ...]
    role: Role


def options() -> Options | None:
    """Return the settings; None where the plugin is not set up."""
    settings = runtime().settings
    issuer, client_id = settings["PILOTHOUSE_OIDC_ISSUER"], settings["PILOTHOUSE_OIDC_CLIENT_ID"]
    if not issuer or not client_id:
        return None
    secret = settings["PILOTHOUSE_OIDC_CLIENT_SECRET"] or ""
    return Options(issuer, client_id, secret, settings["PILOTHOUSE_OIDC_DOMAINS"], settings["PILOTHOUSE_OIDC_ROLE"])


def has_library() -> bool:
    """Say whether the extra `sso` is installed."""
    return find_spec("authlib") is not None


def offered() -> bool:
    """Say whether the login page shows the button."""
    return options() is not None and has_library()


def problem() -> str | None:
    """Say what keeps a wanted sign-in from working."""
    settings = runtime().settings
    parts = ("PILOTHOUSE_OIDC_ISSUER", "PILOTHOUSE_OIDC_CLIENT_ID")
    missing = [name for name in parts if not settings[name]]
    if len(missing) == 1:
        return f"{missing[0]} is missing."
    return None if missing or has_library() else "authlib is not installed."
