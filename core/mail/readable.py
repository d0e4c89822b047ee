"""HTML laid out as text: paragraphs, lists, tables in columns, links with their target.

The parser (libxml2) hands over one element after the other and no tree is kept, so hostile input costs no more than its
length: nesting is cut by the parser, and no column is padded beyond `_WIDEST_COLUMN`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from threading import get_ident

from lxml.etree import HTMLParser, XMLSyntaxError, fromstring

# What `\s` matches and HTML text never holds once its white space is collapsed: these stand for layout until the end.
_NEW_LINE = "\x1e"
_NEW_PARAGRAPH = "\x1f"
_KEPT_SPACE = "\x1d"
_BREAKS_RUN = re.compile(f"[\n{_NEW_LINE}{_NEW_PARAGRAPH}][ \n{_NEW_LINE}{_NEW_PARAGRAPH}]*+")
_BLANKS = re.compile("  +")
_SPACES = re.compile(r"\s+")

_DROPPED = frozenset(
    {"script", "style", "title", "template", "noscript", "textarea", "select", "iframe", "object", "svg", "math"}
)
_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "hr", "dl", "figure"})
_BLOCKS = frozenset({
    *("div", "section", "article", "header", "footer", "main", "nav", "aside", "address", "center", "form", "fieldset"),
    *("dt", "dd", "li", "ul", "ol", "table", "caption", "tr", "td", "th"),
})  # fmt: skip
_BREAKS = {**dict.fromkeys(_BLOCKS, _NEW_LINE), **dict.fromkeys(_PARAGRAPHS, _NEW_PARAGRAPH)}
_LINK = re.compile(r"(?:https?://|mailto:|tel:)[^\s]", re.IGNORECASE)
_WIDEST_COLUMN = 60
_DEEPEST_INDENT = 8


def laid_out(html: str) -> str:
    """Return the HTML as text; what the parser gives up on is laid out as far as it came."""
    has_own_spaces = "<pre" in html.lower()
    if not has_own_spaces:
        html = " ".join(html.split())
    page, parser = _reader(get_ident())
    page.begin(has_own_spaces)
    try:
        fromstring(html.encode() or b" ", parser)
    except XMLSyntaxError:
        page.close()
    return page.text


@lru_cache(maxsize=64)
def _reader(thread: int) -> tuple[_Page, HTMLParser]:
    """Return what a thread reads with, as making it takes as long as reading a short mail."""
    page = _Page()
    return page, HTMLParser(target=page, encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)


@dataclass(slots=True)
class _Table:
    """A table being read; `outside` are the pieces around it."""

    outside: list[str]
    rows: list[list[str]] = field(default_factory=list)


class _Page:
    """Takes the parser's events; `text` is the result once it is closed."""

    def __init__(self) -> None:
        self.begin(has_own_spaces=False)

    def begin(self, has_own_spaces: bool) -> None:
        self.text = ""
        self._has_own_spaces = has_own_spaces
        self._pieces: list[str] = []
        self._links: list[tuple[list[str], int, str]] = []
        self._lists: list[int | None] = []
        self._tables: list[_Table] = []
        self._dropped = 0
        self._preformatted = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if self._dropped or tag in _DROPPED:
            self._dropped += 1
            return
        if tag in ("td", "th") and self._tables:
            self._pieces = []
            return
        if tag in _BREAKS:
            self._pieces.append(_BREAKS[tag])
        match tag:
            case "br":
                self._pieces.append("\n")
            case "a":
                self._links.append((self._pieces, len(self._pieces), attributes.get("href", "").strip()))
            case "img":
                self.data(attributes.get("alt", ""))
            case "ul" | "ol":
                self._lists.append(None if tag == "ul" else 0)
            case "li":
                self._pieces.append(self._bullet())
            case "pre":
                self._preformatted += 1
            case "table":
                self._tables.append(_Table(self._pieces))
            case "tr" if self._tables:
                self._tables[-1].rows.append([])

    def end(self, tag: str) -> None:
        if self._dropped:
            self._dropped -= 1
            return
        match tag:
            case "a" if self._links:
                self._end_link(*self._links.pop())
            case "ul" | "ol" if self._lists:
                self._lists.pop()
            case "pre":
                self._preformatted -= 1
            case "td" | "th" if self._tables:
                self._end_cell(self._tables[-1])
                return
            case "table" if self._tables:
                table = self._tables.pop()
                self._pieces = table.outside
                self._pieces.append(_columns(table.rows))
        if tag in _BREAKS:
            self._pieces.append(_BREAKS[tag])

    def data(self, text: str) -> None:
        if self._dropped:
            return
        if self._preformatted:
            text = text.expandtabs().replace(" ", _KEPT_SPACE)
        elif self._has_own_spaces:
            text = _SPACES.sub(" ", text)
        self._pieces.append(text)

    def close(self) -> None:
        while self._tables:
            self.end("table")
        self.text = _text(self._pieces).replace(_KEPT_SPACE, " ").replace("\xa0", " ")

    def _bullet(self) -> str:
        indent = _KEPT_SPACE * 2 * min(len(self._lists) - 1, _DEEPEST_INDENT)
        number = self._lists[-1] if self._lists else None
        if number is None:
            return f"{indent}*{_KEPT_SPACE}"
        self._lists[-1] = number + 1
        return f"{indent}{number + 1}.{_KEPT_SPACE}"

    def _end_link(self, pieces: list[str], at: int, target: str) -> None:
        """Write `[words](target)`, or the target alone where it says the same."""
        words = "".join(pieces[at:]).strip()
        if _LINK.match(target) and words:
            same = target.removeprefix("mailto:").rstrip("/") == words.rstrip("/")
            pieces[at:] = [words if same else f"[{words}]({target})"]

    def _end_cell(self, table: _Table) -> None:
        if not table.rows:
            table.rows.append([])
        table.rows[-1].append(_text(self._pieces))
        self._pieces = table.outside


def _text(pieces: list[str]) -> str:
    text = "".join(pieces)
    if "  " in text:
        text = _BLANKS.sub(" ", text)
    for end in ("\n", _NEW_LINE, _NEW_PARAGRAPH):
        text = text.replace(f" {end}", end)
    return _BREAKS_RUN.sub(_line_end, text).strip(" \n")


def _line_end(run: re.Match[str]) -> str:
    breaks = run[0]
    return "\n\n" if _NEW_PARAGRAPH in breaks or breaks.count("\n") > 1 else "\n"


def _columns(rows: list[list[str]]) -> str:
    """Lay rows out in columns; one with a cell of several lines is a design rather than data, its cells stand below."""
    widths: dict[int, int] = {}
    for row in filter(_is_data, rows):
        for column, cell in enumerate(row):
            widths[column] = min(max(widths.get(column, 0), len(cell)), _WIDEST_COLUMN)
    return _NEW_LINE.join(_aligned(row, widths) if _is_data(row) else "\n".join(filter(None, row)) for row in rows)


def _is_data(row: list[str]) -> bool:
    return not any("\n" in cell for cell in row)


def _aligned(row: list[str], widths: Mapping[int, int]) -> str:
    line = "  ".join(cell.ljust(widths[column]) for column, cell in enumerate(row)).rstrip()
    return line.replace(" ", _KEPT_SPACE)
