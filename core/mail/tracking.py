"""Opens and clicks: a mail's HTML with its pixel and its tracked links, and what their tokens say when they come back.

A token names one delivery and carries 128 bits that only the holder of a key can make (keyed BLAKE2b, RFC 7693); that
of a link covers the link's target, so it leads nowhere else. Nothing is stored for a token. All of the HTML but the
targets of its links stays as it is, byte for byte: comments, with those that only Outlook reads, styles, odd markup.
Nothing here keeps a hit, knows a clock or asks who may be tracked.
"""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from html import escape, unescape
from html.entities import html5
from urllib.parse import quote, unquote

from core.mail.address import domain_of
from core.mail.signing import SIGNATURE_BYTES, keyed
from core.mail.values import Woven
from core.pattern import pattern

OPEN_PATH = "/api/email/track/open/"
CLICK_PATH = "/api/email/track/click/"
PIXEL_PATH = "/email/pixel/"
_OWN_PATHS = (OPEN_PATH, CLICK_PATH, PIXEL_PATH, "/unsubscribe")
_AFTER_PIXEL = '" alt="" width="1" height="1" style="border:0;width:1px;height:1px">'
_OFF = "data-no-track"

_ID_BYTES = 8
_TOKEN_CHARS = (_ID_BYTES + SIGNATURE_BYTES) * 4 // 3
_URL_CHARS = 4_000
"""Longer targets are left alone: wrapped, they would not pass every proxy."""
_BODIES_KEPT = 8

# HTML section 13.2.5, in patterns that match whatever comes, so that no input makes them look twice. A quote means
# something only where a value begins. A tag that holds no quote and no `<` hides nothing, and is not looked at.
_SPACE = r"\t\n\f\r\x20"
_NAME = rf"(?:=[^{_SPACE}/>=]*+|[^{_SPACE}/>=]++)"
_EQUALS = rf"[{_SPACE}]*+=[{_SPACE}]*+"
_VALUE = rf"""(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^{_SPACE}>"'][^{_SPACE}>]*+)"""
_ATTRIBUTES = rf"(?:[{_SPACE}/]++|{_NAME}(?:{_EQUALS}{_VALUE}?)?)*"
_REST = rf"{_ATTRIBUTES}(?:>|\Z)"
_ATTRIBUTE = pattern(rf"({_NAME})(?:{_EQUALS}({_VALUE})?)?")
_MARKUP = pattern(
    rf"""<(?:
      (?P<link>[aA](?:[rR][eE][aA])?)(?=[{_SPACE}/]){_ATTRIBUTES}(?:(?P<closed>>)|\Z)
    | (?P<end>/[bB][oO][dD][yY])(?=[{_SPACE}/>]){_REST}
    | (?P<raw>(?i:style|script|title|textarea|xmp|iframe|noembed|noframes))(?=[{_SPACE}/>]){_REST}
      .*?(?=</(?i:(?P=raw))[{_SPACE}/>]|\Z)
    | /?[a-zA-Z](?=[^<>"']*+[<"'])[^{_SPACE}/>]*+{_REST}
    | !--(?:-?>|.*?(?:--!?>|\Z))
    | (?:[!?]|/(?![a-zA-Z]))[^>]*+
    )""",
    re.DOTALL | re.VERBOSE,
)
_REFERENCE = pattern(r"&(?:#(?:[0-9]++|[xX][0-9a-fA-F]++);?|([A-Za-z][A-Za-z0-9]*+;?)(?!=))")
# What a browser would have to mend before it could go there is left alone, since we might mend it in another way.
_ODD = r"\s\x00-\x20\x7f\\\ud800-\udfff"
_TARGET = pattern(rf"(https?://)([^{_ODD}/?\#]++)([^{_ODD}]*+)", re.IGNORECASE)


_PIXEL = pattern(rf"(?:{OPEN_PATH}|{PIXEL_PATH})([A-Za-z0-9_-]{{{_TOKEN_CHARS}}})")


@dataclass(frozen=True, slots=True)
class _Link:
    """A link's target, and where its text stands in the HTML."""

    start: int
    end: int
    target: str


class Tracker:
    """Makes and reads the tokens of one host. The first key signs, all of them are believed, so that keys rotate."""

    def __init__(self, base_url: str, keys: Sequence[str]):
        """`base_url` is where recipients reach this host; `keys` are secrets of any length, at least one."""
        self._base_url = base_url.rstrip("/")
        self._pixels = [keyed(key, "tracked pixel") for key in keys]
        self._links = [keyed(key, "tracked link") for key in keys]
        self._cut = lru_cache(maxsize=_BODIES_KEPT)(self._cut_up)

    def woven(self, html: str, delivery_id: int, *, png: bool = False) -> Woven:
        """Return the HTML with a pixel at its end, and each web link leading here first and then to its target.

        The pixel is `/api/email/track/open/TOKEN`, or with `png` `/email/pixel/TOKEN.png`. Links with `data-no-track`,
        links of other kinds (`mailto:`, `tel:`, `#`) and our own stay as they are. Make the plain text part of the HTML
        before this, so that it shows where links lead.
        """
        segments, targets = self._cut(html, png)
        data = delivery_id.to_bytes(_ID_BYTES, "big")
        pixel, link = self._pixels[0].copy(), self._links[0].copy()
        pixel.update(data)
        link.update(data)
        return Woven(segments, _tokens(data, [(link if one else pixel, one) for one in targets]))

    def token(self, delivery_id: int) -> str:
        """Return the token of a delivery's pixel."""
        data = delivery_id.to_bytes(_ID_BYTES, "big")
        return _tokens(data, [(self._pixels[0], data)])[0]

    def opened(self, token: str) -> int | None:
        """Return the delivery whose pixel a token is, or None where it was not made here."""
        return _read(self._pixels, token, b"")

    def clicked(self, token: str, url: str) -> int | None:
        """Return the delivery in which a link with this token led to `url`, or None where none did."""
        return _read(self._links, token, url.encode("utf-8", "replace"))

    def _cut_up(self, html: str, png: bool) -> tuple[tuple[str, ...], list[bytes]]:
        """Return the HTML as segments with a token between each two, and what each token is about: a link's target, or
        nothing for the pixel. Done once for a body, to however many it goes.
        """
        links, end = _scan(html)
        base = escape(self._base_url)
        path, ending = (PIXEL_PATH, ".png") if png else (OPEN_PATH, "")
        slots = [(end, end, f'<img src="{base}{path}', ending + _AFTER_PIXEL, b"")]
        for link in filter(self._is_foreign, links):
            after = f"?url={quote(link.target, safe=':/')}"
            slots.append((link.start, link.end, base + CLICK_PATH, after, link.target.encode()))
        segments, targets, at, kept = [], [], 0, ""
        for start, stop, before, after, target in sorted(slots):
            segments.append(kept + html[at:start] + before)
            targets.append(target)
            at, kept = stop, after
        return (*segments, kept + html[at:]), targets

    def _is_foreign(self, link: _Link) -> bool:
        rest = link.target.removeprefix(self._base_url)
        return rest == link.target or not rest.startswith(_OWN_PATHS)


@lru_cache(maxsize=8)
def tracker(base_url: str, keys: tuple[str, ...]) -> Tracker:
    """Return the tracker of a host with these settings, the same one each time."""
    return Tracker(base_url, keys)


def untracked(text: str, base_url: str, *, is_html: bool = True) -> str:
    """Return a body, such as one that quotes a mail of ours, without our pixels and with its links leading straight.

    Else whoever reads the quotation here would count as the recipient.
    """
    base = re.escape(base_url.rstrip("/"))
    if not base or base_url.rstrip("/") not in text:
        return text
    text = re.sub(rf"{base}{_PIXEL.pattern}(?:\.png)?", "", text)

    def straight(link: re.Match[str]) -> str:
        target = unquote(link[1])
        if _TARGET.fullmatch(target) is None:
            return link[0]
        return escape(target) if is_html else target

    return re.sub(rf"{base}{CLICK_PATH}[\w-]{{{_TOKEN_CHARS}}}\?url=([\w%:/.~-]*)", straight, text)


def pixel_of(html: str) -> str | None:
    """Return the token of the pixel in a mail's HTML, whoever made it; None where there is no pixel."""
    found = _PIXEL.search(html)
    return found[1] if found else None


@lru_cache(maxsize=_BODIES_KEPT)
def links_of(html: str) -> frozenset[str]:
    """Return the targets of all links that tracking would wrap."""
    return frozenset(link.target for link in _scan(html)[0])


def location(url: str) -> str | None:
    """Return a link's target as a Location header says it (RFC 3986), or None for what no tracked link can be."""
    found = _TARGET.fullmatch(url)
    if found is None or len(url) > _URL_CHARS:
        return None
    scheme, authority, rest = found.groups()
    host, colon, port = authority.partition(":")
    if not authority.isascii() and "@" not in authority:
        authority = domain_of(f"@{host}") + colon + port
    return scheme + quote(authority + rest, safe=":/?#[]@!$&'(*+),;=%")


# Tokens.


def _tokens(data: bytes, abouts: Iterable[tuple[blake2b, bytes]]) -> list[str]:
    """Return a token for each hash and what it is to cover; all are written in one go."""
    signed: list[bytes] = []
    for kept, about in abouts:
        code = kept.copy()
        code.update(about)
        signed += data, code.digest()
    written = binascii.b2a_base64(b"".join(signed), newline=False).translate(_URL_SAFE).decode("ascii")
    return [written[at : at + _TOKEN_CHARS] for at in range(0, len(written), _TOKEN_CHARS)]


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _read(kept: Sequence[blake2b], token: str, about: bytes) -> int | None:
    if len(token) != _TOKEN_CHARS or not token.isascii():
        return None
    try:
        said = urlsafe_b64decode(token)
    except binascii.Error:
        return None
    data = said[:_ID_BYTES]
    # Every key is tried, the right one found or not, so that the time says nothing.
    known = [hmac.compare_digest(_code(one, data + about), said[_ID_BYTES:]) for one in kept]
    return int.from_bytes(data, "big") if any(known) else None


def _code(kept: blake2b, text: bytes) -> bytes:
    code = kept.copy()
    code.update(text)
    return code.digest()


# Markup.


def _scan(html: str) -> tuple[list[_Link], int]:
    """Return the links that can be tracked, and where the body ends."""
    links: list[_Link] = []
    end = len(html)
    for markup in _MARKUP.finditer(html):
        if markup.lastgroup == "closed":
            links += _link_in(html, markup.end("link"), markup.start("closed"))
        elif markup.lastgroup == "end":
            end = markup.start()
    return links, end


def _link_in(html: str, start: int, stop: int) -> Iterator[_Link]:
    """Give the link of one tag, its attributes between `start` and `stop`; of two equal names the first one counts."""
    value: tuple[int, int] | None = None
    for attribute in _ATTRIBUTE.finditer(html, start, stop):
        name = attribute[1].lower()
        if name == _OFF:
            return
        if name == "href" and value is None:
            value = attribute.span(2)
    if value is None or value[0] < 0:
        return
    first, last = value
    if html[first] in "\"'":
        first, last = first + 1, last - 1
    target = html[first:last]
    if "&" in target:
        target = _REFERENCE.sub(_character, target)
    if len(target) <= _URL_CHARS and _TARGET.fullmatch(target):
        yield _Link(first, last, target)


def _character(reference: re.Match[str]) -> str:
    """Return what a character reference in an attribute means (HTML section 13.2.5.73): `&copy=` is none, say."""
    name = reference[1]
    return unescape(reference[0]) if name is None or name in html5 else reference[0]
