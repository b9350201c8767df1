"""Every exception that Pilothouse raises on purpose, each with its HTTP status and stable problem code.

The web edge turns them into RFC 9457 problem answers; the command line into one line on stderr.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with one field; `path` is written like `signals[3].status`."""

    path: str
    message: str


class PilothouseError(Exception):
    """Something that has a plain explanation. Subclasses set status, code and title."""

    status = 500
    code = "internal"
    title = "Internal error"

    def __init__(self, detail: str = "", *, retry_after: int | None = None) -> None:
        """Take a sentence for people; `retry_after` is in seconds."""
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.retry_after = retry_after


class Malformed(PilothouseError):
    """The request cannot be read at all."""

    status, code, title = 400, "malformed", "Malformed request"


class NotSignedIn(PilothouseError):
    """Nobody is known to be calling."""

    status, code, title = 401, "not_signed_in", "Not signed in"


class Forbidden(PilothouseError):
    """The caller is known and may not do this."""

    status, code, title = 403, "forbidden", "Not allowed"


class CsrfFailed(Forbidden):
    """An unsafe request of a browser without its CSRF token."""

    code, title = "csrf", "The CSRF token is missing or wrong"


class ProofWanted(Forbidden):
    """The person may do this, and must show once more that it is them."""

    code, title = "proof_wanted", "Confirm that it is you"


class BudgetUsedUp(Forbidden):
    """A hard budget is spent; `retry_after` is when its next period begins."""

    code, title = "budget_used_up", "The budget is used up"


class NotFound(PilothouseError):
    """No such thing, or none that the caller may see."""

    status, code, title = 404, "not_found", "Not found"


class Conflict(PilothouseError):
    """The thing is in a state that does not allow this."""

    status, code, title = 409, "conflict", "Conflict"


class TooLarge(PilothouseError):
    """A body or list beyond its documented limit."""

    status, code, title = 413, "too_large", "Too large"


class UnsupportedMedia(PilothouseError):
    """A content type or encoding that this route does not read."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class Invalid(PilothouseError):
    """Readable, but some fields are wrong; `errors` names each of them."""

    status, code, title = 422, "invalid", "Some fields are invalid"

    def __init__(self, detail: str = "", errors: list[FieldError] | None = None, *, code: str | None = None) -> None:
        """Take the wrong fields, and a more exact code where the contract names one."""
        super().__init__(detail)
        self.errors = errors or []
        if code is not None:
            self.code = code

    @classmethod
    def field(cls, path: str, message: str) -> "Invalid":
        """Make the error for one wrong field."""
        return cls(f"{path}: {message}", [FieldError(path, message)])


class TooManyRequests(PilothouseError):
    """Over a rate limit."""

    status, code, title = 429, "rate_limited", "Too many requests"


class StoreAway(PilothouseError):
    """The database does not answer or stays locked; trying again later helps."""

    status, code, title = 503, "store_away", "The store is away"


class Busy(PilothouseError):
    """More at once than can be worked on; asking again a little later helps."""

    status, code, title = 503, "busy", "Too much at once"


class StorageFull(PilothouseError):
    """The disk under the database is full; nothing was stored."""

    status, code, title = 507, "storage_full", "The disk is full"


class SettingsError(PilothouseError):
    """Wrong settings, all of them at once."""

    code, title = "settings", "Wrong settings"


class PluginError(PilothouseError):
    """A plugin that cannot be used; `plugin` names it."""

    code, title = "plugin", "A plugin failed"

    def __init__(self, plugin: str, detail: str) -> None:
        """Name the plugin and say what is wrong with it."""
        super().__init__(f"{plugin}: {detail}")
        self.plugin = plugin
        self.reason = detail


class VaultSealed(PilothouseError):
    """The master key is missing or wrong, so no secret can be read or written."""

    status, code, title = 503, "vault_sealed", "The vault is sealed"


class VaultIntegrity(PilothouseError):
    """A ciphertext was swapped, cut or changed."""

    code, title = "vault_integrity", "A stored secret is damaged"
