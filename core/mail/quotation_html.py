"""An HTML body read as lines, with what its markup says, and cut in two by the same rules as a text.

Both halves are whole HTML: pieces of text are taken out of a parsed tree, and the elements that held nothing else go
with them. What no parser should be asked (too deep, too long) is not cut. The halves are still a stranger's HTML.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING

from core.mail.quotation_rules import Hint, Line, Part, heads, parts_of
from core.mail.values import Reply
from core.pattern import pattern

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_MAX_CHARS = 1024 * 1024
_MAX_TAGS = 25_000
_MAX_SIGNATURE_LINES = 30

_BLOCKS = frozenset({
    *("address", "article", "aside", "blockquote", "body", "center", "dd", "div", "dl", "dt", "fieldset", "footer"),
    *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section"),
    *("table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul", "br"),
})  # fmt: skip
_SILENT = frozenset({"head", "style", "script", "title", "meta", "link", "base", "template"})
_SHOWN_WITHOUT_WORDS = frozenset({"img", "hr", "video", "object"})

_CITED = pattern(r"\b(?:protonmail_quote|tutanota_quote|zmail_extra|mail_android_quote|clean_bq|spark_quote)\b")
_CONTAINER = pattern(
    r"\b(?:yahoo_quoted|protonmail_quote|zmail_extra|zmail_extra_hr|tutanota_quote|freshdesk_quote|zd-quote"
    r"|front-blockquote"
    r"|missive_quote|sh-quoted-content|intercom-quote|hs_reply|quoted-mail|bloop_original_html|airmail_ext_on"
    r"|cloze_quote"
    r"|olk_src_body_section|isreplycontent|name:messagereplysection|name:quote"
    r"|ms-outlook-mobile-reference-message|quoted-reply)\b"
)
_INTRODUCTION = pattern(
    r"\b(?:gmail_attr|moz-cite-prefix|reply-intro|protonmail_quote_header|airmail_on|wisestamp_quote_header)\b"
)
_QUOTED_BELOW = pattern(
    r"\b(?:appendonsend|divrplyfwdmsg|stopspelling|mail-editor-reference-message-container|outlookmessageheader|zwchr"
    r"|ms-outlook-mobile-body-separator-line|__divider__|isforwardcontent|replybody|hmquote|ygrp-text)\b"
)
_SIGNATURE = pattern(
    r"\b(?:gmail_signature|gmail_signature_prefix|moz-signature|signature|ms-outlook-mobile-signature"
    r"|protonmail_signature_block|__sig_post__|zimbra-signature|mailbutler_signature|bloop_sign|wisestamp_app"
    r"|tutanota_signature"
    r"|protonmail_sig|sh-signature|front-signature|mimecast)\b"
)
# Outlook's line above the header of what it quotes, whichever its version drew it.
_OUTLOOK_LINE = pattern(
    r"border:\s?none;\s?border-top:\s?solid #?[0-9a-z]{3,20} 1(?:\.0)?pt;\s?padding:\s?3(?:\.0)?pt 0", re.IGNORECASE
)


def split_reply_html(html: str, *, is_forward: bool = False) -> Reply:
    """Cut an HTML body in two: what is shown, and what is folded; each half is to be cleaned alone.

    `is_forward` as of `parts_of`.
    """
    page = _read(html)
    if page is None:
        return Reply(html, "")
    lines = _settled(page.lines)
    parts = parts_of(lines, is_forward=is_forward)
    folded = [leaf for line, part in zip(page.lines, parts, strict=True) if part.is_folded for leaf in line.leaves]
    if not folded or not any(line.text and part.is_folded for line, part in zip(lines, parts, strict=True)):
        return Reply(html, "")
    other = _read(html)
    assert other is not None  # It was read a moment ago.
    shown_there = [
        leaf for line, part in zip(other.lines, parts, strict=True) if not part.is_folded for leaf in line.leaves
    ]
    is_signature = all(part is not Part.QUOTATION or not line.text for line, part in zip(lines, parts, strict=True))
    return Reply(_without(page, folded), _without(other, shown_there), is_signature)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A piece of text: the one inside an element before its first child, or behind it; or an element without any."""

    element: HtmlElement
    place: str


@dataclass(slots=True)
class _HtmlLine:
    """A line of the page as it is read, with the leaves that it shows."""

    text: str
    depth: int
    hint: Hint
    is_soft: bool
    is_container: bool
    leaves: list[_Leaf]


@dataclass(slots=True)
class _Page:
    """A parsed page and its lines."""

    body: HtmlElement
    lines: list[_HtmlLine] = field(default_factory=list)


def _read(html: str) -> _Page | None:
    """Return the page; None for what is empty, or too much to look at."""
    if not html.strip() or len(html) > _MAX_CHARS or html.count("<") > _MAX_TAGS:
        return None
    # Only a command that reads mail needs it.
    from lxml.etree import LxmlError
    from lxml.html import HTMLParser, document_fromstring

    parser = HTMLParser(encoding="utf-8", no_network=True)
    try:
        root = document_fromstring(html.encode("utf-8", "replace"), parser=parser, ensure_head_body=True)
    except (LxmlError, ValueError, AssertionError):
        return None
    if any(error.type_name == "ERR_RESOURCE_LIMIT" for error in parser.error_log):
        return None
    body = root.find("body")
    if body is None:
        return None
    page = _Page(body)
    _Reader(page).read()
    return page


@dataclass(frozen=True, slots=True)
class _Opened:
    """What an element began, to be ended with it."""

    cited: bool = False
    soft: bool = False
    container: bool = False
    hint: Hint = Hint.NONE


class _Reader:
    """Walks a tree once, gathering lines."""

    def __init__(self, page: _Page) -> None:
        self._page = page
        self._pieces: list[str] = []
        self._leaves: list[_Leaf] = []
        self._cited = 0
        self._soft = 0
        self._containers = 0
        self._hints: list[Hint] = []
        self._below = False

    def read(self) -> None:
        """Read the whole body."""
        stack = [(self._page.body, iter(self._page.body), self._enter(self._page.body))]
        while stack:
            element, children, opened = stack[-1]
            child = next(children, None)
            if child is None:
                stack.pop()
                self._leave(element, opened)
                if stack:
                    self._take(element, "tail", element.tail)
            elif isinstance(child.tag, str) and child.tag not in _SILENT:
                stack.append((child, iter(child), self._enter(child)))
            else:
                self._take(child, "tail", child.tail)
        self._flush()

    def _enter(self, element: HtmlElement) -> _Opened:
        if element.tag in _BLOCKS:
            self._flush(is_gap=element.tag in ("br", "p"))
        opened = self._opened(element)
        self._cited += opened.cited
        self._soft += opened.soft
        self._containers += opened.container
        if opened.hint:
            self._hints.append(opened.hint)
        if element.tag in _SHOWN_WITHOUT_WORDS:
            if element.tag == "img":
                self._pieces.append(_PICTURE)
            self._leaves.append(_Leaf(element, "self"))
        self._take(element, "text", element.text)
        return opened

    def _leave(self, element: HtmlElement, opened: _Opened) -> None:
        if element.tag in _BLOCKS or opened.hint:
            self._flush()
        self._cited -= opened.cited
        self._soft -= opened.soft
        self._containers -= opened.container
        if opened.hint:
            self._hints.pop()

    def _opened(self, element: HtmlElement) -> _Opened:
        """Say what the names and the style of an element tell."""
        mark = _mark_of(element)
        if element.tag == "blockquote":
            is_cited = element.get("type", "").lower() == "cite" or _CITED.search(mark) is not None
            return _Opened(cited=is_cited, soft=not is_cited)
        if not mark:
            self._below = self._below or _OUTLOOK_LINE.search(element.get("style", "")) is not None
            return _NOTHING
        self._below = self._below or _QUOTED_BELOW.search(mark) is not None
        is_container = _CONTAINER.search(mark) is not None and element.find(".//blockquote") is None
        hint = Hint.INTRODUCTION if _INTRODUCTION.search(mark) else Hint.NONE
        return _Opened(container=is_container, hint=Hint.SIGNATURE if _SIGNATURE.search(mark) else hint)

    def _take(self, element: HtmlElement, place: str, text: str | None) -> None:
        if text:
            self._pieces.append(text)
            self._leaves.append(_Leaf(element, place))

    def _flush(self, *, is_gap: bool = False) -> None:
        """End a line; where none was begun, a gap between paragraphs is a blank one."""
        lines = self._page.lines
        if not self._leaves and not (is_gap and lines and lines[-1].text):
            return
        text = " ".join("".join(self._pieces).replace("\u200b", "").split())
        hint = self._hints[-1] if self._hints else Hint.NONE
        if text and self._below:
            hint, self._below = Hint.QUOTED_BELOW, False
        depth = self._cited + self._soft + self._containers
        is_soft = not self._cited and not self._containers and bool(self._soft)
        lines.append(_HtmlLine(text, depth, hint, is_soft, self._containers > 0, self._leaves))
        self._pieces, self._leaves = [], []


_NOTHING = _Opened()
_PICTURE = "\ufffc"
"""Stands for a picture: it is something to see, so a line of it is not blank."""


def _mark_of(element: HtmlElement) -> str:
    """Return the names that an element bears, in small letters."""
    get = element.get
    name = f"name:{get('name')}" if get("name") else None
    return " ".join(filter(None, (get("class"), get("id"), name, get("data-marker"), get("data-signature")))).lower()


def _settled(lines: Sequence[_HtmlLine]) -> list[Line]:
    """Return the lines for the rules: a plain blockquote quotes a mail only where something introduces one."""
    settled: list[Line] = []
    is_quoted = was_soft = False
    if sum(line.hint is Hint.SIGNATURE and bool(line.text) for line in lines) > _MAX_SIGNATURE_LINES:
        lines = [replace(line, hint=Hint.NONE) if line.hint is Hint.SIGNATURE else line for line in lines]
    for at, line in enumerate(lines):
        if line.is_soft:
            if not was_soft:
                is_quoted = _begins_mail(lines, at, settled)
            was_soft = True
            settled.append(_line(line, line.depth if is_quoted else 0))
            continue
        was_soft = was_soft and not line.text
        settled.append(_line(line, line.depth))
    return settled


def _line(line: _HtmlLine, depth: int) -> Line:
    text = line.text[:400]
    if depth and not line.is_container:
        return Line(text, text, depth, Hint.NONE)
    if line.is_container:
        return Line(text, text, max(1, depth), Hint.QUOTED)
    return Line(text, text, 1 if text.startswith(">") else 0, line.hint)


def _begins_mail(lines: Sequence[_HtmlLine], at: int, before: Sequence[Line]) -> bool:
    """Whether a plain blockquote holds a mail: an introduction stands right above it, or begins it."""
    above = [line for line in before[-8:] if line.text]
    ahead = Line("quoted", "quoted", 1)
    if any(heads([*above[-count:], ahead], 0) == count for count in range(1, len(above) + 1)):
        return True
    inside = [_line(line, 0) for line in lines[at : at + 12] if line.is_soft and line.text]
    return bool(inside) and heads(inside, 0) > 0


def _without(page: _Page, leaves: Sequence[_Leaf]) -> str:
    """Return the page without some leaves, and without the elements that held nothing else."""
    from lxml.html import tostring

    touched: set[HtmlElement] = set()
    gone: set[HtmlElement] = set()
    for leaf in leaves:
        if leaf.place == "self":
            gone.add(leaf.element)
        elif leaf.place == "text":
            leaf.element.text = None
        else:
            leaf.element.tail = None
        is_beside = leaf.place == "tail" and leaf.element.tag != "br"
        touched.add(leaf.element.getparent() if is_beside else leaf.element)
    _prune(page.body, touched, gone)
    body = page.body
    inside = [escape(body.text or "", quote=False), *(tostring(child, encoding="unicode") for child in body)]
    return "".join(inside).strip()


def _prune(body: HtmlElement, touched: set[HtmlElement], gone: set[HtmlElement]) -> None:
    """Take the touched elements out that show nothing any more, in one walk from the end: children before parents."""
    showing: set[HtmlElement] = set()
    for element in reversed(list(body.iter())):
        parent = element.getparent()
        has_tail = _is_text(element.tail)
        shows = element in showing or (isinstance(element.tag, str) and _is_text(element.text))
        shows = (shows or element.tag in _SHOWN_WITHOUT_WORDS) and element not in gone
        if (shows or has_tail) and element is not body:
            showing.add(parent)
        if not shows and element in touched and element is not body:
            touched.add(parent)
            _remove(element, parent)


def _remove(element: HtmlElement, parent: HtmlElement) -> None:
    """Take an element out and leave the text behind it where it is."""
    tail, before = element.tail, element.getprevious()
    parent.remove(element)
    if tail and before is not None:
        before.tail = (before.tail or "") + tail
    elif tail:
        parent.text = (parent.text or "") + tail


def _is_text(text: str | None) -> bool:
    return bool(text and not text.isspace())
