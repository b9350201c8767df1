"""Second factors: passkeys, codes of an authenticator, recovery codes."""
