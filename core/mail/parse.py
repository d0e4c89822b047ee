"""Raw bytes of a mail into an `IncomingEmail`: whatever the bytes, it answers, and what was odd stands in `defects`.

Written by hand on bytes: the standard library's readers raise on hostile mail, are quadratic in several headers, and
take an address out of the wrong place. Limits hold before anything is taken apart, every step is linear, and nothing
is lost: what is beyond a limit becomes the file `original.eml`. Headers, charsets, parameters and the rest have files
of their own; this one walks the parts. RFC 5322, RFC 2045 to 2047, RFC 2387. Archives are never unpacked.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from core.mail.address import tolerant_addresses
from core.mail.body import html_to_text, text_to_html
from core.mail.boundary import guessed_boundary, part_spans
from core.mail.charset import codec_of
from core.mail.cms import signed_content
from core.mail.date import read_date
from core.mail.event import read_event
from core.mail.file_name import numbered, safe_file_name
from core.mail.flowed import enriched_to_text, unflowed
from core.mail.header_fields import BREAKS, SINGLE, Fields, HeaderLimits, read_head, start_of_mail
from core.mail.part_header import PartKind, extension_of, is_type, kind_of_part
from core.mail.rtf import read_rtf
from core.mail.sanitise import joined_html
from core.mail.thread import ids_in
from core.mail.tnef import read_tnef
from core.mail.transfer_encoding import decoded_content, encoding_named
from core.mail.uuencoded import taken_out
from core.mail.values import Event, File, IncomingEmail, Mailbox
from core.mail.words import clean_decoded, clean_text, decode_text, decoded_words
from core.pattern import pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a mail is taken apart; the rest is kept as it came."""

    header_bytes: int = 64 * 1024
    header_lines: int = 500
    addresses: int = 1000
    depth: int = 30
    parts: int = 1000
    html_bytes: int = 2 * 1024 * 1024
    """Of the text body too: a longer body becomes a file."""


DEFAULT_LIMITS = Limits()
ORIGINAL = "original.eml"


def parse(raw: bytes, limits: Limits = DEFAULT_LIMITS) -> IncomingEmail:
    """Read a whole mail; never raises, whatever the bytes.

    Of a header that may come once, the first counts. Text and HTML bodies have `\\n` line ends and none at the end;
    several parts that are shown one after the other are one body, in order. A forwarded mail (`message/rfc822`) is a
    file with its exact bytes, and so is every signature.
    """
    defects: list[str] = []
    if b"\n" not in raw and b"\r" in raw:
        raw = raw.replace(b"\r", b"\n")
        defects.append("The lines of the mail end in CR alone.")
    reader = _Reader(limits, HeaderLimits(limits.header_bytes, limits.header_lines), defects)
    fields, start = read_head(raw, start_of_mail(raw), len(raw), reader.header_limits, defects)
    body = _shown(reader.read(raw, fields, start, len(raw), depth=0))
    if reader.overrun:
        reader.files = [File(ORIGINAL, "message/rfc822", raw)]
    people = _People(fields, limits, defects)
    authors = people.of("from")
    if len(authors) > 1:
        defects.append("From names more than one author; the first one counts.")
    defects += (f"The header {name} comes more than once; the first one counts." for name in _doubled(fields))
    return IncomingEmail(
        headers=tuple((name, _words(value)) for name, value in fields.all),
        subject=_words(fields.first.get("subject", "")),
        sender=next(iter(authors), None),
        reply_to=people.of("reply-to"),
        to=people.of("to"),
        cc=people.of("cc"),
        recipients=people.recipients(),
        return_path=_return_path(fields.first.get("return-path")),
        date_at=_date(fields, defects),
        message_id=next(iter(ids_in(fields.first.get("message-id", ""))), None),
        in_reply_to=ids_in(fields.first.get("in-reply-to", "")),
        references=ids_in(fields.first.get("references", "")),
        # A blank text beside HTML is what a program left there, and says nothing.
        text=None if body.html and not (body.text or "").strip() else body.text,
        html=body.html,
        files=_named_apart(reader.files),
        event=reader.event,
        defects=tuple(dict.fromkeys(defects)),
    )


# Headers.


def _doubled(fields: Fields) -> list[str]:
    if len(fields.all) == len(fields.first):
        return []
    names = Counter(name.lower() for name, _ in fields.all)
    return sorted(name for name in SINGLE if names[name] > 1)


def _words(value: str) -> str:
    text = decoded_words(value) if "=?" in value else value
    return text if text.isprintable() else BREAKS.sub(" ", text).strip()


def _return_path(value: str | None) -> str | None:
    if value is None:
        return None
    return next(
        (mailbox.address for mailbox in tolerant_addresses(value)), "" if "<>" in value.replace(" ", "") else None
    )


_CLOCKS_DIFFER = timedelta(days=1)


def _date(fields: Fields, defects: list[str]) -> datetime | None:
    """Return when the mail was written, or where that cannot be true, when the last server received it."""
    received = fields.first.get("received")
    received_at = None if received is None else read_date(received.rpartition(";")[2].strip())
    written = fields.first.get("date")
    if written is None:
        return received_at
    written_at = read_date(written)
    if written_at is None:
        defects.append("The date cannot be read.")
        return received_at
    if received_at is not None and written_at - received_at > _CLOCKS_DIFFER:
        defects.append("The date is later than the day on which the mail was received.")
        return received_at
    return written_at


class _People:
    """The address headers of one mail, all of them together within the limit."""

    def __init__(self, fields: Fields, limits: Limits, defects: list[str]):
        self._fields = fields
        self._limit = limits.addresses
        self._defects = defects
        self._read: dict[str, tuple[Mailbox, ...]] = {}

    def of(self, name: str) -> tuple[Mailbox, ...]:
        value = self._fields.first.get(name)
        return () if value is None else self._within(self._mailboxes(value))

    def recipients(self) -> tuple[Mailbox, ...]:
        wanted = ("delivered-to", "x-original-to", "envelope-to", "to", "cc", "resent-to", "resent-cc")
        present = {name for name in wanted if name in self._fields.first}
        found = {
            mailbox.address.lower(): mailbox
            for wish in wanted
            if wish in present
            for name, value in self._fields.all
            if name.lower() == wish
            for mailbox in self._mailboxes(value)
        }
        return self._within(tuple(found.values()))

    def _mailboxes(self, value: str) -> tuple[Mailbox, ...]:
        if value not in self._read:
            self._read[value] = tolerant_addresses(value)
        return self._read[value]

    def _within(self, found: tuple[Mailbox, ...]) -> tuple[Mailbox, ...]:
        if len(found) > self._limit:
            self._defects.append(f"More than {self._limit} addresses in the header; the rest is not read.")
        return found[: self._limit]


# Bodies.


class _Body(NamedTuple):
    """What is shown of a part, in the forms in which it came; `is_plain` where the text is text/plain itself."""

    text: str | None = None
    html: str | None = None
    is_plain: bool = True


_TEXT_OF_HTML_CHARS = 100_000


def _shown(bodies: list[_Body]) -> _Body:
    """Join the parts of a body that are shown one after the other, each form made whole from the other one."""
    bodies = [body for body in bodies if body.text or body.html] or bodies[:1]
    if len(bodies) < 2:
        return bodies[0] if bodies else _Body()
    html = text = None
    if any(body.html for body in bodies):
        html = joined_html([text_to_html(body.text or "") if body.html is None else body.html for body in bodies])
    if any(body.text for body in bodies):
        texts = (
            html_to_text((body.html or "")[:_TEXT_OF_HTML_CHARS]) if body.text is None else body.text for body in bodies
        )
        text = "\n\n".join(filter(None, texts))
    return _Body(text, html)


@dataclass(slots=True)
class _Reader:
    """Walks the parts of one mail and gathers what it finds."""

    limits: Limits
    header_limits: HeaderLimits
    defects: list[str]
    files: list[File] = field(default_factory=list)
    event: Event | None = None
    parts: int = 0
    overrun: bool = False
    has_body: bool = False
    decoded_once: bool = False
    opened_once: bool = False

    def read(
        self, data: bytes, fields: Fields, start: int, end: int, depth: int, default: str = "text/plain"
    ) -> list[_Body]:
        """Read the part whose header is `fields` and whose body is `data[start:end]`; return what of it is shown."""
        self.parts += 1
        if self.overrun or self.parts > self.limits.parts or depth > self.limits.depth:
            self._stop()
            return []
        kind = kind_of_part(fields, default)
        if not depth and not fields.all and b"\0" in data[:_BINARY_WITHIN]:
            self.defects.append("This is no mail, but bytes without a header.")
            kind.type = "application/octet-stream"
        encoding = fields.first.get("content-transfer-encoding", "")
        if kind.type.startswith("multipart/"):
            bodies = self._read_multipart(data, kind, encoding, start, end, depth)
            if bodies is not None:
                return bodies
            kind.type = "text/plain"
        content = decoded_content(data, start, end, encoding, kind.type, self.defects)
        bodies = self._read_leaf(kind, content)
        if kind.type in _SEALED_TYPES and not self.opened_once and (inner := signed_content(content)) is not None:
            # Once is enough: what nests would take memory each time.
            self.opened_once = True
            fields, start = read_head(inner, 0, len(inner), self.header_limits, self.defects)
            bodies = bodies + self.read(inner, fields, start, len(inner), depth + 1)
        return bodies

    def _stop(self) -> None:
        if not self.overrun:
            self.overrun = True
            self.defects.append(f"The mail has too many or too deeply nested parts; it is kept whole as {ORIGINAL}.")

    def _read_multipart(
        self, data: bytes, kind: PartKind, encoding: str, start: int, end: int, depth: int
    ) -> list[_Body] | None:
        spans = self._spans(data, kind, start, end)
        if not spans and not self.decoded_once and encoding_named(encoding) in ("base64", "quotedprintable"):
            # No standard allows it, some programs do it. Once is enough: what nests would take memory each time.
            self.decoded_once = True
            data = decoded_content(data, start, end, encoding, kind.type, self.defects)
            start, end = 0, len(data)
            spans = self._spans(data, kind, start, end)
        if not spans:
            if data[start:end].strip():
                self.defects.append("A multipart has no usable boundary; it is read as text.")
                return None
            return []
        default = "message/rfc822" if kind.type == "multipart/digest" else "text/plain"
        found: list[list[_Body]] = []
        for part_start, part_end in spans:
            fields, body = read_head(data, part_start, part_end, self.header_limits, self.defects)
            found.append(self.read(data, fields, body, part_end, depth + 1, default))
            if self.overrun:
                break
        if kind.type == "multipart/alternative":
            return self._chosen(found)
        return [body for bodies in found for body in bodies]

    def _spans(self, data: bytes, kind: PartKind, start: int, end: int) -> list[tuple[int, int]]:
        boundary = kind.parameters.get("boundary", "").rstrip().encode("utf-8", "replace")
        spans = part_spans(data, boundary, start, end, self.limits.parts) if boundary else []
        if not spans and (guessed := guessed_boundary(data, start, end)):
            self.defects.append("The boundary of a multipart is missing or wrong; it is guessed.")
            spans = part_spans(data, guessed, start, end, self.limits.parts)
        return spans

    def _chosen(self, alternatives: list[list[_Body]]) -> list[_Body]:
        """Return the one body that alternatives are: the plain text, and the last HTML, which is the richest."""
        bodies = [_shown(bodies) for bodies in alternatives if bodies]
        texts = [body for body in bodies if body.text is not None and body.is_plain]
        # A text that HTML brings along may be made of that HTML.
        plain = [body.text or "" for body in texts if body.html is None] or [body.text or "" for body in texts]
        every_html = [body.html for body in bodies if body.html is not None]
        html = [one for one in every_html if one.strip()] or every_html[:1]
        for other in html[:-1]:
            self._add_file(File("", "text/html", other.encode()))
        if not plain and not html:
            return bodies[:1]
        text = "\n\n".join(dict.fromkeys(filter(None, plain))) if plain else None
        return [_Body(text, html[-1] if html else None)]

    # A part without parts.

    def _read_leaf(self, kind: PartKind, content: bytes) -> list[_Body]:
        if self._is_readable(kind):
            if len(content) <= self.limits.html_bytes:
                return self._read_text(kind, content)
            self.defects.append("A body is longer than allowed; it is kept as a file.")
        elif kind.type in _TNEF_TYPES or kind.name.lower() == "winmail.dat":
            return self._read_tnef(kind, content)
        elif kind.type in _SHOWN_AS_TEXT:
            return self._read_remainder(kind, content)
        elif kind.type in _CALENDAR_TYPES:
            self._read_calendar(kind, content)
        elif kind.type == _SAME_AGAIN:
            return []
        name = kind.name
        if not name and kind.type in _MAIL_TYPES:
            name = self._name_of_mail(content)
        self._add_file(File(name, kind.type, content, kind.content_id))
        if kind.type in _RTF_TYPES and not kind.name:
            return [_Body(said.text, said.html, is_plain=False)] if (said := read_rtf(content)) != (None, None) else []
        return []

    def _is_readable(self, kind: PartKind) -> bool:
        if not kind.type.startswith("text/") or kind.disposition == "attachment" or kind.type in _TEXTS_THAT_ARE_FILES:
            return False
        # A name in the type alone is what some programs give to a body.
        return not kind.name or (not kind.is_named_file and not self.has_body)

    def _read_text(self, kind: PartKind, content: bytes) -> list[_Body]:
        if kind.type != "text/html":
            content, written = taken_out(content)
            for file in written:
                self._add_file(File(safe_file_name(decode_text(file.name)), "application/octet-stream", file.content))
        charset = kind.parameters.get("charset", "")
        if kind.type == "text/html" and codec_of(charset) is None and (meta := _META_CHARSET.search(content[:4096])):
            charset = meta[1].decode("ascii")
        text, doubt = clean_decoded(content, charset)
        if doubt:
            self.defects.append(doubt)
        text = _with_line_feeds(text)
        self.has_body = self.has_body or bool(text)
        if kind.type == "text/html":
            return [_Body(html=text)]
        if kind.type in _ENRICHED_TYPES:
            return [_Body(enriched_to_text(text), is_plain=False)]
        if kind.parameters.get("format", "").lower() == "flowed":
            text = unflowed(text, delete_space=kind.parameters.get("delsp", "").lower() == "yes")
        return [_Body(text)]

    def _read_tnef(self, kind: PartKind, content: bytes) -> list[_Body]:
        """Take out what a winmail.dat holds, beside itself; its body counts where the mail has no other."""
        self._add_file(File(kind.name or "winmail.dat", kind.type, content, kind.content_id))
        found = read_tnef(content)
        if found is None:
            return []
        for file in found.files:
            type_ = file.content_type if is_type(file.content_type) else "application/octet-stream"
            self._add_file(File(safe_file_name(file.name), type_, file.content, file.content_id or None))
        if self.has_body:
            return []
        body = _Body(_with_line_feeds(found.text or "") or None, _with_line_feeds(found.html or "") or None)
        return [body] if body.text or body.html else []

    def _read_remainder(self, kind: PartKind, content: bytes) -> list[_Body]:
        """Show what stands for something that is not in this mail: where it lies, or which piece of it this is."""
        told = ", ".join(f"{name}: {value}" for name, value in kind.parameters.items() if name != "boundary")
        text = clean_decoded(content).text.replace("\r\n", "\n").strip("\n")
        self.defects.append(f"A part is {kind.type}: {told[:500]}.")
        return [_Body(clean_text(f"[{kind.type}: {told}]\n\n{text}"))]

    def _read_calendar(self, kind: PartKind, content: bytes) -> None:
        if self.event is None:
            text = clean_decoded(content, kind.parameters.get("charset", "utf-8")).text
            self.event = read_event(text, kind.parameters.get("method", ""))

    def _name_of_mail(self, content: bytes) -> str:
        fields, _ = read_head(content, 0, len(content), self.header_limits, [])
        subject = safe_file_name(_words(fields.first.get("subject", "")))
        return f"{subject}.eml" if subject else ""

    def _add_file(self, file: File) -> None:
        name = file.name or f"part-{len(self.files) + 1}{extension_of(file.content_type)}"
        self.files.append(replace(file, name=name))


_SAME_AGAIN = "text/x-amp-html"
"""One more alternative of the same HTML."""
_SEALED_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_TNEF_TYPES = frozenset({"application/ms-tnef", "application/vnd.ms-tnef"})
_CALENDAR_TYPES = frozenset({"text/calendar", "application/ics", "text/x-vcalendar"})
_SHOWN_AS_TEXT = frozenset({"message/partial", "message/external-body"})
_ENRICHED_TYPES = frozenset({"text/enriched", "text/richtext"})
_RTF_TYPES = frozenset({"text/rtf", "application/rtf"})
_MAIL_TYPES = frozenset({"message/rfc822", "message/global"})
_TEXTS_THAT_ARE_FILES = frozenset({
    *("text/calendar", "text/x-vcalendar", "text/vcard", "text/x-vcard", "text/directory", "text/rtf", "text/css"),
    *("text/csv", "text/xml", "text/rfc822-headers", "text/x-amp-html", "text/x-watch-html", "text/javascript"),
    *("text/x-patch", "text/x-diff", "text/tab-separated-values", "text/x-python", "text/x-log", "text/sgml"),
})  # fmt: skip
_META_CHARSET = pattern(rb"<meta\b[^<>]{0,300}?\bcharset\s{0,3}=\s{0,3}[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_BINARY_WITHIN = 1024


def _with_line_feeds(text: str) -> str:
    return (text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text).rstrip("\n")


def _named_apart(files: list[File]) -> tuple[File, ...]:
    if len({file.name.lower() for file in files}) == len(files):
        return tuple(files)
    names = numbered(file.name for file in files)
    return tuple(replace(file, name=name) for file, name in zip(files, names, strict=True))
