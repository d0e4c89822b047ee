"""The CSS of a mail's `<style>` elements moved onto the elements it is for, since some mail programs read no other.

Done by css-inline, which is given no way to a file or to the network: what a `<link>` or an `@import` names is left to
the program that shows the mail. What cannot be moved, such as media queries and `:hover`, stays in its `<style>`.
"""

from __future__ import annotations

import re

from core.errors import UserError
from core.pattern import pattern

_MAX_STYLE_CHARS = 200_000
"""Ten times what Gmail reads of a mail."""
_MAX_NESTABLE_TAGS = 1_000
"""The library goes down, and the process with it, where elements nest about 10,000 deep (8 MB of stack)."""
_MAX_WORK = 60_000_000
"""Characters of CSS times tags: about what the result may grow by, and a quarter of a second."""

_DOCUMENT_TAG = pattern(r"<(?:html|head|body)\b")
_DOCUMENT = pattern(r"(.*?)<html[^>]*+><head[^>]*+>(.*?)</head><body([^>]*+)>(.*)</body></html>", re.DOTALL)
_STYLE = pattern("<[sS][tT][yY][lL][eE]")
"""Found in a fraction of the time that making the whole mail lower-case takes."""
_STYLE_END = pattern(r"</style[\s/>]")
_TAG = pattern(r"<[a-z]")
# All but those that hold nothing, and those that the next of their kind closes unless one of the others is between. Of
# these at most six stand between two others: the rows and cells of a table, an item, a term, a paragraph.
_NESTABLE = pattern(
    r"<(?!(?:p|td|th|tr|tbody|thead|tfoot|li|dd|dt|option|br|img|hr|wbr|col|input|link|meta)[\s/>])[a-z]"
)


def inlined(html: str) -> str:
    """Return the HTML with its styles on its elements; the very same where it has no `<style>`.

    A fragment stays one, and a document a document. HTML with more elements than can be done safely and at once comes
    back as it is: most mail programs do read a `<style>`, and a long invoice must go out all the same. Raises UserError
    for CSS that is too long, or that cannot be read.
    """
    if _STYLE.search(html) is None:
        return html
    lowered = html.lower()
    css_chars = sum(len(_STYLE_END.split(after, 1)[0]) for after in lowered.split("<style")[1:])
    if css_chars > _MAX_STYLE_CHARS:
        raise UserError(
            f"The mail has {css_chars} characters of CSS, and at most {_MAX_STYLE_CHARS} can be moved onto its "
            "elements; take out what it does not use."
        )
    # Counted without parsing, which no trick of syntax deceives.
    if _count(_NESTABLE, lowered) > _MAX_NESTABLE_TAGS or css_chars * _count(_TAG, lowered) > _MAX_WORK:
        return html
    moved = _moved(html)
    return moved if _DOCUMENT_TAG.search(lowered) else _as_fragment(moved)


def _as_fragment(document: str) -> str:
    """Take away the document that the library puts around a fragment; what was meant for its body goes to a `<div>`."""
    parts = _DOCUMENT.fullmatch(document)
    if parts is None:
        return document
    before, head, attributes, body = parts.groups()
    return before + head + (f"<div{attributes}>{body}</div>" if attributes else body)


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(1 for _ in pattern.finditer(text))


def _moved(html: str) -> str:
    # Imported here: 12 MB of library that a host without such templates never needs.
    from css_inline import CSSInliner

    inliner = CSSInliner(
        load_remote_stylesheets=False,
        keep_link_tags=True,
        keep_style_tags=True,
        remove_inlined_selectors=True,
        keep_at_rules=True,
    )
    try:
        return inliner.inline(html).replace("<style></style>", "")
    except ValueError as error:
        raise UserError(f"The CSS of the mail cannot be moved onto its elements ({error}); correct it.") from error
