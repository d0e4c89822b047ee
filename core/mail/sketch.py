"""A mail told in a few words, for asking where it would go: who writes to whom about what, and some headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.errors import UserError
from core.mail.address import header_text
from core.mail.words import clean_text
from core.pattern import pattern

_NAME = pattern(r"[!-9;-~]{1,70}")
_MOST_HEADERS = 50
_LINE_CHARS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """What the mail says. Addresses as in a header, several with commas; an alias without `@` is one of MAIL_DOMAIN."""

    sender: str
    to: str
    cc: str = ""
    subject: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def raw(self, domain: str) -> bytes:
        """Return it as the bytes of a mail; AddressError for text that no header can hold, UserError for a bad name."""
        if len(self.headers) > _MOST_HEADERS:
            raise UserError(f"A sketch has {len(self.headers)} headers; {_MOST_HEADERS} are enough for any question.")
        lines = [("From", self.sender), ("To", _whole(self.to, domain))]
        lines += [("Cc", _whole(self.cc, domain))] if self.cc.strip() else []
        lines += [("Subject", self.subject)]
        lines += [(_checked(name), str(value)) for name, value in self.headers.items()]
        header = "".join(f"{name}: {_folded(header_text(value))}\r\n" for name, value in lines)
        body = clean_text(self.body).replace("\r\n", "\n").replace("\n", "\r\n")
        return f"{header}MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}".encode()


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UserError(f'"{name[:60]}" is no name of a header.')
    return name


def _whole(addresses: str, domain: str) -> str:
    """Return the list with MAIL_DOMAIN behind each lone alias."""
    if "@" in addresses:
        return addresses
    return ", ".join(f"{alias.strip()}@{domain}" for alias in addresses.split(",") if alias.strip())


def _folded(value: str) -> str:
    words, lines = value.split(" "), [""]
    for word in words:
        if len(lines[-1]) + len(word) > _LINE_CHARS:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\r\n ".join(lines)
