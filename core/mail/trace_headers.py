"""Whom a mail was delivered for, by what servers wrote on its way: all that is left of the envelope.

What stands there is a hint and no proof: a sender can write such lines too, just as any To. Pure; header names as in
Postfix, Exim, qmail, Dovecot, Exchange, Gmail and cPanel, and the `for` of Received (RFC 5321, section 4.4).
"""

from __future__ import annotations

from core.mail.address import normalised, tolerant_addresses
from core.mail.values import IncomingEmail
from core.pattern import pattern

_NAMES = frozenset({
    *("x-envelope-to", "x-rcpt-to", "x-delivered-to", "x-forwarded-to", "x-gm-original-to", "x-original-recipient"),
    *("x-resolved-to", "x-real-to", "apparently-to", "resent-bcc"),
})  # fmt: skip
_FOR = pattern(r"\sfor\s{1,20}<([^<>\s]{1,320})>")
_MOST = 50
_RECEIVED_CHARS = 4000


def envelope_of(email: IncomingEmail) -> tuple[str, ...]:
    """Return further addresses that the mail was delivered for, each once, which `recipients` does not name."""
    named = {normalised(mailbox.address) for mailbox in email.recipients}
    found: dict[str, str] = {}
    for name, value in email.headers:
        lowered = name.lower()
        if lowered in _NAMES:
            texts = [
                mailbox.address
                for mailbox in tolerant_addresses(
                    value.rpartition(";")[2] if lowered == "x-original-recipient" else value
                )
            ]
        elif lowered == "received":
            texts = [
                mailbox.address for one in _FOR.findall(value[:_RECEIVED_CHARS]) for mailbox in tolerant_addresses(one)
            ]
        else:
            continue
        for text in texts:
            if normalised(text) not in named and len(found) < _MOST:
                found.setdefault(normalised(text), text)
    return tuple(found.values())


def repeated_delivery(email: IncomingEmail) -> tuple[str, ...]:
    """Return the addresses, normalised, that it was delivered to more than once, with servers passed in between.

    Two programs of one server may both write the line; those stand together and count once.
    """
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    together: set[str] = set()
    for name, value in email.headers:
        lowered = name.lower()
        if lowered == "received":
            seen |= together
            together = set()
        elif lowered == "delivered-to":
            address = normalised(value.strip("<> "))
            if address in seen:
                repeated[address] = None
            together.add(address)
    return tuple(repeated)
