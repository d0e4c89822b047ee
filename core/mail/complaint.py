"""Feedback reports: somebody pressed "spam", or a receiver tells of mail that claims to come from us.

The Abuse Reporting Format (RFC 5965; feedback types of RFC 6650 and 6591), what Microsoft's Junk Mail Reporting Program
sends instead, and the aggregate reports of DMARC (RFC 9990) and SMTP TLS (RFC 8460), which are about no mail in
particular. It believes nothing: who acts on a complaint matches it to a delivery of ours first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from core.mail.address import normalised, tolerant_addresses
from core.mail.bounce_signs import ANSWERED
from core.mail.original import NOT_GIVEN, Original, original_in
from core.mail.parse import parse
from core.mail.values import IncomingEmail
from core.pattern import pattern

_REPORT_BYTES = 64 * 1024
_TEXT_CHARS = 64 * 1024
_MOST_RECIPIENTS = 100

_FIELDS = pattern(r"(?im)^feedback-type[ \t]*:")
_OF_MICROSOFT = pattern(r"complaint about message from \[?[0-9a-f.:]{3,45}")
_OF_MICROSOFT_RECIPIENT = ("X-HmXmrOriginalRecipient", "X-Original-Recipient")
_DMARC = pattern(r"report domain:\s{0,5}\S{1,253}\s{1,5}submitter:", re.IGNORECASE)
_DMARC_FILE = pattern(r"[^!\s]{1,253}![^!\s]{1,253}!\d{6,12}!\d{6,12}(?:![^!]{0,100})?\.(?:xml|zip|gz)", re.IGNORECASE)


class Feedback(StrEnum):
    """What a feedback report is about."""

    ABUSE = "abuse"
    FRAUD = "fraud"
    OPT_OUT = "opt-out"
    NOT_SPAM = "not-spam"
    AUTH_FAILURE = "auth-failure"
    VIRUS = "virus"
    OTHER = "other"
    DMARC = "dmarc"
    """Counts of a day, for a domain."""
    TLS = "tls"

    @property
    def is_of_recipient(self) -> bool:
        """Whether a recipient wants no more of our mail."""
        return self in (Feedback.ABUSE, Feedback.FRAUD, Feedback.OPT_OUT)


_OTHER_WORDS = {
    "complaint": Feedback.ABUSE,
    "opt-out-list": Feedback.OPT_OUT,
    "optout": Feedback.OPT_OUT,
    "unsubscribe": Feedback.OPT_OUT,
    "phishing": Feedback.FRAUD,
    "not spam": Feedback.NOT_SPAM,
    "dkim": Feedback.AUTH_FAILURE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """A feedback report. `recipients` are normalised, and empty where the receiver hides who complained."""

    feedback: Feedback
    recipients: tuple[str, ...] = ()
    original: Original = NOT_GIVEN
    user_agent: str = ""

    @property
    def own_addresses(self) -> tuple[str, ...]:
        """What may carry our signature: the envelope sender, and where to unsubscribe by mail."""
        lists = [value for name, value in self.original.headers if name.lower() == "list-unsubscribe"]
        named = [
            box.address
            for value in lists
            for box in tolerant_addresses(value.replace("mailto:", "").partition("?")[0] + ">")
        ]
        return tuple(one for one in (self.original.return_path, *named) if one)


def read_complaint(email: IncomingEmail) -> Complaint | None:
    """Return what a feedback report says, or None where the mail is none."""
    kind = (email.header("Content-Type") or "").lower()
    # Programs write "FW: " and the subject complained of above a report in form (RFC 5965, appendix B), people pass on.
    if "report-type" not in kind and ANSWERED.match(email.subject.lower()):
        return None
    if _is_of_tls(email, kind):
        return Complaint(feedback=Feedback.TLS)
    if _is_of_dmarc(email):
        return Complaint(feedback=Feedback.DMARC)
    part = next((file.content for file in email.files if file.content_type == "message/feedback-report"), None)
    if part is None and "feedback-report" in kind:
        text = (email.text or "")[:_TEXT_CHARS]
        found = _FIELDS.search(text)
        part = text[found.start() :].encode() if found else None
    if part is not None:
        return _in_standard_form(email, part)
    return _of_microsoft(email) if _OF_MICROSOFT.search(email.subject.lower()) else None


def _is_of_tls(email: IncomingEmail, kind: str) -> bool:
    return "report-type=tlsrpt" in kind.replace('"', "") or any("tlsrpt" in file.content_type for file in email.files)


def _is_of_dmarc(email: IncomingEmail) -> bool:
    if _DMARC.match(email.subject):
        return True
    said = f"{email.subject} {email.sender.address if email.sender else ''}".lower()
    return "report" in said and any(_DMARC_FILE.fullmatch(file.name) for file in email.files)


def _in_standard_form(email: IncomingEmail, part: bytes) -> Complaint:
    fields = parse(part[:_REPORT_BYTES].lstrip() + b"\n\n")
    word = (fields.header("Feedback-Type") or "abuse").strip().lower()
    original = original_in(email, email.text or "")
    told = [value for name in ("Original-Rcpt-To", "Removal-Recipient") for value in fields.headers_named(name)]
    path = next((box.address for box in tolerant_addresses(fields.header("Original-Mail-From") or "")), "")
    if path and not original.return_path:
        original = replace(original, return_path=path)
    return Complaint(
        feedback=_OTHER_WORDS.get(word) or (Feedback(word) if word in set(Feedback) else Feedback.OTHER),
        recipients=_recipients(told) or original.recipients[:_MOST_RECIPIENTS],
        original=original,
        user_agent=(fields.header("User-Agent") or "")[:200],
    )


def _of_microsoft(email: IncomingEmail) -> Complaint | None:
    original = original_in(email, "")
    if not original.is_known:
        return None
    told = [value for name, value in original.headers if name in _OF_MICROSOFT_RECIPIENT]
    return Complaint(
        feedback=Feedback.ABUSE,
        recipients=_recipients(told) or original.recipients[:_MOST_RECIPIENTS],
        original=original,
    )


def _recipients(told: list[str]) -> tuple[str, ...]:
    found = (normalised(box.address) for value in told for box in tolerant_addresses(value))
    return tuple(dict.fromkeys(found))[:_MOST_RECIPIENTS]
