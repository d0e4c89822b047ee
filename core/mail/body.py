"""Bodies: HTML and text into each other.

Both take hostile input: it is bounded in size first, and each step is linear. Nothing here opens a connection or a
file. The HTML of a stranger is made harmless by `sanitise`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape

from core.mail.readable import laid_out
from core.mail.sanitise import HTML_MAX_CHARS
from core.mail.words import clean_text
from core.pattern import pattern

_REMEMBERED_CHARS = 100_000

_LINK_IN_TEXT = pattern(r"\b(?:https?://|mailto:)[^\s<>\"'`\x00-\x20\x7f]++", re.IGNORECASE)
_AFTER_LINK = ".,:;!?)]}"


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
    text = clean_text(text)
    pieces: list[str] = []
    end = 0
    # Most texts have no link, which is found in a twentieth of the time.
    for match in _LINK_IN_TEXT.finditer(text) if "://" in text or "mailto:" in text.lower() else ():
        link = escape(match[0].rstrip(_AFTER_LINK))
        pieces += escape(text[end : match.start()]), f'<a href="{link}" rel="noopener noreferrer nofollow">{link}</a>'
        end = match.start() + len(match[0].rstrip(_AFTER_LINK))
    pieces.append(escape(text[end:]))
    return "<br>\n".join("".join(pieces).splitlines())
