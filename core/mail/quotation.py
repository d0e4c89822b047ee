"""A body cut into what its writer says and what a page folds: quoted mail, signatures.

Nothing is thrown away and nothing moved: the passages of a text cover it. Own words are never folded knowingly; where
unsure, all is shown. The rules are in `quotation_rules`, the words of mail programs in `quotation_words`, and HTML is
read by `quotation_html`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.mail.quotation_html import split_reply_html
from core.mail.quotation_rules import Hint, Line, Part, parts_of
from core.mail.values import Reply
from core.pattern import pattern

__all__ = ["Part", "Passage", "passages", "split_reply", "split_reply_html"]

REPLY_MAX_CHARS = 1024 * 1024
_MAX_LINES = 6_000
_MAX_LINE_CHARS = 400
_LATE_INTRODUCTION = pattern(r"(?<=[^\s-])[\s-]{1,4}(?=On [^:]{0,22}\d[^\n]{4,200}wrote:$)")
_LATE_CHARS = 230
_RUNS_ON = pattern(r"[^@\n]{8,120}<[^\s<>@]{1,64}@[^\s<>@]{1,100}>[^<>:\n]{0,20}[:：](?=[ \u00a0]{2,9}\S)")
"""`On Mon, 5 Jan 2026 at 10:12, Ada<ada@x.test> wrote:   Hello`: Yahoo on telephones sets what it quotes behind it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a body, from `start` up to `end`, in characters; the passages of a body cover it."""

    part: Part
    start: int
    end: int


def passages(text: str, *, is_forward: bool = False) -> tuple[Passage, ...]:
    """Read a text body; what lies beyond a megabyte, or 10,000 lines, belongs to the part that it continues."""
    pieces = list(_pieces(text[:REPLY_MAX_CHARS]))
    parts = parts_of([_line(raw) for _, raw in pieces], is_forward=is_forward)
    return tuple(_merged(parts, [*(start for start, _ in pieces), len(text)]))


def split_reply(text: str, *, is_forward: bool = False) -> Reply:
    """Cut a text body in two: what is shown, and what is folded; `is_forward` as of `parts_of`."""
    shown: list[str] = []
    folded: list[str] = []
    parts: set[Part] = set()
    for passage in passages(text, is_forward=is_forward):
        piece = text[passage.start : passage.end].strip("\n")
        if piece.strip():
            parts.add(passage.part)
            (folded if passage.part.is_folded else shown).append(piece)
    return Reply("\n\n".join(shown), "\n\n".join(folded), Part.QUOTATION not in parts) if folded else Reply(text, "")


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Cut a text into lines, each with where it starts; also where an introduction shares a line with other words."""
    at = 0
    for raw in text.split("\n", _MAX_LINES):
        cut = _cut(raw)
        if cut:
            yield at, raw[:cut]
        yield at + cut, raw[cut:]
        at += len(raw) + 1


def _cut(raw: str) -> int:
    """Return where an introduction begins behind own words, or ends before what it quotes; 0 where it does neither."""
    if (
        len(raw) <= _MAX_LINE_CHARS
        and raw.endswith("wrote:")
        and (late := _LATE_INTRODUCTION.search(raw, max(0, len(raw) - _LATE_CHARS)))
    ):
        return late.start()
    found = _RUNS_ON.match(raw) if "@" in raw else None
    return found.end() if found else 0


def _line(raw: str) -> Line:
    text = raw.strip()[:_MAX_LINE_CHARS] if len(raw) > _MAX_LINE_CHARS else raw.strip()
    if not text.startswith(">"):
        return Line("" if text in _INVISIBLE else text, raw)
    if text.endswith(" >>>") and _GROUPWISE.fullmatch(text):
        return Line(text, raw, hint=Hint.QUOTED_BELOW)
    return Line(text, raw, depth=1)


_GROUPWISE = pattern(r">>> [^>\n]{1,200}>?[^>\n]{0,40}\d{1,2}:\d\d[^>\n]{0,10} >>>")
"""`>>> Ada <ada@x.test> 02/06/2025 13:15 >>>`: the mail below it has no marks."""
_INVISIBLE = frozenset({"\u200b", "\ufeff", "\u200e", "\u200f", "\u00ad"})


def _merged(parts: Sequence[Part], starts: Sequence[int]) -> Iterator[Passage]:
    begun = 0
    for at in range(1, len(parts) + 1):
        if at == len(parts) or parts[at] is not parts[begun]:
            yield Passage(parts[begun], starts[begun], starts[at])
            begun = at
