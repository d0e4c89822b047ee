"""Which of our messages a mail is about that a program wrote: a report, a receipt, the answer of somebody who is away.

It only reads. A signed address leads there for certain; a token or a Message-ID only where the mail says so itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.gateway.lookup import Lookup, message_ids_of
from core.gateway.values import KnownMessage, Received
from core.mail.return_path import Origin


@dataclass(frozen=True, slots=True)
class About:
    """The message, in words how it was found, and what proves it, if anything does."""

    message: KnownMessage
    how: str
    origin: Origin | None = None


def about(email: Received, lookup: Lookup) -> About | None:
    """Return the message that went out from here which the mail is about, or None."""
    for origin in lookup.origins(email):
        if message := lookup.by_row_id(origin.message_id):
            return About(message, f"a signed return path leads to {message.record}", origin)
    by_token = lookup.by_token((*lookup.bounce_tokens(email), *lookup.reply_tokens(email)))
    found = by_token or lookup.by_message_id(email.told_ids or message_ids_of(email))
    if found is None or found.direction != "Outbound":
        return None
    how = "its recipient's token" if by_token else f"the Message-ID {found.message_id}"
    return About(found, f"{how} leads to {found.record}; nothing proves it")
