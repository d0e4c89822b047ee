"""E-mail addresses, and the one place that says what may stand in a header.

Outbound is strict: what is not certainly one mailbox is refused, and a mailbox is never turned into another one.
Inbound is tolerant: what can be read is read, the rest gives nothing; an address is never taken out of a display name,
a comment or an encoded-word. RFC 5322 section 3.4; RFC 6531 and 6532 for addresses beyond ASCII; RFC 2047 for names.
"""

from __future__ import annotations

import re
import unicodedata
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from core.errors import AddressError
from core.mail.values import Mailbox
from core.mail.words import decoded_words
from core.pattern import pattern

if TYPE_CHECKING:
    from email_validator import ValidatedEmail

_TEXT_MAX_CHARS = 1000
_ADDRESS_MAX_CHARS = 320
"""64 for the local part, 255 for the domain (RFC 5321, 4.5.3.1), and what databases keep of one."""
_EVERYDAY_MAX_CHARS = 240
_REMEMBERED = 2048
_FORBIDDEN = pattern("[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
"""Whatever some program takes for the end of a line, the other controls, and half characters; a tab is allowed."""

_NAME_AND_ADDRESS = pattern(r'(?:"([^"\\]*+(?:\\.[^"\\]*+)*)"|([^"<>@,;:\\]*+))\s*+<([^<>"\s]++)>')
_ATEXT = "A-Za-z0-9!#$%&'*+/=?^_`{|}~-"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN_ADDRESS = pattern(rf"(?!-)(?=[.{_ATEXT}]{{1,64}}@)[{_ATEXT}]+(?:\.[{_ATEXT}]+)*@(?:{_LABEL}\.)*(?!\d+$){_LABEL}")
"""The addresses of everyday, known to be right without asking the library."""
_ATOMS = pattern(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_ESCAPED = pattern(r"\\(.)")
_ENCODED_WORD = pattern(r"=\?[^?\s]+\?[bBqQ]\?[^?]*\?=")
_WORD_BYTES = 39
"""What one encoded-word holds, so that a line of `Subject:` and one word stays within 76 characters."""


def header_text(value: str) -> str:
    """Return the value unchanged if it may stand in a header, or raise AddressError.

    Refused are CR, LF, NUL, the other control characters but tab, U+0085, U+2028, U+2029 and lone surrogates.
    """
    found = _FORBIDDEN.search(value)
    if found:
        shown = value if len(value) <= 60 else value[:60] + "..."
        raise AddressError(f"A header cannot hold U+{ord(found[0]):04X}, as {shown!r} does; remove it.")
    return value


def parse_address(text: str) -> Mailbox:
    """Read exactly one mailbox, `a@b.example` or `Name <a@b.example>`, or raise AddressError.

    Single-label and special-use domains (`localhost`, `.test`, `.local`) are allowed; quoted local parts, address
    literals, groups, comments, routes and encoded-words are not. The domain comes back in Unicode and lower case.
    """
    if text.islower() and "--" not in text and _is_everyday(text):
        return Mailbox("", text)
    return _parsed(text)


@lru_cache(_REMEMBERED)
def _parsed(text: str) -> Mailbox:
    """The mails of a campaign share their sender."""
    text = header_text(text).strip()
    if len(text) > _TEXT_MAX_CHARS:
        raise AddressError(f"An address of {len(text)} characters is too long; {_TEXT_MAX_CHARS} are allowed.")
    if not text.endswith(">"):
        return Mailbox("", _checked(text))
    match = _NAME_AND_ADDRESS.fullmatch(text)
    if match is None:
        raise AddressError(f'"{text}" is not one address; write it as Name <name@domain>, quoting a name with , or ".')
    quoted, bare, address = match.groups()
    name = bare.strip() if quoted is None else _ESCAPED.sub(r"\1", quoted)
    return Mailbox(name, _checked(address))


def envelope_address(address: str) -> str:
    """Return a checked address as SMTP wants it: the domain in IDNA form, the local part as it is.

    Raises AddressError for what `parse_address` would refuse. Where `needs_smtputf8` is true, the local part stays
    beyond ASCII and only a server that offers SMTPUTF8 (RFC 6531) can take it.
    """
    return address if _is_everyday(address) else _envelope_address(address)


@lru_cache(_REMEMBERED)
def _envelope_address(address: str) -> str:
    found = _validated(address)
    return f"{found.local_part}@{_without_suffix(found.ascii_domain)}"


def needs_smtputf8(address: str) -> bool:
    """Tell whether the local part is beyond ASCII; a domain never needs it, as it goes out in IDNA form."""
    return not address.rpartition("@")[0].isascii()


def domain_of(address: str) -> str:
    """Return the domain in lower case and IDNA form, or an empty string where there is none."""
    return normalised(address).rpartition("@")[2] if "@" in address else ""


def normalised(address: str) -> str:
    """Return the form under which two spellings of one mailbox are equal; never raises.

    The domain is lower-cased IDNA. The local part is lower-cased too, except where that would turn a letter beyond
    ASCII into an ASCII one (KELVIN SIGN into k): those are two mailboxes. Quotes around it that nothing in it needs
    are none of its letters (RFC 5321, section 4.1.2).
    """
    if address.isascii() and '"' not in address:
        address = address.strip().lower()
        return address if "@" in address else ""
    return _remembered(address) if len(address) <= _ADDRESS_MAX_CHARS else _normalised(address)


def _normalised(address: str) -> str:
    address = address.strip()
    local, at, domain = address.rpartition("@")
    if local[:1] == '"' and (needless := _NEEDLESSLY_QUOTED.fullmatch(local)):
        local = needless[1]
    return _lowered(local) + at + (_idna(domain) if at else "")


@lru_cache(_REMEMBERED)
def _remembered(address: str) -> str:
    """Each rule asks for the same few addresses of a mail."""
    return _normalised(address)


_NEEDLESSLY_QUOTED = pattern(r'"([^\s"\\(),.:;<>@\[\]]+(?:\.[^\s"\\(),.:;<>@\[\]]+)*)"')


def format_mailbox(mailbox: Mailbox) -> str:
    """Return the header form: name as atoms, quoted string or encoded-words, the domain in IDNA form.

    Raises AddressError for a name or address that may not stand in a header.
    """
    address = envelope_address(mailbox.address)
    name = " ".join(header_text(mailbox.name).split()) if mailbox.name else ""
    if not name:
        return address
    if not name.isascii() or "=?" in name:
        return f"{' '.join(encoded_words(name))} <{address}>"
    if not _ATOMS.fullmatch(name):
        name = '"' + name.replace("\\", r"\\").replace('"', r"\"") + '"'
    return f"{name} <{address}>"


def encoded_words(text: str) -> Iterator[str]:
    """Cut the text into RFC 2047 encoded-words of UTF-8 base64, never within a character."""
    data = text.encode("utf-8")
    start = 0
    while start < len(data):
        end = min(start + _WORD_BYTES, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        yield f"=?utf-8?b?{b64encode(data[start:end]).decode('ascii')}?="
        start = end


def has_encoded_word(text: str) -> bool:
    """Tell whether a reader would take a part of the text for an encoded-word."""
    return "=?" in text and _ENCODED_WORD.search(text) is not None


def _checked(address: str) -> str:
    local, _, domain = address.rpartition("@")
    # Two hyphens may mark the IDNA form, and of some upper-case names (Postmaster) the library makes lower-case ones.
    if "--" not in domain and local.islower() and _is_everyday(address):
        return f"{local}@{domain.lower()}"
    found = _validated(address)
    return f"{found.local_part}@{_without_suffix(found.domain)}"


def _is_everyday(address: str) -> bool:
    return len(address) <= _EVERYDAY_MAX_CHARS and _is_plain(address)


@lru_cache(maxsize=1024)
def _is_plain(address: str) -> bool:
    """Asked several times of each recipient: of To, of the envelope, when the mail was queued."""
    return "=?" not in address and _PLAIN_ADDRESS.fullmatch(address) is not None


_SUFFIX = ".test"


def _validated(address: str) -> ValidatedEmail:
    """Check the syntax alone: the suffix makes special-use domains, which the library refuses, names like others."""
    header_text(address)
    if address.startswith("-") or "=?" in address:
        raise AddressError(f'"{address}" looks like an option or an encoded-word, not like an address; check it.')
    if address.endswith(("@", ".")):
        # With the suffix it would be told of a fault in what nobody wrote.
        raise AddressError(
            f'"{address}" ends in "{address[-1]}"; write a domain after the @-sign, with no dot at its end.'
        )
    # Its tables take longer to load than a command to run, and few addresses need it.
    from email_validator import EmailNotValidError, validate_email

    try:
        found = validate_email(address + _SUFFIX, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError as error:
        raise AddressError(f'"{address}" is not an e-mail address: {error}') from error
    domain = address.rpartition("@")[2]
    if domain.rpartition(".")[2].isdigit():
        raise AddressError(f'"{address}" names an IP address, not a domain; write a host name.')
    same_domain = domain.isascii() or unicodedata.normalize("NFC", domain.lower()) + _SUFFIX == found.domain
    if not same_domain or any(map(_poses_as_ascii, address)):
        raise AddressError(
            f'"{address}" only looks like "{_without_suffix(found.normalized)}"; write the one you mean.'
        )
    return found


def _without_suffix(domain: str) -> str:
    return domain.removesuffix(_SUFFIX)


def _idna(domain: str) -> str:
    if domain.isascii():
        return domain.lower()
    try:
        return _without_suffix(_validated(f"a@{domain}").ascii_domain)
    except AddressError:
        return _lowered(domain)


def _lowered(text: str) -> str:
    if text.isascii():
        return text.lower()
    return "".join(char if _poses_as_ascii(char) else char.lower() for char in text)


def _poses_as_ascii(char: str) -> bool:
    """Tell whether folding turns the character into ASCII (KELVIN SIGN, full-width letters), and so into another's."""
    return not char.isascii() and unicodedata.normalize("NFKC", char).lower().isascii()


# The inbound reader: one pass over the tokens of the header, no recursion.

_TOKEN = pattern(
    r'"([^"\\]*+(?:\\.?[^"\\]*+)*)("?)'  # 1 quoted string, 2 its end
    r"|<([^<>]*+)(>?)"  # 3 angle address, 4 its end
    r"|([()])"  # 5 comment
    r"|([,;:])"  # 6 separators
    r"|(>)"  # 7 out of place
    r"|(\s++)"  # 8 white space
    # 9 encoded-words, in which senders leave commas and colons; atoms, dots and @
    r'|(=\?[^?\s]{1,60}\?[bBqQ]\?[^?\s]*+\?=|[^\s"<>(),;:=]++|=)',
    re.DOTALL,
)
_COMMENT_PART = pattern(r"\\.?|[()]|[^\\()]++", re.DOTALL)
_INBOUND_ADDRESS = pattern(
    r'(?:[^\s"<>()\[\],;:\\@\x00-\x1f\x7f]{1,320}|"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f]){0,320}")'
    r"@[^\s\"<>()\[\],;:\\@\x00-\x20\x7f]{1,255}"
)


@dataclass(slots=True)
class _Entry:
    """What has been read between two commas."""

    words: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    angle: str | None = None
    names: set[int] = field(default_factory=set)
    """Which of the words are quoted strings that can only be a name."""
    bad: bool = False
    is_over: bool = False
    """A bracket closed that none had opened: nothing more can belong to it."""
    loose: bool = False
    """It is read with a tolerance that only a stranger's header may have."""

    @property
    def is_loose(self) -> bool:
        if self.angle is not None:
            return self.loose or self.is_over or _without_route(self.angle) != self.angle.strip()
        return self.loose or self.is_over or self._bare()[1] != "".join(self.words).strip()

    def mailbox(self, family_name: str = "") -> Mailbox | None:
        name, address = self._bare() if self.angle is None else ("".join(self.words), _without_route(self.angle))
        if self.bad or "=?" in address or len(address) > _ADDRESS_MAX_CHARS or not _INBOUND_ADDRESS.fullmatch(address):
            return None
        if self.angle is None and not name.strip():
            name = "".join(self.comments)
        elif self.angle is not None and family_name:
            name = f"{family_name}, {name}"
        return Mailbox(_display_name(name), address)

    def family_name(self) -> str:
        """Return the `Doe` of `Doe, John <john@x.example>`, where this entry can be that."""
        text = "".join(self.words).strip()
        return text if self.angle is None and not self.bad and "@" not in text else ""

    def _bare(self) -> tuple[str, str]:
        """Return name and address of an entry without brackets: its last word, where no other looks like an address."""
        words = self.words
        end = max((at + 1 for at, word in enumerate(words) if word != " "), default=0)
        start = max((at + 1 for at, word in enumerate(words[:end]) if word == " "), default=0)
        name, address = "".join(words[:start]), "".join(words[start:end])
        if "@" in name or any(at >= start for at in self.names):
            return "", ""
        is_quoted = len(address) > 2 and address[0] == address[-1] == "'"
        return name, address[1:-1] if is_quoted else address


def _without_route(angle: str) -> str:
    """Return the address of `<@relay,@relay:address>` (RFC 5322 section 4.4), and of a link that stands for one."""
    angle = angle.strip()
    if angle[:7].lower() == "mailto:":
        return angle[7:]
    return angle.partition(":")[2] if angle.startswith("@") else angle


def tolerant_addresses(header_text: str) -> tuple[Mailbox, ...]:
    """Read the mailboxes of an address header as it came, encoded-words not yet decoded; never raises, linear.

    Group names are passed over, their members read. An entry that is not certainly one address gives nothing.
    """
    found: list[Mailbox] = []
    family_name = ""
    for entry in _entries(header_text):
        mailbox = entry.mailbox(family_name)
        if mailbox is not None:
            found.append(mailbox)
        family_name = entry.family_name() if mailbox is None else ""
    return tuple(found)


def address_list(text: str) -> tuple[Mailbox, ...]:
    """Read the mailboxes of a list that somebody here wrote; AddressError for an entry that is not certainly one."""
    found = []
    for entry in _entries(header_text(text)):
        mailbox = None if entry.is_loose else entry.mailbox()
        if mailbox is not None:
            found.append(mailbox)
        elif entry.is_loose or entry.angle is not None or "".join(entry.words).strip():
            written = " ".join([*"".join(entry.words).split(), *([f"<{entry.angle}>"] if entry.angle else ())])
            raise AddressError(f'"{written[:100]}" is not an address; write name@domain, or Name <name@domain>.')
    return tuple(found)


def _entries(text: str) -> Iterator[_Entry]:
    entry = _Entry()
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            break
        at = token.end()
        if token[1] is not None and not token[2]:
            # A quote that nothing closes is no quote; nor is any after it.
            text, at = text[at - len(token[0]) :].replace('"', ""), 0
            entry.loose = True
        elif token[5] == "(":
            at = _read_comment(text, at, entry)
        elif token[6] == ":":
            entry = _Entry(bad=entry.bad, loose=True)
        elif token[6]:
            yield entry
            entry = _Entry()
        else:
            _read_word(token, entry)
    yield entry


def _read_word(token: re.Match[str], entry: _Entry) -> None:
    quoted, _, angle, angle_end, parenthesis, _, stray, space, atom = token.groups()
    if space:
        entry.words.extend(" " if entry.words else "")
    elif stray:
        entry.is_over = True
    elif angle is not None:
        # Of `<<a@b>>` the first bracket opens nothing; one that the end of the text closes does.
        entry.loose |= not (angle and angle_end)
        if angle or angle_end:
            entry.bad |= entry.angle is not None or not (angle_end or token.end() == len(token.string))
            entry.angle = angle
    elif quoted is not None:
        is_local_part = not entry.words and token.string.startswith("@", token.end())
        if not is_local_part:
            entry.names.add(len(entry.words))
        entry.words.append(token[0] if is_local_part else _ESCAPED.sub(r"\1", quoted))
        entry.bad |= entry.is_over
    else:
        # A second address beside the angle one: which of them is meant, nobody knows.
        entry.bad |= entry.is_over or (entry.angle is not None and atom is not None and "@" in atom)
        entry.words.append(atom or parenthesis)


def _read_comment(text: str, at: int, entry: _Entry) -> int:
    depth = 1
    start = at
    while depth and at < len(text):
        part = _COMMENT_PART.match(text, at)
        if part is None:
            break
        depth += {"(": 1, ")": -1}.get(part[0], 0)
        at = part.end()
    entry.comments.append(text[start : at - 1])
    entry.words.extend(" " if entry.words else "")
    entry.bad |= depth > 0
    return at


def _display_name(text: str) -> str:
    return " ".join(_FORBIDDEN.sub(" ", decoded_words(text)).split())
