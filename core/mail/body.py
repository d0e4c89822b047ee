"""Bodies: HTML and text into each other, foreign HTML into harmless HTML, and a reply cut from what it quotes.

Every function takes hostile input: it is bounded in size and depth first, and each step is linear. Cleaning comes
last; nothing touches its result. Nothing here opens a connection or a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from html import escape, unescape

import nh3

from core.mail.readable import laid_out
from core.mail.words import clean_text

HTML_MAX_CHARS = 2 * 1024 * 1024
HTML_MAX_DEPTH = 256
_REMEMBERED_CHARS = 100_000
_MAX_TAGS = 200_000
_MAX_NESTABLE_TAGS = 20_000
"""However these nest, they are cleaned in a fraction of a second; the time grows with the square of the depth."""
_MAX_REPEATED_TAGS = 10_000_000
"""How many elements the repair of unclosed formatting may make: 4,000 times `<font size=N><p>` make 8 million."""

# All but the void elements and those that cannot nest without a table or a scope between them.
_NESTABLE = re.compile(
    r"<(?!(?:p|td|th|tr|tbody|thead|tfoot|br|img|hr|wbr|col|area|base|input|link|meta|source|track|embed|param)[\s/>])[a-z]",
    re.IGNORECASE,
)
# HTML section 13.2.4.3: these are opened again in each block until closed, at most three of equal name and attributes.
_FORMATTING = re.compile(r"<(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)[\s/>]", re.IGNORECASE)
_TELLING_FORMATTING = re.compile(
    r"<(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)"
    r"(?:\s++[a-z-]++(?:=(?:\"[^\"<]*+\"|'[^'<]*+'|[^\s\"'<>=`/]++))?)*\s*+>",
    re.IGNORECASE,
)
_CLEAN_TAG = re.compile(r"<(/?)([a-z0-9]+)[^<>]*>")
_ANY_TAG = re.compile(r"<[^<>]*>?")
_VOID = frozenset({"br", "hr", "img", "wbr", "col", "area"})

_TAGS = nh3.ALLOWED_TAGS | {"font", "center", "big"}
_DROPPED_WITH_CONTENT = {"script", "style", "title", "template", "noscript", "textarea", "select", "iframe", "object"}
_ATTRIBUTES = {
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
    *("color", "background-color", "font", "font-family", "font-size", "font-style", "font-weight", "line-height"),
    *("text-align", "text-decoration", "text-indent", "vertical-align", "white-space", "direction", "letter-spacing"),
    *("padding", "padding-top", "padding-right", "padding-bottom", "padding-left", "border", "border-top"),
    *("border-right", "border-bottom", "border-left", "border-collapse", "border-spacing", "border-color"),
    *("border-style", "border-width", "border-radius", "width", "max-width", "height", "list-style-type"),
}
_STYLE_REFUSED = re.compile(r"[\\@]|/\*|url|expression|image|attr\s*\(|var\s*\(|env\s*\(", re.IGNORECASE)
_LINK = re.compile(r"(?:https?://|mailto:)[^\s]", re.IGNORECASE)
_PHONE = re.compile(r"tel:[+0-9() .-]{3,30}", re.IGNORECASE)
_PICTURE = re.compile(r"data:image/(?:png|gif|jpe?g|webp);base64,", re.IGNORECASE)

_LINK_IN_TEXT = re.compile(r"\b(?:https?://|mailto:)[^\s<>\"'`\x00-\x20\x7f]++", re.IGNORECASE)
_AFTER_LINK = ".,:;!?)]}"


def safe_html(html: str, resolve_cid: Callable[[str], str | None], *, remote_images: bool = False) -> str:
    """Return the HTML of a stranger as HTML that runs nothing, loads nothing remote and stays in its box.

    `resolve_cid` turns a Content-ID into the address of its file, or None. Remote images lose their address unless
    `remote_images`; where both answers differ, something was held back. HTML beyond `HTML_MAX_CHARS` is cut; what
    nests deeper than `HTML_MAX_DEPTH` comes back as its text. The result is a fragment for a sandboxed frame.
    """

    def kept(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "style":
            return None if _STYLE_REFUSED.search(value) else value
        if attribute == "href":
            return value if _LINK.match(value) or _PHONE.fullmatch(value) else None
        if attribute != "src":
            return value
        if value[:4].lower() == "cid:":
            return resolve_cid(value[4:].strip("<> "))
        remote = remote_images and value.lower().startswith(("https://", "http://"))
        return value if remote or _PICTURE.match(value) else None

    return _bounded(html, lambda bounded: nh3.clean(
        bounded,
        tags=_TAGS,
        clean_content_tags=_DROPPED_WITH_CONTENT,
        attributes=_ATTRIBUTES,
        attribute_filter=kept,
        filter_style_properties=_STYLES,
        url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    ))  # fmt: skip


def joined_html(pieces: Iterable[str]) -> str:
    """Return pieces of a stranger's HTML one after the other, each made whole alone: none swallows the next (EFAIL).

    The result is not yet harmless: it keeps the classes and names by which a reply is told from what it quotes. Beyond
    `HTML_MAX_CHARS` in all, pieces come as their text.
    """
    left = HTML_MAX_CHARS
    whole: list[str] = []
    for piece in pieces:
        whole.append(_bounded(piece, _closed) if len(piece) <= left else _as_text(piece))
        left = max(0, left - len(piece))
    return "\n".join(f"<div>{piece}</div>" for piece in whole)


def _closed(html: str) -> str:
    return nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags=_DROPPED_WITH_CONTENT,
        attributes=_ATTRIBUTES | {"*": _ATTRIBUTES["*"] | {"class", "id", "name", "type", "cite"}},
        url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
        link_rel=None,
    )


def html_to_text(html: str) -> str:
    """Return the HTML as readable text, tables and lists laid out, each link's target after its words in brackets.

    The last few are remembered, as each recipient of a campaign may get the same.
    """
    return _text_of(html) if len(html) <= _REMEMBERED_CHARS else laid_out(clean_text(html[:HTML_MAX_CHARS]))


@lru_cache(maxsize=16)
def _text_of(html: str) -> str:
    return laid_out(clean_text(html))


def text_to_html(text: str) -> str:
    """Return the text as HTML: escaped, line breaks kept, http, https and mailto addresses as links."""
    pieces: list[str] = []
    end = 0
    for match in _LINK_IN_TEXT.finditer(text := clean_text(text)):
        link = escape(match[0].rstrip(_AFTER_LINK))
        pieces += escape(text[end : match.start()]), f'<a href="{link}" rel="noopener noreferrer nofollow">{link}</a>'
        end = match.start() + len(match[0].rstrip(_AFTER_LINK))
    pieces.append(escape(text[end:]))
    return "<br>\n".join("".join(pieces).splitlines())


def _bounded(html: str, clean: Callable[[str], str]) -> str:
    html = clean_text(html[:HTML_MAX_CHARS])
    if _is_costly(html):
        return _as_text(html)
    cleaned = clean(html)
    return cleaned if _depth(cleaned) <= HTML_MAX_DEPTH else _as_text(html)


def _is_costly(html: str) -> bool:
    """Tell whether a parser may take more than a second, by counting alone, which no trick of syntax deceives."""
    tags = html.count("<")
    if tags > _MAX_TAGS or _count(_NESTABLE, html) > _MAX_NESTABLE_TAGS:
        return True
    telling = _TELLING_FORMATTING.findall(html)
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
    return "<p>" + escape(clean_text(unescape(_ANY_TAG.sub(" ", html)))) + "</p>"
