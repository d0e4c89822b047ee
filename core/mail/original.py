"""The mail that a report is about, as far as the report gives it back: attached, its header alone, or quoted as text.

Bytes and text in, values out; it believes nothing: what stands in a report anybody can write. RFC 3462 section 2
(text/rfc822-headers), RFC 6522 section 3, RFC 6533 section 6 (message/global).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from core.mail.address import normalised
from core.mail.parse import parse
from core.mail.values import IncomingEmail
from core.pattern import pattern

STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_OTHER_REPORTS = STATUS_TYPES | {
    *("message/disposition-notification", "message/global-disposition-notification", "message/feedback-report"),
}
_HEADER_TYPES = frozenset({"text/rfc822-headers", "text/rfc822-header", "text/rfc822"})
_HEAD_BYTES = 64 * 1024
_RUN_LINES = 3
"""So many header lines, one under the other, are the header of a mail."""

_HEADER_LINE = pattern(
    r"[ \t>|]{0,8}(received|return-path|message-id|mime-version|content-type|delivered-to|dkim-signature|from|to|cc"
    r"|subject|date|sender|reply-to|x-[a-z0-9-]{1,60})[ \t]?:",
    re.IGNORECASE,
)
_OF_SERVERS = frozenset({"received", "return-path", "mime-version", "content-type", "delivered-to"})
_TELLING = _OF_SERVERS | {"message-id"}
"""One of these is in the header of a mail; a Message-ID is in a mere summary of it too."""
_FOR = pattern(r"\sfor\s{1,4}<?([^\s<>@;]{1,64}@[^\s<>@;]{1,255}?)>?(?:;|\s|$)")
_QUOTED = pattern(r"(?m)^[ \t>|]{0,8}(?=\S)")
_MARK = pattern(
    r"(?im)^(?:[-=*_|#>< \t]{2}.{0,158}|.{0,80}(?=[^\n]{0,60}:[ \t]{0,20}$))"
    r"(?:original(?:[ -]?(?:message|mail|e-?mail|header|text))|(?<!receive a )(?<!received a )copy of (?:the"
    r"|your) (?:original )?(?:message|mail|e-?mail)"
    r"|(?:returned|unsent|undelivered|bounced|rejected) (?:mail|message)|returned text"
    r"|message (?:text|headers?|body|contents?) follow|headers? of (?:the |your )?(?:original|source|message|mail)"
    r"|below this line|mensaje original|messaggio originale|mensagem original|message (?:original|d'origine|initial)"
    r"|urspr(?:ü|ue)ngliche (?:nachricht|e-?mail)|originalnachricht|oorspronkelijk bericht|oryginalna wiadomo"
    r"|исходно[ег]о? (?:сообщени|письм)|копия (?:сообщени|письм)|原信件|原邮件|原始郵件|元のメール|原文)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """What a report says of the mail that it is about; empty where it does not say."""

    message_id: str | None = None
    return_path: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()
    """Normalised, of To, Cc and the headers that servers write on delivery."""
    subject: str = ""
    last_recipient: str = ""
    """For whom the last server that took it did so, as its Received header says."""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def is_known(self) -> bool:
        return bool(self.message_id or self.return_path or self.recipients or self.sender)


NOT_GIVEN = Original()


def original_in(email: IncomingEmail, text: str) -> Original:
    """Return the mail that the report gives back, attached or at the end of its text."""
    attached = (_read(content) for content in _attached(email))
    return next((one for one in attached if one.is_known), None) or _quoted(text)


def before_original(text: str, *, marks: bool = True) -> str:
    """Return the report's own words: what stands before the mail it quotes, and before a line that announces that."""
    start = _start_of_header(text, _OF_SERVERS)
    mark = _MARK.search(text, 0, len(text) if start is None else start) if marks else None
    ends = [end for end in (start, mark and mark.start()) if end is not None]
    return text[: min(ends)] if ends else text


def _attached(email: IncomingEmail) -> Iterator[bytes]:
    for file in email.files:
        kind = file.content_type
        content = file.content[:_HEAD_BYTES].lstrip()
        is_header = kind == "text/plain" and content[:12].lower().startswith((b"received:", b"return-path:"))
        if (kind.startswith("message/") and kind not in _OTHER_REPORTS) or kind in _HEADER_TYPES or is_header:
            yield content


def _quoted(text: str) -> Original:
    start = _start_of_header(text)
    if start is None:
        return NOT_GIVEN
    return _read(_QUOTED.sub(_unquoted, text[start : start + _HEAD_BYTES]).encode("utf-8", "replace"))


def _unquoted(match: re.Match[str]) -> str:
    """Take marks of quotation away, and leave the white space by which a line continues the one above."""
    return match[0].lstrip(">|") if match[0].strip() else " " * bool(match[0])


def _start_of_header(text: str, telling: frozenset[str] = _TELLING) -> int | None:
    """Return where the first run of header lines starts that only the header of a mail can be."""
    at = 0
    start: int | None = None
    lines = 0
    is_telling = False
    for line in text.splitlines(keepends=True):
        found = _HEADER_LINE.match(line)
        if found:
            start = at if start is None else start
            lines += 1
            is_telling |= found[1].lower() in telling
            if is_telling and lines >= _RUN_LINES:
                return start
        elif not (lines and line[:1] in " \t>|" and line.strip()):
            start, lines, is_telling = None, 0, False
        at += len(line)
    return None


def _read(content: bytes) -> Original:
    mail = parse(content)
    people = (*mail.recipients, *mail.to, *mail.cc)
    return Original(
        message_id=mail.message_id,
        return_path=mail.return_path or "",
        sender=normalised(mail.sender.address) if mail.sender else "",
        recipients=tuple(dict.fromkeys(normalised(mailbox.address) for mailbox in people)),
        subject=mail.subject,
        last_recipient=next(
            (normalised(found[1]) for one in mail.headers_named("Received") if (found := _FOR.search(one))), ""
        ),
        headers=mail.headers,
    )
