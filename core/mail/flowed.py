"""Text of `format=flowed` (RFC 3676) into whole paragraphs, and text/enriched (RFC 1896) into plain text.

Quoted lines keep their breaks: a reader folds them away, and finds them by the mark that each begins with. A signed
text stays as it is, or its signature would no longer fit.
"""

from __future__ import annotations

import re

from core.pattern import pattern

_MOST_LINES = 100_000
_SIGNATURE_MARK = "-- "
_ENRICHED_MARK = pattern(r"<(<|/?[A-Za-z][A-Za-z0-9-]{0,60}>)")
_PARAM = pattern(r"<param>[^<]*</param>", re.IGNORECASE)
_LINE_BREAKS = pattern(r"\n+")


def unflowed(text: str, *, delete_space: bool) -> str:
    """Return flowed text, its lines ended by `\\n`, with each paragraph on one line; `delete_space` is DelSp."""
    if " \n" not in text and "\n " not in text and not text.startswith(" "):
        return text
    if text.startswith("-----BEGIN PGP") or text.count("\n") > _MOST_LINES:
        return text
    paragraphs: list[str] = []
    flowing: list[str] = []
    for line in text.split("\n"):
        if line.startswith(">") or line == _SIGNATURE_MARK:
            paragraphs += ("".join(flowing), line) if flowing else (line,)
            flowing = []
            continue
        line = line.removeprefix(" ")
        flowing.append(line[:-1] if delete_space and line.endswith(" ") else line)
        if not line.endswith(" "):
            paragraphs.append("".join(flowing))
            flowing = []
    return "\n".join((*paragraphs, "".join(flowing)) if flowing else paragraphs)


def enriched_to_text(text: str) -> str:
    """Return text/enriched without its marks; a single line break is a space, of several one is left out."""
    text = _LINE_BREAKS.sub(lambda breaks: " " if len(breaks[0]) == 1 else breaks[0][1:], text)
    return _ENRICHED_MARK.sub(lambda mark: "<" if mark[1] == "<" else "", _PARAM.sub("", text))
