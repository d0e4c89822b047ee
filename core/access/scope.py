"""Scopes: what a bearer token is good for, within what its user may do."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """One kind of thing that a token may be used for."""

    READ = "read"
    """Look at records."""
    WRITE = "write"
    """Change records."""
    MAIL = "mail"
    """Send mail, and fetch it."""
    ADMIN = "admin"
    """Change the host itself: servers, jobs, users, webhooks, suspension."""
