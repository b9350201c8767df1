"""What may be allowed in the team, and the sentence that says what each role is for."""

from __future__ import annotations

from pilothouse.sdk import ROLES, Permission, Principal, Role, outranks, roles_from

VIEW = "team.members.view"
PROFILE = "team.profile.change"
MANAGE = "team.members.manage"
INVITES = "team.invites.view"
INVITE = "team.invites.send"
ACTIVITY = "team.activity.view"
AUDIT = "team.audit.view"
SELF = "core.self.manage"

PERMISSIONS = (
    Permission(VIEW, "See the members", roles_from("viewer"), "read"),
    Permission(PROFILE, "Change one's own name", roles_from("viewer"), "write", or_scope="admin"),
    Permission(MANAGE, "Change and remove members", roles_from("admin"), "admin"),
    Permission(INVITES, "See invitations", roles_from("admin"), "read"),
    Permission(INVITE, "Invite people", roles_from("admin"), "admin"),
    Permission(ACTIVITY, "See what members did", roles_from("admin"), "read"),
    Permission(AUDIT, "Read the audit log", roles_from("admin"), "read"),
)

SENTENCES: dict[Role, str] = {
    "owner": "Everything: also manages admins and owners, and rotates the master key.",
    "admin": "Manages keys, tokens, channels, budgets, prices, plugins, members and viewers; reads the audit log.",
    "member": "Works with runs and errors: cancels, runs again, resolves, assigns. Sees key names with their usage.",
    "viewer": "Reads the pages and changes nothing.",
}


def given_by(principal: Principal) -> list[Role]:
    """Return the roles that somebody may give, the most powerful first: owners all, others those below their own."""
    return [role for role in ROLES if principal.role == "owner" or outranks(principal.role, role)]
