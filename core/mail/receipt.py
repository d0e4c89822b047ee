"""Read receipts: message disposition notifications (RFC 8098), and what Outlook and Notes send in their place.

It believes nothing. A receipt says that a program showed a mail, or that it was deleted unread; not that somebody
understood it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.mail.address import normalised, tolerant_addresses
from core.mail.original import original_in
from core.mail.parse import parse
from core.mail.thread import ids_in
from core.mail.values import IncomingEmail
from core.pattern import pattern

_TYPES = frozenset({"message/disposition-notification", "message/global-disposition-notification"})
_PART_BYTES = 64 * 1024
_TEXT_CHARS = 4000
_SUBJECT = pattern(
    r"(?P<deleted>not read|ungelesen|nicht gelesen|non lu|no le[ií]do|non letto|n[aã]o lid[oa]|niet gelezen"
    r"|nieprzeczytane|не прочитано|未読|未读)\s?[:：]"
    r"|(?:read|gelesen|lue?|le[ií]do|letto|lid[oa]|gelezen|przeczytane|przeczytano|läst|lest|læst|прочитано|прочтено"
    r"|開封済み|已读|已讀"
    r"|return receipt(?: \(displayed\))?|read receipt|lesebestätigung|accusé de réception(?: \(affiché\))?"
    r"|ricevuta di ritorno|confirmación de lectura|potwierdzenie przeczytania)\s?(?:[:：]|-|$)"
)
_WORDS = pattern(
    r"(?:your (?:message|document)|this is a (?:return |read )?receipt).{0,400}(?:was read|has been read"
    r"|was (?:displayed|opened)|was deleted|been displayed|received by|message (?:was|has been) displayed)"
    r"|(?:ihre nachricht|das ist eine empfangsbestätigung|lesebestätigung).{0,400}(?:gelesen|angezeigt|gelöscht)"
    r"|votre message.{0,400}(?:a été lu|affiché|supprimé)|el mensaje.{0,400}(?:le[ií]do|mostrado)"
    r"|il messaggio.{0,400}(?:letto|visualizzat)|het bericht.{0,400}(?:gelezen|weergegeven)"
    r"|sua mensagem.{0,400}(?:lida|exibid)|twoj\w wiadomo.{0,400}(?:przeczytan|wyświetl)|сообщени.{0,400}(?:прочитан"
    r"|показан|просмотрен)|開封|已阅读|已被阅读"
)
_REFUSED = pattern(r"\b(?:message|mail) to <?\S{1,255}>? was (?:automatically )?(?:rejected|refused)")
"""What a server's filter says in the form of a receipt (RFC 5429 section 2.1.2), Dovecot of a full mailbox too."""


class Disposition(StrEnum):
    """What became of a mail at its reader's (RFC 8098 section 3.2.6)."""

    DISPLAYED = "displayed"
    DELETED = "deleted"
    OTHER = "other"
    """Dispatched, processed, denied, failed: it says nothing of reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A read receipt: of which mail, by whom (normalised), and what was done with it."""

    disposition: Disposition
    recipients: tuple[str, ...]
    original_message_ids: tuple[str, ...]


def read_receipt(email: IncomingEmail) -> Receipt | None:
    """Return what a read receipt says, or None where the mail is none."""
    part = next((file.content for file in email.files if file.content_type in _TYPES), None)
    if part is None and "disposition-notification" not in (email.header("Content-Type") or "").lower():
        return _without_form(email)
    fields = parse((part or b"")[:_PART_BYTES].lstrip() + b"\n\n")
    named = [fields.header(name) or "" for name in ("Original-Recipient", "Final-Recipient")]
    original = original_in(email, "")
    ids = (*ids_in(fields.header("Original-Message-ID") or ""), original.message_id or "", *email.in_reply_to)
    word = (fields.header("Disposition") or "").rpartition(";")[2].strip().lower()
    if word.startswith("deleted") and _REFUSED.search((email.text or "")[:_TEXT_CHARS].lower()):
        return None
    return Receipt(
        disposition=_disposition(word or ("displayed" if part is None else "")),
        recipients=_addresses(email, [value.rpartition(";")[2] for value in named]),
        original_message_ids=tuple(dict.fromkeys(filter(None, (*ids, *reversed(email.references[-5:]))))),
    )


def _without_form(email: IncomingEmail) -> Receipt | None:
    """Read one that only its subject and words make a receipt; a person who writes `Read: ...` sends none."""
    subject = _SUBJECT.match(" ".join(email.subject[:200].lower().split()))
    refers = (*email.in_reply_to, *reversed(email.references[-5:]))
    if subject is None or not refers:
        return None
    words = " ".join((email.text or "")[:_TEXT_CHARS].lower().split())
    if not _WORDS.match(words) and not ("ms-tnef" in " ".join(file.content_type for file in email.files) and not words):
        return None
    return Receipt(
        disposition=Disposition.DELETED if subject["deleted"] else Disposition.DISPLAYED,
        recipients=_addresses(email, []),
        original_message_ids=tuple(dict.fromkeys(refers)),
    )


def _disposition(word: str) -> Disposition:
    kind = word.partition("/")[0].strip()
    if kind in ("displayed", "read", "manual-action"):
        return Disposition.DISPLAYED
    return Disposition.DELETED if kind == "deleted" else Disposition.OTHER


def _addresses(email: IncomingEmail, named: list[str]) -> tuple[str, ...]:
    found = [normalised(box.address) for value in named for box in tolerant_addresses(value)]
    if email.sender:
        found.append(normalised(email.sender.address))
    return tuple(dict.fromkeys(found))
