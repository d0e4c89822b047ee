"""What a mail is called in the spool after where it was fetched from: its delivery identity (DELIVERY C8)."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

_NAME_CHARS = 150
_DIGEST_CHARS = 32


def imap_source(server: Any, folder: str, uid_validity: int, uid: int) -> str:
    """Return `imap:<mailbox>:<folder>:<UIDVALIDITY>:<UID>`, a long folder name hashed."""
    return f"imap:{_mailbox(server)}:{_short(folder)}:{uid_validity}:{uid}"


def pop3_source(server: Any, uid: str, digest: str) -> str:
    """Return `pop3:<mailbox>:<UIDL>:<digest>`; the digest, since servers use a UIDL again for another mail.

    Where the server gives none, the content is all that tells mails apart.
    """
    return f"pop3:{_mailbox(server)}:{_short(uid)}:{digest[:_DIGEST_CHARS]}"


def _mailbox(server: Any) -> str:
    return f"{server.id}.{server.mailbox_number}" if server.mailbox_number else str(server.id)


def _short(name: str) -> str:
    return name if len(name) <= _NAME_CHARS else sha256(name.encode()).hexdigest()
