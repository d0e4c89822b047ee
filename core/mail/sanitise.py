"""The HTML of a stranger as harmless HTML: nothing runs, nothing remote loads, nothing leaves its box.

Cleaning by an allow-list comes last (nh3); nothing touches its result. Before it, input is bounded in size and depth by
counting alone, since a parser's time grows with the square of the depth.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape, unescape
from urllib.parse import urlsplit

import nh3

from core.mail.words import clean_text
from core.pattern import pattern

HTML_MAX_CHARS = 2 * 1024 * 1024
HTML_MAX_DEPTH = 256
_MAX_TAGS = 200_000
_MAX_NESTABLE_TAGS = 12_000
"""However these nest, they are cleaned in a fraction of a second; the time grows with the square of the depth."""
_MAX_REFERENCE_STEPS = 30_000_000_000
"""Ampersands times characters: the parser takes some 8 ps for each, however they stand."""
_MAX_REPEATED_TAGS = 10_000_000
"""How many elements the repair of unclosed formatting may make: 4,000 times `<font size=N><p>` make 8 million."""

# All but the void elements and those that cannot nest without a table or a scope between them.
_NESTABLE = pattern(
    r"<(?!(?:p|td|th|tr|tbody|thead|tfoot|br|img|hr|wbr|col|area|base|input|link|meta|source|track|embed|param)[\s/>])[a-z]",
    re.IGNORECASE,
)
# HTML section 13.2.4.3: these are opened again in each block until closed, at most three of equal name and attributes.
_FORMATTING = pattern(r"<(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)[\s/>]", re.IGNORECASE)
_TELLING_FORMATTING = pattern(
    r"<(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)"
    r"(?:\s++[a-z-]++(?:=(?:\"[^\"<]*+\"|'[^'<]*+'|[^\s\"'<>=`/]++))?)*\s*+>",
    re.IGNORECASE,
)
_CLEAN_TAG = pattern(r"<(/?)([a-z0-9]+)[^<>]*>")
_ANY_TAG = pattern(r"<[^<>]*>?")
_VOID = frozenset({"br", "hr", "img", "wbr", "col", "area"})

_TAGS = nh3.ALLOWED_TAGS | {"font", "center", "big"}
_A_LINK = pattern(r'<a href="(https?:[^"<>]{0,4000})"[^<>]*>')
_LINK_WORDS_CHARS = 300
_HOST_CHARS = 100
_HOST_IN_WORDS = pattern(r"(?:https?://|www\.)?((?:[\w-]{1,63}\.){1,6}[^\W\d_]{2,24})(?=[/:?#]|$)", re.IGNORECASE)
_DROPPED_WITH_CONTENT = {"script", "style", "title", "template", "noscript", "textarea", "select", "iframe", "object"}
_ATTRIBUTES = {
    "p": {"class"},
    "li": {"class"},
    "div": {"class"},
    "*": {"style", "align", "valign", "bgcolor", "width", "height", "dir", "lang", "title"},
    "a": {"href"},
    "img": {"src", "alt", "border"},
    "font": {"color", "face", "size"},
    "table": {"border", "cellpadding", "cellspacing"},
    "td": {"colspan", "rowspan", "nowrap"},
    "th": {"colspan", "rowspan", "nowrap"},
    "ol": {"start", "type"},
}
_STYLES = {
    *(
        "color",
        "background",
        "background-color",
        "font",
        "font-family",
        "font-size",
        "font-style",
        "font-weight",
        "line-height",
    ),
    *("text-align", "text-decoration", "text-indent", "vertical-align", "white-space", "direction", "letter-spacing"),
    *("padding", "padding-top", "padding-right", "padding-bottom", "padding-left", "border", "border-top"),
    *("border-right", "border-bottom", "border-left", "border-collapse", "border-spacing", "border-color"),
    *("border-style", "border-width", "border-radius", "width", "max-width", "height", "list-style-type"),
}
_STYLE_REFUSED = pattern(r"[\\@]|/\*|url|expression|image|attr\s*\(|var\s*\(|env\s*\(", re.IGNORECASE)
_STYLE_KEPT = pattern(
    r"\s*[a-z-]{2,30}\s*:\s*(?:[\w\s#%.,!+-]|'[\w\s-]*'|\"[\w\s-]*\"|rgba?\([\d\s,.%/]{1,40}\))+\s*", re.IGNORECASE
)
_COLOUR = pattern(r"(?:^|\s)#[0-9a-f]{3,8}\b|rgba?\([\d\s,.%/]{1,40}\)", re.IGNORECASE)
_REMOTE = pattern(r"\s*(?:https?:)?//|(?<=\()[\s'\"]*(?:https?:)?//", re.IGNORECASE)
_CLASSES = ("MsoNormal", "MsoListParagraph", "MsoPlainText", "MsoNoSpacing")
"""What Outlook calls a paragraph without a gap; the frame's own sheet says so."""
_REMOTE_PICTURE = pattern(r"<img\b[^<>]{0,2000}?\bsrc\s{0,5}=\s{0,5}[\"']?\s{0,5}(?:https?:)?//", re.IGNORECASE)
_LINK = pattern(r"(?:https?://|mailto:)[^\s]", re.IGNORECASE)
_PHONE = pattern(r"tel:[+0-9() .-]{3,30}", re.IGNORECASE)
_PICTURE = pattern(r"data:image/(?:png|gif|jpe?g|webp);base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Harmless HTML, and how many remote things were left out of it."""

    html: str
    held_back: int


def safe_html(html: str, resolve_cid: Callable[[str], str | None], *, remote_images: bool = False) -> str:
    """Return the HTML of a stranger as a fragment for a sandboxed frame, as `cleaned_html` does."""
    return cleaned_html(html, resolve_cid, remote_images=remote_images).html


def cleaned_html(html: str, resolve_cid: Callable[[str], str | None], *, remote_images: bool = False) -> Cleaned:
    """Clean the HTML of a stranger, for a sandboxed frame, and count what was held back.

    `resolve_cid` turns a Content-ID into the address of its file, or None. Remote images lose their address unless
    `remote_images`. A link whose words name another host than its target is followed by the true one. HTML beyond
    `HTML_MAX_CHARS` is cut; what nests deeper than `HTML_MAX_DEPTH`, or would take long, comes back as its text.
    """
    filters = _Filters(resolve_cid, remote_images)
    html = clean_text(html[:HTML_MAX_CHARS]).replace("&nbsp;", "\xa0")
    if _is_costly(html):
        return Cleaned(_as_text(html), 0)
    cleaned = _clean(html, filters)
    if _depth(cleaned) > HTML_MAX_DEPTH:
        return Cleaned(_as_text(html), 0)
    honest = _with_true_hosts(cleaned)
    return Cleaned(
        cleaned if honest is None else _clean(honest, _Filters(lambda cid: None, remote_images, is_again=True)),
        filters.held_back,
    )


def has_remote_pictures(html: str) -> bool:
    """Whether HTML asks for pictures from elsewhere that `remote_images` would show."""
    return _REMOTE_PICTURE.search(html) is not None


def joined_html(pieces: Iterable[str]) -> str:
    """Return pieces of a stranger's HTML one after the other, each made whole alone: none swallows the next (EFAIL).

    The result is not yet harmless: it keeps the classes and names by which a reply is told from what it quotes. Beyond
    `HTML_MAX_CHARS` in all, or where they would take long, pieces come as their text.
    """
    pieces = [clean_text(piece) for piece in pieces]
    is_costly = _is_costly("".join(pieces))
    left = HTML_MAX_CHARS
    whole: list[str] = []
    for piece in pieces:
        whole.append(_as_text(piece) if is_costly or len(piece) > left else _closed(piece))
        left = max(0, left - len(piece))
    return "\n".join(f"<div>{piece}</div>" for piece in whole)


def _closed(html: str) -> str:
    closed = nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags=_DROPPED_WITH_CONTENT,
        attributes=_ATTRIBUTES | {"*": _ATTRIBUTES["*"] | {"class", "id", "name", "type", "cite"}},
        url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
        link_rel=None,
    )
    return closed if _depth(closed) <= HTML_MAX_DEPTH else _as_text(html)


def _clean(html: str, filters: _Filters) -> str:
    return nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags=_DROPPED_WITH_CONTENT,
        attributes=_ATTRIBUTES,
        attribute_filter=filters.kept,
        filter_style_properties=_STYLES,
        url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


class _Filters:
    """Decides on each attribute that the allow-list lets through."""

    def __init__(self, resolve_cid: Callable[[str], str | None], remote_images: bool, *, is_again: bool = False):
        self._resolve_cid = resolve_cid
        self._remote_images = remote_images
        self._is_again = is_again
        self.held_back = 0

    def kept(self, tag: str, attribute: str, value: str) -> str | None:
        """Return the value to keep, or None."""
        if attribute == "style":
            return self._style(value)
        if attribute == "href":
            return value if _LINK.match(value) or _PHONE.fullmatch(value) else None
        if attribute == "class":
            return next((name for name in _CLASSES if name in value.split()), None)
        return self._source(value) if attribute == "src" else value

    def _style(self, value: str) -> str | None:
        """Leave out the declarations that could load, cover or hide something; the rest of the style stays."""
        if _STYLE_REFUSED.search(value) is None:
            return value
        if _REMOTE.search(value):
            self.held_back += 1
        if "\\" in value or "/*" in value or "@" in value:
            return None
        return ";".join(filter(None, map(_harmless, value.split(";")))) or None

    def _source(self, value: str) -> str | None:
        if value[:4].lower() == "cid:":
            return self._resolve_cid(value[4:].strip("<> "))
        if _REMOTE.match(value):
            self.held_back += not self._remote_images
            return value if self._remote_images else None
        # On the second pass the addresses are those that the first one resolved.
        return value if self._is_again or _PICTURE.match(value) else None


def _harmless(declaration: str) -> str | None:
    """Return a declaration that loads nothing; of a background with a picture its colour, else light words are lost."""
    if _STYLE_KEPT.fullmatch(declaration) and _STYLE_REFUSED.search(declaration) is None:
        return declaration
    name, _, value = declaration.partition(":")
    colour = _COLOUR.search(value) if name.strip().lower() == "background" else None
    return f"background-color:{colour[0].strip()}" if colour else None


# Links that say one host and lead to another.


def _with_true_hosts(cleaned: str) -> str | None:
    """Return cleaned HTML in which each link that names another host than its own is followed by it; None for none."""
    pieces: list[str] = []
    at = 0
    for link in _A_LINK.finditer(cleaned):
        end = cleaned.find("</a>", link.end())
        if end < 0:
            break
        words = unescape(_ANY_TAG.sub("", cleaned[link.end() : min(end, link.end() + _LINK_WORDS_CHARS)]))
        host = misleading_host(unescape(link[1]), words)
        if host is not None:
            pieces += cleaned[at : end + 4], f" <small>[{escape(host)}]</small>"
            at = end + 4
    return None if not pieces else "".join((*pieces, cleaned[at:]))


def misleading_host(target: str, words: str) -> str | None:
    """Return the host that a link leads to where its words name another one, or where its address disguises it.

    A host in other letters than Latin is told in its ASCII form, whatever the words say.
    """
    try:
        parts = urlsplit(target)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return target[:_HOST_CHARS]
    if parts.scheme not in ("http", "https") or not host:
        return None
    plain = _ascii_host(host)
    said = _HOST_IN_WORDS.match(words.strip())
    is_other = said is not None and _organisation(_ascii_host(said[1].lower())) != _organisation(plain)
    return plain[:_HOST_CHARS] if is_other or "@" in parts.netloc or "xn--" in plain else None


def _ascii_host(host: str) -> str:
    try:
        return host.encode("idna").decode("ascii").lower() if not host.isascii() else host.lower()
    except UnicodeError:
        return ascii(host)[1:-1]


def _organisation(host: str) -> tuple[str, ...]:
    """Return the end of a host name that one owner has: two labels, three below endings such as `co.uk`."""
    labels = host.split(".")
    short = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
    return tuple(labels[-3:] if short else labels[-2:])


# Bounds.


def _is_costly(html: str) -> bool:
    """Tell whether a parser may take more than a second, by counting alone, which no trick of syntax deceives."""
    tags = html.count("<")
    if html.count("&") * len(html) > _MAX_REFERENCE_STEPS:
        return True
    if tags > _MAX_TAGS or _count(_NESTABLE, html) > _MAX_NESTABLE_TAGS:
        return True
    telling = [tag[0] for tag in _TELLING_FORMATTING.finditer(html)]
    kinds = len(set(telling)) + _count(_FORMATTING, html) - len(telling)
    return 3 * kinds * tags > _MAX_REPEATED_TAGS


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(1 for _ in pattern.finditer(text))


def _depth(cleaned: str) -> int:
    """Return how deep the elements of cleaned HTML nest; there every tag is closed and every `<` in a text escaped."""
    deepest = depth = 0
    for tag in _CLEAN_TAG.finditer(cleaned):
        if tag[1]:
            depth -= 1
        elif tag[2] not in _VOID:
            depth += 1
            deepest = max(deepest, depth)
    return deepest


def _as_text(html: str) -> str:
    return "<p>" + escape(clean_text(unescape(" ".join(_between_tags(html))))) + "</p>"


def _between_tags(html: str) -> Iterator[str]:
    """Give what stands between tags, tag by tag, so that the rest of the process goes on meanwhile."""
    at = 0
    for tag in _ANY_TAG.finditer(html):
        yield html[at : tag.start()]
        at = tag.end()
    yield html[at:]
