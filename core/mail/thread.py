"""What ties mails into one conversation: Message-IDs, and the token in a reply address.

A Message-ID carries its angle brackets (RFC 5322 section 3.6.4). A reply address is `alias+token@domain` (RFC 5233
subaddressing), or `reply-token@domain` where a domain's whole mail comes here; a token is 128 bits as hexadecimal or
base32 text, in any case, and opens one thread and nothing else. It makes no token: who does passes in the randomness.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.errors import AddressError
from core.mail.address import domain_of, envelope_address, normalised
from core.pattern import pattern

REPLY_ALIAS = "reply"
"""What `reply-token@domain` begins with."""
_ID = pattern(r"<[!-;=?-~]{1,900}>")
"""Longer than any seen, and still one line; RFC 5322 asks for an @, some senders leave it out."""
_BARE_ID = pattern(r"[!-;=?-~]{1,450}@[!-;=?-~]{1,450}")
_MOST_REFERENCES = 20
_TOKEN = pattern(r"[0-9a-f]{32}|[a-z2-7]{26}")
_SEPARATORS = ("+", "-", "=", "_", "%2b")
_SEPARATOR = pattern(r"[+=_-]|%2b")


def message_id(unique: str, domain: str) -> str:
    """Return `<unique@domain>`; raise AddressError unless both are of characters that an address may hold."""
    return checked_id(f"<{envelope_address(f'{unique}@{domain}')}>")


def checked_id(identifier: str) -> str:
    """Return the identifier unchanged if it may be written to a header as it stands, or raise AddressError."""
    if _ID.fullmatch(identifier) is None:
        raise AddressError(f"{identifier!r} is no Message-ID; write it as <unique@domain>.")
    return identifier


def ids_in(header_text: str) -> tuple[str, ...]:
    """Return the identifiers of a Message-ID, In-Reply-To or References header, in order, each once; never raises.

    White space that a mailer folded into an identifier is lost; a lone one without brackets is given them.
    """
    found = _ID.findall(header_text)
    if not found and "<" in header_text:
        found = _ID.findall("".join(header_text.split()))
    if not found and _BARE_ID.fullmatch(header_text.strip()):
        found = [f"<{header_text.strip()}>"]
    return tuple(dict.fromkeys(found))


def references_of(identifiers: Sequence[str]) -> str:
    """Return a conversation's Message-IDs as References has them, cut in the middle where there are many.

    RFC 5322 section 3.6.4; the first one and the latest are what threads are told by. AddressError for what is none.
    """
    if len(identifiers) > _MOST_REFERENCES:
        identifiers = [identifiers[0], *identifiers[1 - _MOST_REFERENCES :]]
    return " ".join(map(checked_id, identifiers))


def alias_of(address: str) -> tuple[str, str]:
    """Return the local part before the first `+`, and the tag after it or an empty string, both in lower case."""
    alias, _, tag = normalised(address).rpartition("@")[0].partition("+")
    return alias, tag


def reply_address(token: str, alias: str, domain: str, separator: str = "+") -> str:
    """Return `alias+token@domain`; raise AddressError where the token is none of ours or the rest is no address."""
    if _TOKEN.fullmatch(token) is None:
        raise AddressError("A reply token is 32 hexadecimal or 26 base32 characters, in lower case.")
    return envelope_address(f"{alias}{separator}{token}@{domain}")


def tokens_in(addresses: Iterable[str], alias: str, domain: str) -> tuple[str, ...]:
    """Return the tokens of the addresses that are `alias+token@domain`, in lower case, in order, each once.

    Also as servers on the way write such an address: in quotes, the `+` as `-`, `=`, `_` or `%2B`, a tag of their own
    behind the token. It says nothing about whether a token was ever given out.
    """
    own = domain_of(f"@{domain}")
    parts = [normalised(address).rpartition("@") for address in addresses]
    tags = [_tag_behind(alias.lower(), local.strip('"')) for local, _, domain in parts if domain == own]
    return tuple(dict.fromkeys(tag for tag in tags if tag and _TOKEN.fullmatch(tag)))


def _tag_behind(alias: str, local: str) -> str:
    rest = local.removeprefix(alias)
    if rest == local:
        return ""
    separator = next((one for one in _SEPARATORS if rest.startswith(one)), None)
    return _SEPARATOR.split(rest.removeprefix(separator), maxsplit=1)[0] if separator else ""
