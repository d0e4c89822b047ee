"""Playing the recipient: replies, new mails, auto-replies and bounces as bytes that could have come by SMTP.

Pure: identifiers and dates are passed in, nothing is sent or stored. Delivery report: RFC 3464 in the multipart/report
of RFC 6522; automatic answer: RFC 3834.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from core.errors import UserError
from core.mail.address import domain_of, envelope_address, header_text, parse_address
from core.mail.body import html_to_text
from core.mail.compose import compose
from core.mail.parse import parse
from core.mail.thread import checked_id, ids_in, message_id
from core.mail.values import IncomingEmail, Mailbox, OutgoingEmail

_QUOTED_LINES = 200
_REFERENCES = 20


@dataclass(frozen=True, slots=True)
class Stamp:
    """What makes one mail unlike another: something unique (letters and digits) and an aware time."""

    unique: str
    date: datetime

    def message_id(self, address: str) -> str:
        """Return a Message-ID at the domain of whoever writes."""
        return message_id(self.unique, domain_of(address) or "localhost")


def compose_new(sender: str, to: str, subject: str, text: str, stamp: Stamp) -> bytes:
    """Return a fresh mail. Raises AddressError for an address that is none."""
    author, target = parse_address(sender), parse_address(to)
    mail = OutgoingEmail(
        sender=author,
        to=(target,),
        subject=_line(subject),
        text=text,
        message_id=stamp.message_id(author.address),
        date=stamp.date,
    )
    return _delivered(compose(mail), author.address, target.address)


def compose_reply(caught: bytes, recipient: str, text: str, stamp: Stamp) -> bytes:
    """Return what `recipient` answers to a mail, the old text quoted below.

    Raises UserError where the mail names nobody to answer to.
    """
    mail = parse(caught)
    return _answer(mail, recipient, _reply_subject(mail.subject), f"{text.rstrip()}\n\n{_quoted(mail)}", stamp)


def compose_auto_reply(caught: bytes, recipient: str, stamp: Stamp) -> bytes:
    """Return the automatic answer of somebody who is away."""
    mail = parse(caught)
    words = "I am out of the office and will read your message when I am back."
    automatic = (("Auto-Submitted", "auto-replied"), ("X-Auto-Response-Suppress", "All"))
    return _answer(mail, recipient, _line(f"Automatic reply: {mail.subject}"), words, stamp, headers=automatic)


def compose_bounce(caught: bytes, envelope_sender: str, recipient: str, stamp: Stamp) -> bytes:
    """Return the report that a mail could not be delivered, from the null sender to the mail's envelope sender."""
    to, failed = envelope_address(envelope_sender), envelope_address(recipient)
    domain = domain_of(failed)
    head, _, _ = caught.partition(b"\r\n\r\n")
    boundary = f"report-{stamp.unique}"
    parts = (
        (
            "text/plain; charset=utf-8",
            f"Your message to {failed} could not be delivered.\r\n",
        ),
        (
            "message/delivery-status",
            f"Reporting-MTA: dns; mx.{domain}\r\n\r\nFinal-Recipient: rfc822; {failed}\r\nAction: failed\r\n"
            f"Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 <{failed}> No such user here\r\n",
        ),
    )
    body = "".join(f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n{text}\r\n" for kind, text in parts)
    headers = (
        f"From: Mail Delivery System <mailer-daemon@{domain}>\r\nTo: {to}\r\n"
        f"Subject: Undelivered Mail Returned to Sender\r\nDate: {format_datetime(stamp.date)}\r\n"
        f"Message-ID: {checked_id(stamp.message_id(failed))}\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"\r\n\r\n'
    )
    original = b"--%b\r\nContent-Type: text/rfc822-headers\r\n\r\n%b\r\n\r\n--%b--\r\n" % (
        boundary.encode(),
        head,
        boundary.encode(),
    )
    return _delivered((headers + body).encode() + original, "", to)


def _answer(
    mail: IncomingEmail,
    recipient: str,
    subject: str,
    text: str,
    stamp: Stamp,
    headers: tuple[tuple[str, str], ...] = (),
) -> bytes:
    to = _answered_to(mail)
    author = _as_addressed(mail, recipient)
    chain = [*mail.references, *([mail.message_id] if mail.message_id else [])]
    answer = OutgoingEmail(
        sender=author,
        to=(to,),
        subject=subject,
        text=text,
        message_id=stamp.message_id(author.address),
        date=stamp.date,
        in_reply_to=_usable(mail.message_id),
        references=tuple(one for one in chain if _usable(one))[-_REFERENCES:],
        headers=headers,
    )
    return _delivered(compose(answer), author.address, to.address)


def _answered_to(mail: IncomingEmail) -> Mailbox:
    to = next(iter(mail.reply_to), mail.sender)
    if to is None:
        raise UserError("This mail has no From and no Reply-To, so there is nobody to answer to.")
    return to


def _as_addressed(mail: IncomingEmail, recipient: str) -> Mailbox:
    """Return the recipient with the name that the mail gave it."""
    wanted = parse_address(recipient)
    same = (one for one in (*mail.to, *mail.cc) if one.address.casefold() == wanted.address.casefold())
    return next(same, wanted)


def _usable(identifier: str | None) -> str | None:
    return identifier if identifier and ids_in(identifier) == (identifier,) else None


def _reply_subject(subject: str) -> str:
    return _line(subject if subject.lower().startswith("re:") else f"Re: {subject}")


def _line(text: str) -> str:
    return header_text(" ".join(text.split()))


def _quoted(mail: IncomingEmail) -> str:
    text = mail.text if mail.text is not None else html_to_text(mail.html or "")
    written_at = f"{mail.date_at:%Y-%m-%d %H:%M}" if mail.date_at else "an earlier day"
    writer = mail.sender.address if mail.sender else "somebody"
    lines = [f"> {line}" for line in text.splitlines()[:_QUOTED_LINES]]
    return "\n".join([f"On {written_at}, <{writer}> wrote:", *lines, ""])


def _delivered(raw: bytes, envelope_sender: str, recipient: str) -> bytes:
    """Put on top what the last server would: where the mail came from and for whom (RFC 5321, 4.4)."""
    sender = envelope_address(envelope_sender) if envelope_sender else ""
    return f"Return-Path: <{sender}>\r\nDelivered-To: {envelope_address(recipient)}\r\n".encode() + raw
