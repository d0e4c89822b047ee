"""Delivery status notifications (RFC 3464, in the multipart/report of RFC 6522) into what they say.

Beside the standard form it reads those of qmail (QSBMF) and of Exim, which are written down; a mail that merely looks
like a refusal gives nothing. It does not judge whether the report is genuine: who acts on it matches it to a delivery
of ours first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.mail.address import tolerant_addresses
from core.mail.parse import parse
from core.mail.values import Bounce, BouncedRecipient, File, IncomingEmail

_STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_ORIGINAL_TYPES = frozenset({"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"})
_ACTIONS = frozenset({"failed", "delayed", "delivered", "relayed", "expanded"})
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_STATUS_IN_TEXT = re.compile(r"(?<![\d.])[45]\.\d{1,3}\.\d{1,3}(?![\d.])")
_QMAIL = "Hi. This is the "
_QMAIL_RECIPIENT = re.compile(r"^<([^<>\s]{3,320})>:\n(.+)", re.DOTALL)
_COPIED_ID = re.compile(r"^message-id:[ \t]*(<[^<>\s]{1,900}>)", re.IGNORECASE | re.MULTILINE)
_BLANK_LINES = re.compile(rb"\n(?:[ \t]*\n)+")
_HEAD_BYTES = 64 * 1024
_DIAGNOSTIC_CHARS = 1000

# RFC 3463: no such mailbox, domain or host. A full mailbox, a policy or a content filter says nothing of the address.
_HARD = re.compile(r"5\.(?:0\.0|1\.[12346]|1\.10|2\.1|4\.[14]|4\.310)")


def read_bounce(email: IncomingEmail) -> Bounce | None:
    """Return what a delivery report says of its recipients, or None where the mail is no such report."""
    report = next((file for file in email.files if file.content_type in _STATUS_TYPES), None)
    if report is None:
        return _in_free_form(email)
    about, *others = _blocks(report.content) or [IncomingEmail()]
    found = [recipient for block in (about, *others) if (recipient := _recipient(block)) is not None]
    if not found:
        return None
    return Bounce(
        recipients=tuple(found),
        original_message_id=next((id_ for file in email.files if (id_ := _original_id(file))), None),
        envelope_id=_text(about, "Original-Envelope-Id") or None,
        reporting_mta=_typed(about, "Reporting-MTA") or None,
    )


def _blocks(content: bytes) -> list[IncomingEmail]:
    normal = content.replace(b"\r\n", b"\n").strip(b"\n")
    return [parse(block + b"\n\n") for block in _BLANK_LINES.split(normal) if block.strip()]


def _recipient(block: IncomingEmail) -> BouncedRecipient | None:
    final, original = _address(block, "Final-Recipient"), _address(block, "Original-Recipient")
    action = _text(block, "Action").lower()
    if action not in _ACTIONS or not (final or original):
        return None
    code = _STATUS.search(_text(block, "Status"))
    status = code[0] if code else None
    return BouncedRecipient(
        address=final or original or "",
        action=action,
        status=status,
        diagnostic=_typed(block, "Diagnostic-Code")[:_DIAGNOSTIC_CHARS],
        hard=action == "failed" and status is not None and _HARD.fullmatch(status) is not None,
        original_address=original,
    )


def _address(block: IncomingEmail, name: str) -> str | None:
    return next((mailbox.address for mailbox in tolerant_addresses(_typed(block, name))), None)


def _typed(block: IncomingEmail, name: str) -> str:
    """Return what stands after the type of `type; value`."""
    kind, semicolon, value = _text(block, name).partition(";")
    return (value if semicolon else kind).strip()


def _text(block: IncomingEmail, name: str) -> str:
    return (block.header(name) or "").strip()


def _original_id(file: File) -> str | None:
    return parse(file.content[:_HEAD_BYTES]).message_id if file.content_type in _ORIGINAL_TYPES else None


def _in_free_form(email: IncomingEmail) -> Bounce | None:
    text = (email.text or "")[:_HEAD_BYTES]
    told = list(_told_by_qmail(text) if text.startswith(_QMAIL) else _told_by_exim(email, text))
    if not told:
        return None
    copied = _COPIED_ID.search(text)
    attached = next((id_ for file in email.files if (id_ := _original_id(file))), None)
    return Bounce(
        recipients=tuple(_refused(address, words) for address, words in told),
        original_message_id=copied[1] if copied else attached,
        envelope_id=None,
        reporting_mta=None,
    )


def _told_by_qmail(text: str) -> Iterator[tuple[str, str]]:
    """Yield each recipient with what is said of it: paragraphs of `<address>:` and words, up to the copy."""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("--"):
            return
        if told := _QMAIL_RECIPIENT.match(paragraph):
            yield told[1], told[2]


def _told_by_exim(email: IncomingEmail, text: str) -> Iterator[tuple[str, str]]:
    for mailbox in tolerant_addresses(email.header("X-Failed-Recipients") or ""):
        yield mailbox.address, text.partition(f"{mailbox.address}\n")[2].partition("\n\n")[0]


def _refused(address: str, words: str) -> BouncedRecipient:
    code = _STATUS_IN_TEXT.search(words)
    status = code[0] if code else None
    return BouncedRecipient(
        address=address,
        action="failed",
        status=status,
        diagnostic=" ".join(words.split())[:_DIAGNOSTIC_CHARS],
        hard=status is not None and _HARD.fullmatch(status) is not None,
    )
