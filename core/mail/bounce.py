"""Delivery reports, standard (RFC 3464 in the multipart/report of RFC 6522) or written for people, into what they say.

A report without the standard form is believed to be one only where a mail system wrote it and it speaks of failure: a
person's words about a bounce, or a bounce passed on, give nothing. It does not judge whether a report is genuine: who
acts on it matches it to a delivery of ours first.
"""

from __future__ import annotations

import re
from dataclasses import replace

from core.mail.address import normalised, tolerant_addresses
from core.mail.body import html_to_text
from core.mail.bounce_cause import Cause, cause_of, is_hard, is_refusal, status_in
from core.mail.bounce_report import DIAGNOSTIC_CHARS, Fields, has_fields, read_fields, recipients_of
from core.mail.bounce_signs import (
    ANSWERED,
    DELAYED,
    DELIVERED,
    MAYBE_SENDERS,
    NAMES,
    NOT_DELIVERED,
    OF_MAIL,
    OF_PROGRAM,
    SENDERS,
)
from core.mail.bounce_text import TEXT_CHARS, Known, Told, all_words, told_in
from core.mail.original import STATUS_TYPES, Original, before_original, original_in
from core.mail.parse import parse
from core.mail.thread import alias_of
from core.mail.values import Bounce, BouncedRecipient, File, IncomingEmail
from core.pattern import pattern

_HTML_CHARS = 100_000
_FILE_BYTES = 64 * 1024
_COMMON_TYPES = frozenset({"text/plain", "application/octet-stream"})
_REFUSAL_LINES = 60
_PROGRAM_CHARS = 3000
_LINE_CHARS = 400
_CERTAIN = 3
"""Signs of a mail system, added up, that need no second look."""
_VERP = pattern(r"([^\s+=@]{1,64})=((?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24})@", re.IGNORECASE)
"""`list-bounces+ada=customer.example@...`: the recipient as mailing lists write it into their return path."""


def read_bounce(email: IncomingEmail, *, is_wrapped: bool = False) -> Bounce | None:
    """Return what a delivery report says of its recipients, or None where the mail is no such report.

    A report of a report is read once: `is_wrapped` says that this is the inner one.
    """
    signs = system_signs(email)
    if not signs and not _is_titled(email):
        return None
    text = _text(email)
    is_plain = not signs or (signs < _CERTAIN and _is_own_return(email))
    if is_plain and (email.header("List-Unsubscribe") or not _is_by_program(text)):
        return None
    fields = _fields(email, signs, text)
    original = original_in(email, text)
    told = recipients_of(fields, original.recipients)
    if told:
        told = [_explained(one, text, original) for one in told]
    else:
        # Exim gives the file or the program of a local delivery there, and the address in a field of its own.
        is_elsewhere = fields.groups and not email.header("X-Failed-Recipients")
        if is_elsewhere or not _speaks_of_failure(email, signs, text, original):
            return None
        is_doubtful = signs < _CERTAIN or (signs == _CERTAIN and not _is_titled(email))
        told = _told_to_people(email, text, original, only_strong=is_doubtful)
        inner = None if told or is_wrapped else _wrapped(email)
        if not told and (inner or is_doubtful):
            return inner
    return Bounce(
        recipients=tuple(told),
        original_message_id=original.message_id or fields.about.get("x-original-message-id"),
        envelope_id=fields.about.get("original-envelope-id") or None,
        reporting_mta=fields.about.get("reporting-mta", "").rpartition(";")[2].strip() or None,
        original_return_path=original.return_path,
        original_subject=original.subject,
    )


def _fields(email: IncomingEmail, signs: int, text: str) -> Fields:
    """Return the report in the standard form, from the part that is one or, of a mail system's mail, from its text."""
    reports = [file.content for file in email.files if file.content_type in STATUS_TYPES] if signs else []
    reports = reports or [file.content for file in email.files if signs and _is_renamed(file)]
    if reports:
        return read_fields(b"\n\n".join(reports))
    return read_fields(text) if signs and has_fields(text) else Fields({}, ())


def _is_renamed(file: File) -> bool:
    """Tell whether a file is a report that a gateway passed on under a common type, such as `ATT00001.txt`."""
    return file.content_type in _COMMON_TYPES and has_fields(file.content[:_FILE_BYTES].decode("latin-1"))


def _wrapped(email: IncomingEmail) -> Bounce | None:
    """Return what the standard report says that a gateway attached to a report of its own."""
    for file in email.files:
        if file.content_type == "message/rfc822" and _is_report(inner := parse(file.content)):
            return read_bounce(inner, is_wrapped=True)
    return None


def system_signs(email: IncomingEmail) -> int:
    """Return how much speaks for a mail system as the writer, from its header alone; 0 where nothing does."""
    sender = email.sender
    local = alias_of(sender.address)[0] if sender else ""
    name = (sender.name if sender else email.header("From") or "").lower()
    path = alias_of(email.return_path)[0] if email.return_path else email.return_path
    signs = 4 if email.header("X-Failed-Recipients") else 0
    signs += 3 if path == "" or (path and SENDERS.fullmatch(path) is not None and "daemon" in path) else 0
    signs += 3 if _is_report(email) else 0
    signs += 3 if local and SENDERS.fullmatch(local) else 0
    signs = signs or (1 if local and MAYBE_SENDERS.fullmatch(local) else 0)
    signs += 2 if NAMES.search(name) or not local else 0
    return signs


def _is_report(email: IncomingEmail) -> bool:
    kind = (email.header("Content-Type") or "").lower()
    return "multipart/report" in kind and "disposition-notification" not in kind and "feedback-report" not in kind


def _is_own_return(email: IncomingEmail) -> bool:
    """Tell whether failures of the mail would come back to its writer, as persons have it and reports should not."""
    path, sender = email.return_path, email.sender
    return bool(path and sender and normalised(path) == normalised(sender.address))


def _is_titled(email: IncomingEmail) -> bool:
    """Tell whether the subject is a report's, and no answer to one: gateways sign with whatever address they have."""
    subject = email.subject.lower()[:1000]
    return NOT_DELIVERED.search(subject) is not None and ANSWERED.match(subject.strip()) is None


def _is_by_program(text: str) -> bool:
    """Tell whether a text speaks as programs do, or gives a mail back with the header lines that servers write."""
    return OF_PROGRAM.search(text[:_PROGRAM_CHARS].lower()) is not None or before_original(text, marks=False) != text


def _speaks_of_failure(email: IncomingEmail, signs: int, text: str, original: Original) -> bool:
    """Tell whether subject or text say so: both, where a person may have written them, or a program that is away."""
    if email.header("X-Failed-Recipients"):
        return True
    lines = [line for line in text[:TEXT_CHARS].lower().splitlines() if not line.startswith("> ")]
    by_reply = any(is_refusal(line[:_LINE_CHARS]) for line in lines[:_REFUSAL_LINES])
    told = [line for line in (email.subject.lower(), *lines) if NOT_DELIVERED.search(line)]
    is_titled = _is_titled(email)
    if signs > _CERTAIN or (signs == _CERTAIN and email.return_path != ""):
        return is_titled or ((by_reply or bool(told)) and (not _is_own_return(email) or _is_by_program(text)))
    if email.return_path == "" and _gives_back(email, original):
        return by_reply or bool(told)
    return is_titled and (by_reply or any(OF_MAIL.search(line) for line in told)) and (len(told) > 1 or by_reply)


def _gives_back(email: IncomingEmail, original: Original) -> bool:
    """Tell whether a whole mail is attached to go back to whoever wrote it."""
    to = {normalised(mailbox.address) for mailbox in email.recipients}
    is_attached = any(file.content_type == "message/rfc822" for file in email.files)
    return is_attached and not to.isdisjoint(normalised(one) for one in (original.sender, original.return_path) if one)


def _text(email: IncomingEmail) -> str:
    if email.text and email.text.strip():
        return email.text[: 4 * TEXT_CHARS]
    return html_to_text((email.html or "")[:_HTML_CHARS])


def _explained(one: BouncedRecipient, text: str, original: Original) -> BouncedRecipient:
    """Return a fate with the cause that only the words for people tell, where the fields tell none."""
    if one.action != "failed" or one.cause != Cause.UNKNOWN:
        return one
    said = before_original(text)
    names = frozenset({normalised(one.address), normalised(one.original_address or one.address)})
    found = next(iter(told_in(said, Known(hints=names))), None)
    words = found.words if found else all_words(said)
    cause = cause_of(one.status, words)
    return replace(one, cause=cause.value, hard=is_hard(one.action, one.status, cause, one.diagnostic or words))


def _told_to_people(
    email: IncomingEmail, text: str, original: Original, *, only_strong: bool
) -> list[BouncedRecipient]:
    said = before_original(text)
    known = _known(email, original)
    named = [mailbox.address for mailbox in tolerant_addresses(", ".join(email.headers_named("X-Failed-Recipients")))]
    if named:
        names = frozenset(map(normalised, named))
        by_name = {normalised(one.address): one for one in told_in(said, Known(hints=names))}
        told = [by_name.get(normalised(name)) or Told(name, "") for name in named]
    else:
        words = f"{email.subject}\n\n{said}"
        more = f"{email.subject}\n\n{before_original(text, marks=False)}"
        told = (
            told_in(words, known, only_strong=only_strong)
            or told_in(more, known, only_strong=only_strong)
            or _only_one(original, known)
            or (told_in(more, replace(known, others=frozenset()), only_strong=True) if _is_titled(email) else [])
        )
    action = _action(email, said)
    return [_failed(one, action, said) for one in told]


def _known(email: IncomingEmail, original: Original) -> Known:
    """Return who may have failed, and who did not: whoever reports, and whoever wrote the mail that came back."""
    to = {normalised(mailbox.address) for mailbox in email.recipients}
    reporter = {normalised(email.sender.address)} if email.sender else set()
    senders = {normalised(one) for one in (original.sender, original.return_path) if one}
    failed = frozenset(original.recipients) - to
    hints = {f"{name}@{domain}".lower() for one in to for name, domain in _VERP.findall(one)}
    return Known(failed, frozenset((to | senders | reporter) - failed), frozenset(hints))


def _only_one(original: Original, known: Known) -> list[Told]:
    """Return the one that the mail went to, where it went to one alone."""
    if original.last_recipient and original.last_recipient not in known.others:
        return [Told(original.last_recipient, "")]
    return [Told(one, "") for one in known.recipients] if len(known.recipients) == 1 else []


def _action(email: IncomingEmail, said: str) -> str:
    subject, text = email.subject.lower(), said[:TEXT_CHARS].lower()
    if DELIVERED.search(subject) or DELIVERED.search(text[:_PROGRAM_CHARS]):
        return "delivered"
    return "delayed" if DELAYED.search(f"{subject}\n{text}") else "failed"


def _failed(one: Told, action: str, said: str) -> BouncedRecipient:
    status, words = status_in(one.words), one.words
    cause = cause_of(status, words)
    if cause is Cause.UNKNOWN:
        words = all_words(said) or " ".join(said[:2000].split())
        status = status or status_in(words)
        cause = cause_of(status, words)
    if action == "delayed" and cause is Cause.EXPIRED:
        cause = Cause.UNKNOWN
    return BouncedRecipient(
        address=one.address,
        action=action,
        status=status,
        diagnostic=(one.words or words)[:DIAGNOSTIC_CHARS],
        hard=is_hard(action, status, cause, words),
        cause=cause.value,
    )
