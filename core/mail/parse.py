"""Raw bytes of a mail into an `IncomingEmail`: whatever the bytes, it answers, and what was odd stands in `defects`.

Written by hand on bytes: the standard library's readers raise on hostile mail, are quadratic in several headers, and
take an address out of the wrong place. Limits hold before anything is taken apart, every step is linear, and nothing
is lost: what is beyond a limit becomes the file `original.eml`. RFC 5322, RFC 2045 to 2047, RFC 2231. Archives are
never unpacked.
"""

from __future__ import annotations

import re
import unicodedata
from binascii import a2b_qp
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from core.mail.address import tolerant_addresses
from core.mail.thread import ids_in
from core.mail.values import File, IncomingEmail, Mailbox
from core.mail.words import decode_base64, decode_text, decoded_words


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

_HEAD_END = re.compile(rb"\n\r?\n")
_FIELD = re.compile(rb"(?m)^([!-9;-~]{1,200})[ \t]*:((?:.*)(?:\n[ \t].*)*)")
_BREAKS = re.compile("[\0-\x08\x0a-\x1f\x7f\x85\u2028\u2029]+")
_SINGLE = frozenset({
    *("from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references"),
    "content-type",
})  # fmt: skip


class _Fields(NamedTuple):
    """A header: every field in order, as text not yet decoded, and the first value of each name."""

    all: list[tuple[str, str]]
    first: dict[str, str]


def parse(raw: bytes, limits: Limits = DEFAULT_LIMITS) -> IncomingEmail:
    """Read a whole mail; never raises, whatever the bytes.

    Of a header that may come once, the first counts. Text and HTML bodies have `\\n` line ends and none at the end.
    A forwarded mail (`message/rfc822`) is a file with its exact bytes.
    """
    reader = _Reader(raw, limits)
    fields, body = _head(raw, 0, len(raw), limits, reader.defects)
    reader.defects += (f"The header {name} comes more than once; the first one counts." for name in _doubled(fields))
    reader.read(fields, body, len(raw), depth=0)
    people = _People(fields, limits, reader.defects)
    return IncomingEmail(
        headers=tuple((name, _words(value)) for name, value in fields.all),
        subject=_words(fields.first.get("subject", "")),
        sender=next(iter(people.of("from")), None),
        reply_to=people.of("reply-to"),
        to=people.of("to"),
        cc=people.of("cc"),
        recipients=people.recipients(),
        return_path=_return_path(fields.first.get("return-path")),
        date_at=_date(fields.first.get("date"), reader.defects),
        message_id=next(iter(ids_in(fields.first.get("message-id", ""))), None),
        in_reply_to=ids_in(fields.first.get("in-reply-to", "")),
        references=ids_in(fields.first.get("references", "")),
        text=reader.text,
        html=reader.html,
        files=reader.kept_files(),
        defects=tuple(dict.fromkeys(reader.defects)),
    )


# Headers.


def _head(raw: bytes, start: int, end: int, limits: Limits, defects: list[str]) -> tuple[_Fields, int]:
    """Return the fields of the entity in `raw[start:end]` and where its body starts; without fields all is body."""
    if raw.startswith((b"\n", b"\r\n"), start):
        return _Fields([], {}), min(raw.index(b"\n", start) + 1, end)
    found = _HEAD_END.search(raw, start, end)
    head, body = (raw[start : found.start() + 1], found.end()) if found else (raw[start:end], end)
    if len(head) > limits.header_bytes or head.count(b"\n") > limits.header_lines:
        head = b"\n".join(head[: limits.header_bytes].split(b"\n")[: limits.header_lines])
        defects.append("The header is longer than allowed; its rest is not read.")
    fields = _fields(head, defects)
    return fields, body if fields.all else start


def _doubled(fields: _Fields) -> list[str]:
    if len(fields.all) == len(fields.first):
        return []
    names = Counter(name.lower() for name, _ in fields.all)
    return sorted(name for name in _SINGLE if names[name] > 1)


def _fields(head: bytes, defects: list[str]) -> _Fields:
    lines = head.replace(b"\r\n", b"\n").replace(b"\r", b" ")
    every: list[tuple[str, str]] = []
    first: dict[str, str] = {}
    read = 0
    for match in _FIELD.finditer(lines):
        name = match[1].decode("ascii")
        value = _unfolded(match[2])
        every.append((name, value))
        first.setdefault(name.lower(), value)
        read += len(match[0]) + 1
    # An mbox separator is no defect; it is dropped all the same.
    if read < len(lines.rstrip()) and not lines.startswith(b"From "):
        defects.append("Lines of the header are no header fields; they are passed over.")
    return _Fields(every, first)


def _unfolded(value: bytes) -> str:
    text = decode_text(value)
    return _BREAKS.sub("", text.replace("\n\t", "\n ")).strip()


def _words(value: str) -> str:
    return _BREAKS.sub(" ", decoded_words(value)).strip()


def _return_path(value: str | None) -> str | None:
    if value is None:
        return None
    return next(
        (mailbox.address for mailbox in tolerant_addresses(value)), "" if "<>" in value.replace(" ", "") else None
    )


def _date(value: str | None, defects: list[str]) -> datetime | None:
    if value is None:
        return None
    try:
        parsed = parsedate_tz(value[:100])
        if parsed is None:
            raise ValueError("no date")
        zone = timezone(timedelta(seconds=parsed[9] or 0))
        return datetime(*parsed[:6], tzinfo=zone).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        defects.append("The date cannot be read.")
        return None


class _People:
    """The address headers of one mail, all of them together within the limit."""

    def __init__(self, fields: _Fields, limits: Limits, defects: list[str]):
        self._fields = fields
        self._limit = limits.addresses
        self._defects = defects

    def of(self, name: str) -> tuple[Mailbox, ...]:
        return self._within(tolerant_addresses(self._fields.first.get(name, "")))

    def recipients(self) -> tuple[Mailbox, ...]:
        wanted = ("delivered-to", "x-original-to", "envelope-to", "to", "cc", "resent-to", "resent-cc")
        found = {
            mailbox.address.lower(): mailbox
            for wish in wanted
            for name, value in self._fields.all
            if name.lower() == wish
            for mailbox in tolerant_addresses(value)
        }
        return self._within(tuple(found.values()))

    def _within(self, found: tuple[Mailbox, ...]) -> tuple[Mailbox, ...]:
        if len(found) > self._limit:
            self._defects.append(f"More than {self._limit} addresses in the header; the rest is not read.")
        return found[: self._limit]


# Bodies.


@dataclass(slots=True)
class _Kind:
    """What the header of a part says about its content."""

    type: str
    parameters: dict[str, str]
    disposition: str
    name: str
    content_id: str | None


@dataclass(slots=True)
class _Reader:
    """Walks the parts of one mail and gathers what it finds."""

    raw: bytes
    limits: Limits
    defects: list[str] = field(default_factory=list)
    text: str | None = None
    html: str | None = None
    files: list[File] = field(default_factory=list)
    parts: int = 0
    overrun: bool = False

    def kept_files(self) -> tuple[File, ...]:
        """Return the files, or, of a mail that went beyond a limit, the whole mail as its only one."""
        return (File(ORIGINAL, "message/rfc822", self.raw),) if self.overrun else tuple(self.files)

    def read(self, fields: _Fields, start: int, end: int, depth: int, default: str = "text/plain") -> None:
        """Read the part whose header is `fields` and whose body is `raw[start:end]`."""
        self.parts += 1
        if self.overrun or self.parts > self.limits.parts or depth > self.limits.depth:
            self._stop()
            return
        kind = _kind(fields, default)
        if kind.type.startswith("multipart/") and self._read_multipart(kind, start, end, depth):
            return
        content = _decoded(self.raw[start:end], fields.first.get("content-transfer-encoding", ""))
        if kind.type.startswith("multipart/"):
            self.defects.append("A multipart has no usable boundary; it is read as text.")
            kind.type = "text/plain"
        self._keep(kind, content)

    def _stop(self) -> None:
        if not self.overrun:
            self.overrun = True
            self.defects.append(f"The mail has too many or too deeply nested parts; it is kept whole as {ORIGINAL}.")

    def _read_multipart(self, kind: _Kind, start: int, end: int, depth: int) -> bool:
        boundary = kind.parameters.get("boundary", "").rstrip()
        if not boundary:
            return False
        spans = _spans(self.raw, boundary.encode("utf-8", "replace"), start, end)
        default = "message/rfc822" if kind.type == "multipart/digest" else "text/plain"
        found = False
        for part_start, part_end in spans:
            found = True
            fields, body = _head(self.raw, part_start, part_end, self.limits, self.defects)
            self.read(fields, body, part_end, depth + 1, default)
            if self.overrun:
                break
        return found

    def _keep(self, kind: _Kind, content: bytes) -> None:
        readable = kind.type in ("text/plain", "text/html") and kind.disposition != "attachment" and not kind.name
        if readable and len(content) > self.limits.html_bytes:
            self.defects.append("A body is longer than allowed; it is kept as a file.")
        elif readable and self._take_body(kind, content):
            return
        if kind.type == _SAME_AGAIN:
            return
        name = kind.name or f"part-{len(self.files) + 1}{_extension(kind.type)}"
        self.files.append(File(name, kind.type, content, kind.content_id))

    def _take_body(self, kind: _Kind, content: bytes) -> bool:
        """Take a text part as body, unless it is a second HTML: joined, one could swallow the other (SECURITY H6)."""
        text = decode_text(content, kind.parameters.get("charset")).replace("\r\n", "\n").replace("\r", "\n")
        text = text.rstrip("\n")
        if kind.type == "text/plain":
            self.text = text if self.text is None else f"{self.text}\n\n{text}"
            return True
        if self.html is None:
            self.html = text
            return True
        return not text.strip()


_SAME_AGAIN = "text/x-amp-html"
"""One more alternative of the same HTML."""


def _spans(raw: bytes, boundary: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """Return where each part of a multipart starts and ends, without the line end that belongs to the delimiter."""
    delimiter = b"--" + boundary
    spans: list[tuple[int, int]] = []
    part_start: int | None = None
    at = start
    while (at := raw.find(delimiter, at, end)) >= 0:
        line_end = raw.find(b"\n", at, end)
        line_end = end if line_end < 0 else line_end
        after = raw[at + len(delimiter) : min(line_end, at + len(delimiter) + 200)].strip()
        if (at == start or raw[at - 1] == 10) and after in (b"", b"--"):
            if part_start is not None:
                spans.append((part_start, max(part_start, _before_line_end(raw, at))))
            part_start = min(line_end + 1, end)
            if after:
                return spans
        at = line_end
    if part_start is not None and part_start < end:
        spans.append((part_start, end))
    return spans


def _before_line_end(raw: bytes, at: int) -> int:
    return at - 2 if raw[at - 2 : at] == b"\r\n" else at - 1


def _decoded(content: bytes, encoding: str) -> bytes:
    encoding = encoding.strip().lower()
    if encoding == "base64":
        return decode_base64(content)
    if encoding == "quoted-printable":
        return a2b_qp(content)
    return content


# Parameters and file names.

_PARAMETER = re.compile(r';\s*+([^\s=;"]++)\s*+=\s*+(?:"([^"\\]*+(?:\\.?[^"\\]*+)*)"?|([^;"]*+))', re.DOTALL)
_CONTINUED = re.compile(r"([^*]++)(?:\*(\d{1,4}))?(\*?)")
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,100}/[a-z0-9!#$&^_.+-]{1,100}")
_BACKSLASH = re.compile(r"\\(.)", re.DOTALL)


def _kind(fields: _Fields, default: str) -> _Kind:
    declared, parameters = _value_and_parameters(fields.first.get("content-type", ""))
    disposition, more = _value_and_parameters(fields.first.get("content-disposition", ""))
    kind = declared if _TYPE.fullmatch(declared) else default if not declared else "application/octet-stream"
    content_id = _BREAKS.sub("", fields.first.get("content-id", "")).strip("<> ") or None
    name = safe_file_name(decoded_words(more.get("filename") or parameters.get("name") or ""))
    return _Kind(kind, parameters, disposition, name, content_id)


def _value_and_parameters(value: str) -> tuple[str, dict[str, str]]:
    """Read `value; name="text"; name*0*=utf-8''...` (RFC 2231) into its lower-case value and decoded parameters."""
    main = value.partition(";")[0].strip().lower()
    plain: dict[str, str] = {}
    extended: dict[str, dict[int, tuple[bool, str]]] = {}
    for match in _PARAMETER.finditer(value):
        named = _CONTINUED.fullmatch(match[1])
        if named is None:
            continue
        text = match[3].strip() if match[2] is None else _BACKSLASH.sub(r"\1", match[2])
        if named[2] or named[3]:
            extended.setdefault(named[1].lower(), {}).setdefault(int(named[2] or 0), (bool(named[3]), text))
        else:
            plain.setdefault(named[1].lower(), text)
    return main, plain | {name: _joined(pieces) for name, pieces in extended.items()}


def _joined(pieces: dict[int, tuple[bool, str]]) -> str:
    coded, first = pieces[min(pieces)]
    charset = first.split("'", 2)[0] if coded and first.count("'") >= 2 else None
    data = bytearray()
    for number in sorted(pieces):
        coded, text = pieces[number]
        if charset is not None and number == min(pieces):
            text = text.split("'", 2)[2]
        data += unquote_to_bytes(text) if coded else text.encode("utf-8")
    return decode_text(bytes(data), charset)


_EXTENSIONS = {
    "text/plain": ".txt",
    "text/calendar": ".ics",
    "image/jpeg": ".jpg",
    "message/rfc822": ".eml",
    "message/global": ".eml",
}
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)
_NAME_CHARS = 150


def safe_file_name(name: str) -> str:
    """Return the last part of the name without controls, direction overrides or characters no file system takes.

    Long names keep their ending; a name of which nothing remains is an empty string.
    """
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", name[-4096:])[-1])
    # Cc, Cf, Cs, Co, Cn, Zl and Zp: what does not show itself may disguise an ending.
    shown = "".join(char for char in name if unicodedata.category(char)[0] != "C" and char not in '<>:"|?*\u2028\u2029')
    shown = " ".join(shown.split()).strip(". ")
    if _RESERVED.match(shown):
        shown = "_" + shown
    if len(shown) <= _NAME_CHARS:
        return shown
    stem, dot, ending = shown.rpartition(".")
    if not dot or len(ending) > 20:
        return shown[:_NAME_CHARS]
    return stem[: _NAME_CHARS - len(ending) - 1].rstrip(". ") + dot + ending


def _extension(kind: str) -> str:
    subtype = kind.partition("/")[2]
    return _EXTENSIONS.get(kind) or (f".{subtype}" if subtype.isalnum() and len(subtype) <= 5 else ".bin")
