"""Team: members, invitations, what each member did, the audit log, one's own sessions."""
