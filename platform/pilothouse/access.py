"""Who may do what: roles, token scopes and permissions; deny by default.

A permission names the roles that have it and the scope that an access token needs for it. Every route, view and task
action declares one permission or the application does not start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["owner", "admin", "member", "viewer"]
Scope = Literal["ingest", "read", "write", "admin", "gateway"]

ROLES: tuple[Role, ...] = get_args(Role)  # from the most to the least powerful
SCOPES: tuple[Scope, ...] = get_args(Scope)
PUBLIC = "public"  # the permission of routes that are open to everyone, on purpose


def roles_from(least: Role) -> frozenset[Role]:
    """Return the role and all that are more powerful."""
    return frozenset(ROLES[: ROLES.index(least) + 1])


def outranks(role: Role, other: Role) -> bool:
    """Say whether `role` is more powerful than `other`."""
    return ROLES.index(role) < ROLES.index(other)


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing that may be allowed: `<plugin>.<what>`, a title for people, its roles and the scope that tokens need.

    `or_scope` is a second scope that serves as well.
    """

    name: str
    title: str
    roles: frozenset[Role]
    scope: Scope = "read"
    or_scope: Scope | None = None


CORE_PERMISSIONS = (
    Permission("core.signals.send", "Send signals", roles_from("member"), "ingest"),
    Permission("core.console.view", "Open the console", roles_from("viewer"), "read"),
    Permission("core.self.manage", "Manage one's own session", roles_from("viewer"), "write"),
    Permission("core.system.view", "See the system's health and metrics", roles_from("viewer"), "read"),
    Permission("core.tokens.make", "Make an access token", roles_from("admin"), "admin"),
    Permission("core.plugins.view", "See the plugins", roles_from("admin"), "admin"),
    Permission("core.plugins.manage", "Switch plugins on and off", roles_from("admin"), "admin"),
    Permission("core.dead_letters.view", "See tasks that gave up", roles_from("admin"), "admin"),
    Permission("core.dead_letters.replay", "Run dead letters again", roles_from("admin"), "admin"),
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts: a person by session, or a program by access token.

    `scopes` is None for a session (a person has all that the role has). `id` is the user's id, or `token:<id>` for a
    token made by the command line, which acts as owner within its scopes. `proved_at` is when (ms) the person of a session
    last proved who they are.
    """

    id: str
    role: Role
    name: str = ""
    email: str = ""
    user_id: str | None = None
    scopes: frozenset[Scope] | None = None
    token_id: str | None = None
    session_id: str | None = None
    proved_at: int | None = None

    @property
    def called(self) -> str:
        """How people call them: the name, where there is none the address, for a token the id; at most 255 characters."""
        return (self.name or self.email or self.id)[:255]

    def may(self, permission: Permission) -> bool:
        """Say whether the role has the permission and the token, if it is one, the scope."""
        if self.role not in permission.roles:
            return False
        return self.scopes is None or not self.scopes.isdisjoint({permission.scope, permission.or_scope})
