"""An outgoing e-mail as the exact bytes of the wire: the same value gives the same bytes on every try, to every server.

Put together by hand, as the standard library's generator takes a hundred times as long. Lines end in CRLF and hold at
most 998 bytes; everything is 7-bit but an address whose local part is beyond ASCII (RFC 6532). RFC 5322 for the
message, RFC 2045 to 2047 and 2231 for MIME, RFC 2387 for inline files. It never writes Bcc, and opens no file.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import b2a_qp
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from struct import Struct
from typing import NamedTuple
from urllib.parse import quote
from zlib import crc32

from core.errors import UserError
from core.mail.address import has_encoded_word, header_text
from core.mail.body import html_to_text
from core.mail.header_line import LONGEST_LINE_BYTES, date_line, folded, ids_line, mailboxes_line, text_line
from core.mail.optional_headers import ONLY_ONCE, optional_headers
from core.mail.values import Calendar, File, OutgoingEmail, Woven
from core.pattern import pattern

_LINE_CHARS = 76
_LINES = Struct(f"{_LINE_CHARS}s" * 64)
"""Cuts many lines at once."""
_READABLE_MAX_BYTES = 10_000
"""Above this, quoted-printable costs more time than its legibility is worth."""
_BODIES_KEPT = 16
"""The mails of a campaign share their text."""

_HEADER_NAME = pattern(r"[!-9;-~]{1,70}")
_OURS = frozenset({
    *("from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "in-reply-to", "references"),
    *("mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-id"),
    *("return-path", "received", "delivered-to", "dkim-signature", "authentication-results"),
})  # fmt: skip
_OF_SERVERS = ("resent-", "arc-")
_CONTENT_TYPE = pattern(r"(?!multipart/)[a-z0-9][a-z0-9!#$&^_.+-]{0,80}/[a-z0-9][a-z0-9!#$&^_.+-]{0,80}")
_METHOD = pattern(r"[A-Z]{3,20}")
_QUOTED_SAFE = pattern(r"[ !#-\[\]-~]{1,60}")


class _Part(NamedTuple):
    """A MIME entity: the lines that say what it is, and its content, which ends without a line end."""

    headers: bytes
    content: bytes


def compose(email: OutgoingEmail, woven: Woven | None = None) -> bytes:
    """Return the whole message; `woven` is the HTML as this recipient gets it, where that differs from the email's own.

    Raises AddressError for an address, an identifier or a header value that may not stand in a header, UserError for
    a field with a word that it does not know, a date without a zone, or an extra header that has no proper name, is
    ours to write, or says what a field says already.
    """
    return with_body(_headers(email), email, woven)


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise what `compose` would raise for these extra headers, so that a mail with a wrong one is never queued."""
    _extra(tuple(headers.items()), frozenset())


def with_body(headers: str, email: OutgoingEmail, woven: Woven | None = None) -> bytes:
    """Return the lines of a header, and the email's body under them."""
    body = _body(email, woven)
    return b"".join((headers.encode("utf-8"), b"MIME-Version: 1.0\r\n", body.headers, b"\r\n", body.content, b"\r\n"))


# The header.


def _headers(email: OutgoingEmail) -> str:
    lines = [mailboxes_line("From", (email.sender,))]
    if email.real_sender is not None:
        lines.append(mailboxes_line("Sender", (email.real_sender,)))
    if not email.to and not email.cc:
        lines.append("To: undisclosed-recipients:;\r\n")
    lines += recipient_lines(email)
    lines += text_line("Subject", email.subject), date_line("Date", email.date)
    lines.append(ids_line("Message-ID", (email.message_id,)))
    lines += thread_lines(email)
    optional = optional_headers(email)
    lines += [folded(name, value) for name, value in optional]
    if email.headers:
        lines += _extra(tuple(email.headers), frozenset([name.lower() for name, _ in optional]))
    return "".join(lines)


def recipient_lines(email: OutgoingEmail) -> list[str]:
    """Write whom the mail names: To, Cc and Reply-To, as far as there are any."""
    lines = [mailboxes_line("To", email.to)] if email.to else []
    if email.cc:
        lines.append(mailboxes_line("Cc", email.cc))
    if email.reply_to is not None:
        lines.append(mailboxes_line("Reply-To", (email.reply_to,)))
    return lines


def thread_lines(email: OutgoingEmail) -> list[str]:
    """Write what the mail answers: In-Reply-To and References."""
    lines = [ids_line("In-Reply-To", (email.in_reply_to,))] if email.in_reply_to else []
    if email.references:
        lines.append(ids_line("References", email.references))
    return lines


@lru_cache(_BODIES_KEPT)
def _extra(headers: tuple[tuple[str, str], ...], written: frozenset[str]) -> tuple[str, ...]:
    return tuple(_extra_lines(headers, set(written)))


def _extra_lines(headers: Iterable[tuple[str, str]], written: set[str]) -> Iterator[str]:
    for name, value in headers:
        lower = name.lower()
        if not _HEADER_NAME.fullmatch(name):
            raise UserError(f"{name!r} is not a header name; use letters, digits and hyphens.")
        if lower in _OURS or lower.startswith(_OF_SERVERS):
            raise UserError(f"The header {name} is not for authors to add; what they may say in it has its own field.")
        if lower in written:
            raise UserError(f"The header {name} would stand there twice; pass it once, best in its own field.")
        if lower in ONLY_ONCE:
            written.add(lower)
        yield text_line(name, value)


# The body.


def _body(email: OutgoingEmail, woven: Woven | None) -> _Part:
    if email.text is not None and email.html is not None and woven is None:
        has_more = email.attachments or email.inline_files or email.calendar is not None
        if not has_more and len(email.text) + len(email.html) <= _READABLE_MAX_BYTES:
            return _shared(email.text, email.html)
    boundary = _boundary(email.message_id)
    files = email.attachments if email.html is not None else email.inline_files + email.attachments
    if email.calendar is not None:
        files += (_invite_file(email.calendar),)
    content = _readable(email, woven, boundary)
    if not files:
        return content
    return _multipart("mixed", boundary + "m", [content, *(_file(file, "attachment", boundary) for file in files)])


@lru_cache(_BODIES_KEPT)
def _shared(text: str, html: str) -> _Part:
    """Return a body of nothing else, which the mails of a campaign share, and so the boundary.

    No part holds the boundary, whichever it is: one that does is coded, and then has no `=_` in it.
    """
    texts = {"plain": _with_crlf(text), "html": _with_crlf(html)}
    boundary = f"=_{crc32(texts['html'], crc32(texts['plain'])):08x}"
    return _multipart("alternative", boundary + "a", [_coded(kind, data, boundary) for kind, data in texts.items()])


def _boundary(of: str) -> str:
    return "=_" + blake2b(of.encode("utf-8", "replace"), digest_size=12).hexdigest()


def _invite_file(calendar: Calendar) -> File:
    """Return the invitation as a file too, for mail programs that show no text/calendar part."""
    is_named = _METHOD.fullmatch(calendar.method) and f"\nMETHOD:{calendar.method}\n" in calendar.text.replace("\r", "")
    if not is_named:
        # RFC 6047 section 2.4: what the part is called and what its text says must be the same.
        raise UserError(f"The invitation does not say METHOD:{calendar.method}; make it with core.mail.invite.")
    return File("invite.ics", "application/ics", _with_crlf(calendar.text))


def _readable(email: OutgoingEmail, woven: Woven | None, boundary: str) -> _Part:
    if email.html is None and email.calendar is None:
        return _text("plain", email.text or "", boundary)
    # Of alternatives the last one that a reader understands is shown (RFC 2046 section 5.1.4).
    text = html_to_text(email.html or "") if email.text is None else email.text
    parts = [_text("plain", text, boundary)]
    if email.html is not None:
        parts.append(_html(woven or email.html, email.inline_files, boundary))
    if email.calendar is not None:
        parts.append(_text(f"calendar; method={email.calendar.method}", email.calendar.text, boundary))
    return _multipart("alternative", boundary + "a", parts)


def _html(html: str | Woven, files: tuple[File, ...], boundary: str) -> _Part:
    part = _woven(html, boundary) if isinstance(html, Woven) else _text("html", html, boundary)
    if not files:
        return part
    return _multipart("related", boundary + "r", [part, *(_file(file, "inline", boundary) for file in files)])


def _multipart(kind: str, boundary: str, parts: Iterable[_Part]) -> _Part:
    delimiter = f"--{boundary}".encode("ascii")
    pieces: list[bytes] = []
    for part in parts:
        pieces += delimiter, b"\r\n", part.headers, b"\r\n", part.content, b"\r\n"
    pieces += delimiter, b"--"
    return _Part(f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n'.encode("ascii"), b"".join(pieces))


def _text(subtype: str, text: str, boundary: str) -> _Part:
    return _coded(subtype, _with_crlf(text), boundary)


def _coded(subtype: str, data: bytes, boundary: str) -> _Part:
    coding, content = _coded_text(data, boundary)
    return _Part(_TEXT % (subtype.encode("ascii"), coding), content)


def _woven(html: Woven, boundary: str) -> _Part:
    """Put each word on a line of its own between soft breaks, so that what all recipients share is coded once."""
    segments = _quoted_segments(html.segments)
    if segments is None:
        return _text("html", str(html), boundary)
    lines = Woven(segments, [f"=\r\n{word}=\r\n" for word in html.words])
    return _Part(_TEXT % (b"html", _QUOTED), str(lines).encode("ascii"))


def _with_crlf(text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.replace(b"\n", b"\r\n")


_TEXT = b"Content-Type: text/%s; charset=utf-8\r\n%s"
_AS_IT_IS = b"Content-Transfer-Encoding: 7bit\r\n"
_QUOTED = b"Content-Transfer-Encoding: quoted-printable\r\n"
_BASE64 = b"Content-Transfer-Encoding: base64\r\n"


def _coded_text(data: bytes, boundary: str) -> tuple[bytes, bytes]:
    if data.isascii() and _is_plain(data, boundary):
        return _AS_IT_IS, data
    if len(data) > _READABLE_MAX_BYTES:
        return _BASE64, _base64(data)
    return _QUOTED, _kept_quoted(data)


def _quoted(data: bytes) -> bytes:
    # The line end makes soft breaks CRLF too; the codec takes them from the first line end it sees.
    return b2a_qp(data + b"\r\n").removesuffix(b"\r\n")


_kept_quoted = lru_cache(_BODIES_KEPT)(_quoted)


@lru_cache(_BODIES_KEPT)
def _quoted_segments(segments: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the segments in quoted-printable, made for words on lines of their own; None where another coding fits."""
    if sum(map(len, segments)) > _READABLE_MAX_BYTES or all(map(str.isascii, segments)):
        return None
    *ahead, last = map(_with_crlf, segments)
    # The letter leaves room for the soft break, and keeps a space before it from being taken for a line's last.
    coded = [_quoted(one + b"x")[:-1] for one in ahead]
    return tuple([str(one, "ascii") for one in (*coded, _quoted(last))])


def _is_plain(data: bytes, boundary: str) -> bool:
    """Tell whether the bytes may go uncoded: short lines, no NUL, and no boundary of this mail."""
    is_clean = b"\0" not in data and boundary.encode("ascii") not in data
    return is_clean and max(map(len, data.split(b"\n"))) <= LONGEST_LINE_BYTES


def _base64(data: bytes) -> bytes:
    coded = b64encode(data)
    cut = len(coded) - len(coded) % _LINES.size
    rest = (coded[at : at + _LINE_CHARS] for at in range(cut, len(coded), _LINE_CHARS))
    return b"\r\n".join([*chain.from_iterable(_LINES.iter_unpack(coded[:cut])), *rest])


def _file(file: File, disposition: str, boundary: str) -> _Part:
    kind, coding, content = _coded_file(file, boundary)
    headers = [f"Content-Type: {kind}\r\n", f"Content-Disposition: {disposition}{_file_name(file.name)}\r\n"]
    if file.content_id is not None:
        headers.append(ids_line("Content-ID", (f"<{file.content_id}>",)))
    return _Part("".join(headers).encode("ascii") + coding, content)


def _coded_file(file: File, boundary: str) -> tuple[str, bytes, bytes]:
    kind = file.content_type.lower()
    if kind == "message/rfc822":
        # RFC 2046 section 5.2.1 forbids to encode it: what cannot go as it is goes as a file of bytes.
        content = file.content
        if content.isascii() and _is_plain(content, boundary) and _has_clean_line_ends(content):
            return kind, _AS_IT_IS, file.content
        kind = "application/octet-stream"
    if not _CONTENT_TYPE.fullmatch(kind):
        kind = "application/octet-stream"
    return kind, _BASE64, _base64(file.content)


def _has_clean_line_ends(data: bytes) -> bool:
    return data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r")


def _file_name(name: str) -> str:
    if not name:
        return ""
    if _QUOTED_SAFE.fullmatch(header_text(name)) and not has_encoded_word(name):
        return f'; filename="{name}"'
    coded = quote(name, safe="!#$&+^_`{}|~")
    if len(coded) <= 50:
        return f";\r\n filename*=utf-8''{coded}"
    return "".join(_continued(coded))


def _continued(coded: str) -> Iterator[str]:
    """Cut a long percent-encoded name into the continuations of RFC 2231 section 4.1, never within a `%XX`."""
    start = number = 0
    while start < len(coded):
        end = start + 50
        cut = coded.rfind("%", end - 2, end)
        end = cut if cut > start else end
        charset = "" if number else "utf-8''"
        yield f";\r\n filename*{number}*={charset}{coded[start:end]}"
        start, number = end, number + 1
