"""Who may pass each path of the application: what `test_access_matrix.py` holds the host to.

Every line is `METHOD path` under the narrowest circle that passes; `*` stands for anything. The first line that fits
counts. A path without a line fails the test, so whoever adds one says here whom it is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType


class Circle(StrEnum):
    """Whom a path lets in, with the records of company A where it names some."""

    EVERYBODY = "everybody"
    PROOF = "whoever brings the path's own proof: a secret, a signature, a token in the address"
    LOGGED_IN = "whoever is logged in, the portal too; what it shows is the visitor's own"
    INSIDE = "the members of any company, but not the portal; what it shows is their company's"
    OURS = "the members of the company that the record belongs to"
    OWN = "the one user whom the thing belongs to, and not even administrators"
    ADMIN = "administrators"
    PERSON = "whoever is logged in with a password, and no token"
    PROGRAM = "tokens that have its scope, and no session"
    NOBODY = "nobody, as no shipped model has what it needs"


POLICY: Mapping[Circle, tuple[str, ...]] = MappingProxyType({
    Circle.EVERYBODY: (
        *("GET /login", "POST /login", "GET /login/forgot", "POST /login/forgot"),
        *("POST /api/auth/login", "POST /api/auth/forgot", "GET /api/health", "GET /health", "GET /ready"),
    ),
    Circle.PROOF: (
        *("* /login/reset/{token}", "POST /api/auth/reset", "* /unsubscribe/{token}", "GET /metrics"),
        *("POST /api/email/webhook/*", "POST /webhooks/email_receive", "* /api/*/webhook/{provider_id}"),
        *("GET /servers/oauth/callback", "POST /account/password", "POST /api/auth/password"),
    ),
    Circle.PERSON: (
        *("POST /api/auth/logout", "POST /api/auth/tokens", "GET /api/auth/sessions", "DELETE /api/auth/sessions"),
    ),
    Circle.LOGGED_IN: (
        *("GET /", "POST /news/read", "POST /logout", "GET /account", "POST /account/name", "POST /account/tokens"),
        *("POST /account/sessions/end", "GET /openapi.json", "GET /docs", "GET /api/auth/me", "GET /api/auth/tokens"),
        *("GET /records/{model}", "GET /api/records/{model}", "POST /api/records/{model}/query"),
        *("POST /api/records/{model}/aggregate", "GET /api/models", "GET /api/models/{model}"),
        *("POST /api/email/signatures/*", "OPTIONS /api/files/uploads*"),
        *("POST /api/core/mail/pull", "POST /api/core/mail/push", "POST /api/core/mail/sync"),
        *("POST /api/core/mail/pull/", "POST /api/core/mail/push/", "POST /api/core/mail/sync/"),
    ),
    Circle.NOBODY: ("POST /api/records/{model}/call/{method}",),
    Circle.PROGRAM: ("GET /api/core/mail/*",),
    Circle.OWN: (
        *("POST /account/tokens/{token_id}/revoke", "POST /account/sessions/{session_id}/end"),
        *("DELETE /api/auth/tokens/{token_id}", "DELETE /api/auth/sessions/{session_id}"),
        *("POST /api/email/signature/{signature_id}/*", "* /api/files/uploads/{uuid}"),
        "POST /api/core/mail/*/{account}",  # Their team's.
    ),
    Circle.ADMIN: (
        *("* /outbox/suspend", "* /outbox/resume", "PUT /api/queue/suspension", "DELETE /api/queue/suspension"),
        *("* /inbound*", "* /api/inbound/*", "* /routes*", "* /api/routes/*", "* /cron*", "* /api/cron/*"),
        *("* /servers*", "* /dev/mail*", "* /api/dev/mail*", "GET /audit", "GET /api/audit", "GET /api/access/explain"),
        *("* /webhooks*", "* /api/webhooks/*", "POST /templates/{identifier}/history"),
        *("POST /suppression/*", "POST /api/suppression", "DELETE /api/suppression/{entry_id}"),
        *("POST /api/suppression/import", "POST /api/queue/steer"),
        *("POST /messages/{message_id}/{action}", "POST /api/queue/messages/{message_id}/{action}"),
        *("DELETE /api/records/{model}/{record_id}", "POST /api/records/{model}/{record_id}/call/{method}"),
    ),
    Circle.OURS: (
        *("* /records/{model}/{record_id}*", "* /messages/{message_id}*", "GET /attachments/{attachment_id}"),
        *("* /api/records/{model}/{record_id}*", "* /api/queue/messages/{message_id}*", "GET /api/live"),
        *("* /api/table/{tid}/record/{rid}/*", "* /api/files/{uuid}*", "POST /api/files", "POST /api/email/send"),
        *("POST /api/email/recordContext", "* /api/campaigns/{campaign_id}*"),
        *("POST /api/mailing-lists/{list_id}/subscribers", "* /addons/mass_mailing/campaign"),
    ),
    Circle.INSIDE: (
        *("GET /templates/{identifier}/history", "GET /outbox", "GET /suppression*", "GET /api/suppression*"),
        "POST /api/suppression/check",
        *("GET /api/email/queue/stats", "GET /api/queue/*", "POST /api/email/smtpOptions"),
        *("POST /api/records/{model}", "POST /api/records/{model}/bulk"),
        *("GET /addons/*", "GET /api/invoicing/overdue", "POST /api/files/uploads"),
        *("GET /api/campaigns", "POST /api/campaigns"),
    ),
})  # fmt: skip


def circle_of(method: str, path: str) -> Circle | None:
    """Return whom a path lets in; None where the table says nothing of it."""
    name = f"{method} {path}"
    fitting = (circle for circle, lines in POLICY.items() for line in lines if _fits(name, line))
    return next(fitting, None)


def _fits(name: str, line: str) -> bool:
    method, _, path = line.partition(" ")
    return fnmatchcase(name, f"{method} " + path.replace("[", "[[]"))
