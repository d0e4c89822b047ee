"""The headers that a mail carries only where it asks for them: importance, mailing list, complaints, automatic answers.

Each is written from a field of its own, and is checked here. RFC 2156 for Importance and Priority, RFC 2369 and 8058
for List-Unsubscribe, RFC 2919 for List-Id, RFC 3834 section 5 for Auto-Submitted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from core.errors import AddressError, UserError
from core.mail.address import encoded_words, envelope_address, header_text
from core.mail.values import OutgoingEmail
from core.pattern import pattern

ONLY_ONCE = frozenset({
    *("importance", "priority", "x-priority", "list-unsubscribe", "list-unsubscribe-post", "list-id", "feedback-id"),
    *("auto-submitted", "x-auto-response-suppress"),
})  # fmt: skip
"""The names, in lower case, of all headers that are made here; a mail has none of them twice."""

_IMPORTANCE = {
    "": (),
    "high": (("X-Priority", "1 (Highest)"), ("Importance", "high"), ("Priority", "urgent")),
    "low": (("X-Priority", "5 (Lowest)"), ("Importance", "low"), ("Priority", "non-urgent")),
}
_AUTOMATIC = ("auto-generated", "auto-replied")
_SUPPRESSED = "DR, RN, NRN, OOF, AutoReply"
"""What Exchange shall not answer with: all that it knows but NDR, since the bounces are wanted."""

# RFC 2369 section 2: the brackets end a link and a comma ends an entry, so neither may stand inside one.
_LINK = pattern(r"https?://[!#-+\--;=?-\[\]_a-z~]{1,900}", re.IGNORECASE | re.ASCII)
_LIST_ID = pattern(r"(?:([^<>]*)<)?([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+)(>)?")
_FEEDBACK_ID = pattern(r"[!-9;-~]{0,100}(?::[!-9;-~]{0,100}){0,2}:[!-9;-~]{1,100}|[!-9;-~]{1,100}")


def optional_headers(email: OutgoingEmail) -> list[tuple[str, str]]:
    """Return the headers that the email's fields ask for, in order, each value as it goes to the wire.

    Raises UserError for a word that is none of its field's, AddressError for what may not stand in a header.
    """
    headers: list[tuple[str, str]] = []
    if email.importance:
        headers += importance_headers(email.importance)
    if email.list_id:
        headers += _list_id(email.list_id)
    if email.unsubscribe_url or email.unsubscribe_mailto:
        headers += _unsubscribe(email)
    if email.feedback_id:
        headers += _feedback_id(email.feedback_id)
    if email.auto_submitted:
        headers += _auto_submitted(email.auto_submitted)
    return headers


def importance_headers(importance: str) -> tuple[tuple[str, str], ...]:
    """Return the headers that say how important a mail is, none for the empty word; UserError for an unknown one."""
    if importance not in _IMPORTANCE:
        raise UserError(f'The importance of a mail is "high", "low" or empty, not {importance!r}.')
    return _IMPORTANCE[importance]


def _list_id(list_id: str) -> Iterator[tuple[str, str]]:
    match = _LIST_ID.fullmatch(header_text(list_id).strip())
    if match is None or (match[1] is None) != (match[3] is None) or len(match[2]) > 255:
        raise AddressError(f"{list_id!r} is no List-Id; write it as news.example.com, or Our news <news.example.com>.")
    name = " ".join((match[1] or "").split()).strip('"')
    if not name:
        yield "List-Id", f"<{match[2]}>"
    elif name.replace(" ", "").isalnum() and name.isascii():
        yield "List-Id", f"{name} <{match[2]}>"
    else:
        yield "List-Id", f"{' '.join(encoded_words(name))} <{match[2]}>"


def _unsubscribe(email: OutgoingEmail) -> Iterator[tuple[str, str]]:
    ways = []
    if email.unsubscribe_url:
        if _LINK.fullmatch(email.unsubscribe_url) is None:
            raise AddressError(
                f"{email.unsubscribe_url[:100]!r} cannot stand in List-Unsubscribe; write an http or https address, "
                "with all but plain ASCII, and commas too, percent-encoded."
            )
        ways.append(f"<{email.unsubscribe_url}>")
    if email.unsubscribe_mailto:
        ways.append(f"<mailto:{quote(envelope_address(email.unsubscribe_mailto), safe='@+.=_~-')}>")
    yield "List-Unsubscribe", ", ".join(ways)
    if email.unsubscribe_url[:8].lower() == "https://":
        yield "List-Unsubscribe-Post", "List-Unsubscribe=One-Click"


def _feedback_id(feedback_id: str) -> Iterator[tuple[str, str]]:
    if _FEEDBACK_ID.fullmatch(feedback_id) is None:
        raise AddressError(f"{feedback_id!r} is no Feedback-ID; write up to four words with colons between them.")
    yield "Feedback-ID", feedback_id


def _auto_submitted(kind: str) -> Iterator[tuple[str, str]]:
    if kind not in _AUTOMATIC:
        raise UserError(f"A mail is {' or '.join(_AUTOMATIC)}, or was written by a person; {kind!r} says neither.")
    yield "Auto-Submitted", kind
    yield "X-Auto-Response-Suppress", _SUPPRESSED
