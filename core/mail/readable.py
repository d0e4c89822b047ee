"""HTML laid out as text: paragraphs, lists, tables in columns, links with their target.

Tidy HTML, as templates write it, is cut at its tags and read from end to end. What is not tidy (unclosed cells, bare
attributes, scripts) is put in order by libxml2 first, which takes as long again. Hostile input costs no more than its
length: what nests too deep is cut, and no column is padded beyond `_WIDEST_COLUMN`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import unescape
from itertools import compress

from core.pattern import pattern

# What is taken out of the HTML before it is read: these stand for layout until the end.
_BREAK = "\x1c"
_KEPT_SPACE = "\x1d"
_NEW_LINE = "\x1e"
_NEW_PARAGRAPH = "\x1f"
_GAP = _BREAK * 2
_AROUND = f" {_BREAK}"
_LAYOUT = (_BREAK, _KEPT_SPACE, _NEW_LINE, _NEW_PARAGRAPH)

_DROPPED = frozenset(
    {"script", "style", "title", "template", "noscript", "textarea", "select", "iframe", "object", "svg", "math"}
)
_PARAGRAPHS = ("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "hr", "dl", "figure")
_BLOCKS = (
    *("div", "section", "article", "header", "footer", "main", "nav", "aside", "address", "center", "form", "fieldset"),
    *("dt", "dd", "caption"),
)
_INLINE = ("b", "i", "u", "s", "em", "strong", "small", "big", "span", "font", "code", "html", "body", "tbody", "thead")
_BARE = ("p", "/p", "br")
"""The most frequent tags; these are replaced without being read."""
_VOID = frozenset({"br", "hr", "img", "wbr", "col", "input", "meta", "link", "area", "base"})

_TAG = pattern(r"<(/?[a-zA-Z][^<>]*)>")
_ANY_TAG = pattern(r"<[^<>]*>?")
_START = pattern(r"\s*(?:<!doctype[^<>]*>\s*)?(?:<html[^<>]*>\s*)?", re.IGNORECASE)
_HEAD = pattern(r"<head[\s>]", re.IGNORECASE)
_HEAD_END = pattern(r"</head\s*>", re.IGNORECASE)
_TIDY_VALUE = r'"([^"<>\x1c-\x1f]*)"'
_TIDY_ATTRIBUTES = r'(?:\s+[\w:.-]+="[^"<>\x1c-\x1f]*"){0,9}'
"""Not more of them, since a pattern that may stop at each takes the square of their number."""
_HREF = pattern(rf"a{_TIDY_ATTRIBUTES}?\s+href={_TIDY_VALUE}", re.IGNORECASE)
_ALT = pattern(rf"img{_TIDY_ATTRIBUTES}?\s+alt={_TIDY_VALUE}", re.IGNORECASE)
_PLAIN_LINK = pattern(rf"<a{_TIDY_ATTRIBUTES}?\s+href={_TIDY_VALUE}{_TIDY_ATTRIBUTES}>([^<>]*)</a>")
_EMPTY = pattern(r"<([^\s<>/]+)((?:\s[^<>]*)?)/>")
_REFERENCE = pattern(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z0-9]{1,32});", re.IGNORECASE)
_LINK = pattern(r"(?:https?://|mailto:|tel:)[^\s]", re.IGNORECASE)
_WIDEST_COLUMN = 60
_DEEPEST_INDENT = 8
_DEEPEST_TABLE = 20


def laid_out(html: str) -> str:
    """Return the HTML as text; what nests too deep for the parser comes as its bare words."""
    for mark in _LAYOUT:
        html = html.replace(mark, " ")
    try:
        return _Page(is_strict=True).read(_without_comments(_without_head(html)))
    except _UntidyError:
        return _Page(is_strict=False).read(_tidied(html))


class _UntidyError(Exception):
    """The HTML is not read as it stands."""


def _without_head(html: str) -> str:
    start = _START.match(html)
    assert start is not None  # Every part of it may be missing.
    end = _HEAD_END.search(html, start.end()) if _HEAD.match(html, start.end()) else None
    return html[end.end() if end else start.end() :]


def _without_comments(html: str) -> str:
    if "!--" not in html:
        return html
    pieces, at = [], 0
    while (start := html.find("<!--", at)) >= 0:
        end = html.find("-->", start + 4)
        if end < 0 or html.startswith((">", "->"), start + 4):
            raise _UntidyError
        pieces.append(html[at:start])
        at = end + 3
    return "".join((*pieces, html[at:]))


def _tidied(html: str) -> str:
    """Return the HTML with every element closed and every attribute quoted, without comments and what is dropped."""
    # Only what is not tidy needs it.
    from lxml.etree import HTMLParser, XMLSyntaxError, fromstring, strip_elements, tostring

    parser = HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        tree = fromstring(html.encode(), parser)
    except XMLSyntaxError:
        return _ANY_TAG.sub(" ", html)
    if any(error.type_name == "ERR_RESOURCE_LIMIT" for error in parser.error_log):
        return _ANY_TAG.sub(" ", html)
    if tree is None:
        return ""
    strip_elements(tree, *_DROPPED, with_tail=False)
    return _EMPTY.sub(r"<\1\2></\1>", tostring(tree, encoding="unicode"))


@dataclass(slots=True)
class _Table:
    """A table being read; `outside` are the pieces around it, `row` is the open one."""

    outside: list[str]
    rows: list[list[str]] = field(default_factory=list)
    row: list[str] | None = None


class _Page:
    """Reads HTML once. A strict one raises _UntidyError where a parser might read something else."""

    def __init__(self, *, is_strict: bool) -> None:
        self._is_strict = is_strict
        self._pieces: list[str] = []
        self._links: list[tuple[list[str], int, str]] = []
        self._lists: list[int | None] = []
        self._tables: list[_Table] = []
        self._tables_too_deep = 0
        self._preformatted = 0

    def read(self, html: str) -> str:
        for tag, mark in _SHORTCUTS:
            html = html.replace(tag, mark)
        parts = _TAG.split(_PLAIN_LINK.sub(_plain_link, html))
        texts, tags = parts[::2], parts[1::2]
        self._refuse(_has_brackets("".join(texts)))
        if "&" in html:
            texts = [_unescaped(text) if "&" in text else text for text in texts]
        actions = dict(_ACTIONS)
        for text, tag in zip(texts, tags, strict=False):
            if text:
                self._pieces.append(self._kept(text) if self._preformatted else text)
            action = actions.get(tag)
            if action is None:
                action = actions[tag] = self._named(tag)
            if isinstance(action, str):
                self._pieces.append(action)
            else:
                action(self, tag)
        self._pieces.append(texts[-1])
        self._close()
        return _text(self._pieces).replace(_BREAK, "\n").replace(_KEPT_SPACE, " ").replace("\xa0", " ")

    def _named(self, tag: str) -> _Action:
        """Return what to do for a tag that is more than a bare name in lower case."""
        name = tag.split(None, 1)[0].rstrip("/").lower()
        is_left_open = tag.endswith("/") and name not in _VOID
        self._refuse(is_left_open or name in _DROPPED or _NEW_PARAGRAPH in tag or _BREAK in tag)
        return _ACTIONS.get(name, "")

    def _refuse(self, is_untidy: bool) -> None:
        if is_untidy and self._is_strict:
            raise _UntidyError

    def _close(self) -> None:
        self._refuse(bool(self._tables or self._links or self._lists or self._preformatted))
        while self._tables:
            self.end_table("")

    # Links and pictures.

    def start_link(self, tag: str) -> None:
        self._refuse(bool(self._links))
        self._links.append((self._pieces, len(self._pieces), self._attribute(_HREF, "href", tag).strip()))

    def end_link(self, tag: str) -> None:
        if not self._links:
            self._refuse(True)
            return
        pieces, at, target = self._links.pop()
        self._refuse(pieces is not self._pieces)
        pieces[at:] = [_link("".join(pieces[at:]), target)]

    def show_picture(self, tag: str) -> None:
        self._pieces.append(self._attribute(_ALT, "alt", tag))

    def _attribute(self, pattern: re.Pattern[str], name: str, tag: str) -> str:
        found = pattern.match(tag)
        if found is None:
            self._refuse(name in tag.lower())
            return ""
        value = found[1]
        return _REFERENCE.sub(_referred, value) if "&" in value else value

    # Lists.

    def start_list(self, tag: str) -> None:
        self._pieces.append(_NEW_LINE)
        self._lists.append(None if tag[0] in "uU" else 0)

    def end_list(self, tag: str) -> None:
        self._refuse(not self._lists)
        if self._lists:
            self._lists.pop()
        self._pieces.append(_NEW_LINE)

    def start_item(self, tag: str) -> None:
        indent = _KEPT_SPACE * 2 * min(len(self._lists) - 1, _DEEPEST_INDENT)
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number = number + 1
        self._pieces.append(f"{_NEW_LINE}{indent}{'*' if number is None else f'{number}.'}{_KEPT_SPACE}")

    # Text with its own spaces.

    def start_preformatted(self, tag: str) -> None:
        self._pieces.append(_NEW_PARAGRAPH)
        self._preformatted += 1

    def end_preformatted(self, tag: str) -> None:
        self._refuse(not self._preformatted)
        self._preformatted = max(0, self._preformatted - 1)
        self._pieces.append(_NEW_PARAGRAPH)

    def _kept(self, text: str) -> str:
        return text.expandtabs().replace(" ", _KEPT_SPACE).replace("\r\n", "\n").replace("\n", _BREAK)

    # Tables. A cell ends where the next one begins; one without a row begins a row.

    def start_table(self, tag: str) -> None:
        self._pieces.append(_NEW_LINE)
        if len(self._tables) < _DEEPEST_TABLE:
            self._tables.append(_Table(self._pieces))
        else:
            self._tables_too_deep += 1

    def start_row(self, tag: str) -> None:
        if (table := self._table()) is not None:
            self._end_cell(table)
            table.row = []
            table.rows.append(table.row)

    def end_row(self, tag: str) -> None:
        if (table := self._table()) is not None:
            self._end_cell(table)
            table.row = None

    def start_cell(self, tag: str) -> None:
        if (table := self._table()) is None:
            self._pieces.append(_NEW_LINE)
            return
        self._end_cell(table)
        if table.row is None:
            self.start_row(tag)
        self._pieces = []

    def end_cell(self, tag: str) -> None:
        if (table := self._table()) is None:
            self._pieces.append(_NEW_LINE)
        else:
            self._end_cell(table)

    def end_table(self, tag: str) -> None:
        if self._tables_too_deep:
            self._tables_too_deep -= 1
        elif (table := self._table()) is not None:
            self._end_cell(table)
            self._tables.pop()
            self._pieces.append(_columns(table.rows))
        self._pieces.append(_NEW_LINE)

    def _table(self) -> _Table | None:
        """Return the table whose rows are read; None outside of tables, and where they nest too deep."""
        if self._tables and not self._tables_too_deep:
            return self._tables[-1]
        self._refuse(not self._tables)
        return None

    def _end_cell(self, table: _Table) -> None:
        if self._pieces is not table.outside and table.row is not None:
            table.row.append(_text(self._pieces))
            self._pieces = table.outside


_Action = str | Callable[[_Page, str], None]
_ACTIONS: Mapping[str, _Action] = {
    **{slash + name: "" for name in _INLINE for slash in ("", "/")},
    **{slash + name: _NEW_LINE for name in _BLOCKS for slash in ("", "/")},
    **{slash + name: _NEW_PARAGRAPH for name in _PARAGRAPHS for slash in ("", "/")},
    "br": _BREAK,
    "a": _Page.start_link,
    "/a": _Page.end_link,
    "img": _Page.show_picture,
    "ul": _Page.start_list,
    "/ul": _Page.end_list,
    "ol": _Page.start_list,
    "/ol": _Page.end_list,
    "li": _Page.start_item,
    "/li": _NEW_LINE,
    "pre": _Page.start_preformatted,
    "/pre": _Page.end_preformatted,
    "table": _Page.start_table,
    "/table": _Page.end_table,
    "tr": _Page.start_row,
    "/tr": _Page.end_row,
    "td": _Page.start_cell,
    "/td": _Page.end_cell,
    "th": _Page.start_cell,
    "/th": _Page.end_cell,
}


_SHORTCUTS = tuple((f"<{name}>", mark) for name in _BARE if isinstance(mark := _ACTIONS[name], str))


def _has_brackets(text: str) -> bool:
    return "<" in text or ">" in text


def _plain_link(link: re.Match[str]) -> str:
    """Write a link whose words hold no element; a target that has to be decoded is left for later."""
    target, words = link.groups()
    return link[0] if "&" in target else _link(words, target)


def _link(words: str, target: str) -> str:
    """Return `[words](target)`, or the target alone where it says the same."""
    shown = words.strip()
    if not shown or not _LINK.match(target):
        return words
    bare = shown.rstrip("/")
    if bare in target and bare == target.removeprefix("mailto:").rstrip("/"):
        return shown
    return f"[{shown}]({target})"


def _unescaped(text: str) -> str:
    """Return the text with its references read; the two that a text of brackets is full of cost least."""
    return unescape(text.replace("&lt;", "<").replace("&gt;", ">"))


def _referred(reference: re.Match[str]) -> str:
    return unescape(reference[0])


# From pieces to lines.


def _text(pieces: list[str]) -> str:
    """Return the pieces as paragraphs, whose lines end in `_BREAK`."""
    text = "".join(pieces)
    is_one_line = text.isprintable()
    if not is_one_line:
        for space in "\n\r\t\f\v":
            text = text.replace(space, " ")
    while "  " in text:
        text = text.replace("  ", " ")
    if is_one_line:
        return text.strip(" ")
    if _NEW_LINE in text or _BREAK in text:
        text = _with_breaks(text)
    paragraphs = [paragraph.strip(_AROUND) for paragraph in text.split(_NEW_PARAGRAPH)]
    return _GAP.join(filter(None, paragraphs))


def _with_breaks(text: str) -> str:
    """Turn what asks for a new line into one break, and two breaks into a paragraph."""
    for mark in (_NEW_LINE, _BREAK):
        text = text.replace(f" {mark}", mark).replace(f"{mark} ", mark)
    while _NEW_LINE * 2 in text:
        text = text.replace(_NEW_LINE * 2, _NEW_LINE)
    text = text.replace(_NEW_LINE + _BREAK, _BREAK).replace(_BREAK + _NEW_LINE, _BREAK)
    return text.replace(_BREAK * 2, _NEW_PARAGRAPH).replace(_NEW_LINE, _BREAK)


def _columns(rows: list[list[str]]) -> str:
    """Lay rows out in columns; one with a cell of several lines is a design rather than data, its cells stand below."""
    widths: list[int] = []
    data = [not any(map(_has_lines, row)) for row in rows]
    for row in compress(rows, data):
        widths += [0] * (len(row) - len(widths))
        for column, cell in enumerate(row):
            if len(cell) > widths[column]:
                widths[column] = min(len(cell), _WIDEST_COLUMN)
    return _NEW_LINE.join(
        _aligned(row, widths) if is_data else _BREAK.join(filter(None, row))
        for row, is_data in zip(rows, data, strict=True)
    )


def _has_lines(cell: str) -> bool:
    return _BREAK in cell


def _aligned(row: list[str], widths: list[int]) -> str:
    return "  ".join(map(str.ljust, row, widths)).rstrip().replace(" ", _KEPT_SPACE)
