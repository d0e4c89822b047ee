"""One header line of an outgoing mail: checked, encoded where it must be, and broken so that no word of it is cut.

It knows no header by name and keeps no order. RFC 5322 section 2.2.3 for folding, RFC 2047 for words beyond ASCII.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from functools import lru_cache

from core.errors import AddressError, UserError
from core.mail.address import encoded_words, format_mailbox, has_encoded_word, header_text
from core.mail.thread import checked_id
from core.mail.values import Mailbox

_LINE_CHARS = 76
_LONGEST_WORD_CHARS = 900
LONGEST_LINE_BYTES = 998

_REMEMBERED = 1024
"""So many lines are kept, since the mails of a campaign share their From, Subject and Date."""


def mailboxes_line(name: str, mailboxes: tuple[Mailbox, ...]) -> str:
    """Write an address header; AddressError for a name or an address that may not stand in one."""
    if len(mailboxes) == 1 and not mailboxes[0].name:
        # A recipient, as a rule: each has one mail of a campaign.
        return folded(name, format_mailbox(mailboxes[0]))
    return _mailboxes_line(name, mailboxes)


@lru_cache(_REMEMBERED)
def _mailboxes_line(name: str, mailboxes: tuple[Mailbox, ...]) -> str:
    return folded(name, ", ".join(map(format_mailbox, mailboxes)))


def ids_line(name: str, identifiers: Iterable[str]) -> str:
    """Write a header of Message-IDs; AddressError for what is none."""
    return folded(name, " ".join(map(checked_id, identifiers)))


def date_line(name: str, at: datetime) -> str:
    """Write a header of a time; UserError where it has no zone."""
    offset = at.utcoffset()
    if offset is None:
        raise UserError("The date of an e-mail needs a time zone; pass an aware datetime.")
    # Two zones' names of one moment are equal as times, and yet not the same line.
    return _date_line(name, at, offset)


@lru_cache(_REMEMBERED)
def _date_line(name: str, at: datetime, offset: timedelta) -> str:
    return f"{name}: {format_datetime(at.replace(tzinfo=timezone(offset)))}\r\n"


@lru_cache(_REMEMBERED)
def text_line(name: str, value: str) -> str:
    """Write an unstructured header; AddressError for characters that no header may hold."""
    value = header_text(value).strip()
    if _goes_as_it_is(value):
        return folded(name, value)
    return folded(name, " ".join(encoded_words(value)))


def folded(name: str, value: str) -> str:
    """Write one header, broken at spaces only, so that an identifier, an address, a link or a word stays whole."""
    if len(name) + 2 + len(value) <= _LINE_CHARS:
        return f"{name}: {value}\r\n"
    lines = []
    line = f"{name}:"
    for word in value.split(" "):
        if len(line) + 1 + len(word) > _LINE_CHARS and line != f"{name}:":
            lines.append(line)
            line = ""
        line += " " + word
    lines.append(line)
    if max(len(line.encode("utf-8")) for line in lines) > LONGEST_LINE_BYTES:
        raise AddressError(f"The header {name} has a word that is too long for a line; shorten it.")
    return "\r\n".join(lines) + "\r\n"


def _goes_as_it_is(value: str) -> bool:
    if not value.isascii() or has_encoded_word(value):
        return False
    if len(value) < _LINE_CHARS - 20:
        return True
    # Folding must give back the very same spaces, and no line can be cut inside a word.
    words = value.split(" ")
    return "" not in words and "\t" not in value and max(map(len, words)) <= _LONGEST_WORD_CHARS
