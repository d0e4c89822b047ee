"""The rules by which the lines of a body are told apart: own words, quotations, signatures, what is passed on.

They know lines only, so a text and an HTML body are cut alike. Each line is answered by a few bounded questions; what
can be read both ways (answers between quoted lines, a quotation without a mark and nothing above it) counts as own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.mail.quotation_words import (
    FORWARDED,
    INTRODUCTION_ENDS,
    INTRODUCTION_STARTS,
    INTRODUCTION_VERBS,
    LABELS,
    ORIGINAL,
    REPLY_ABOVE,
    SPOKEN_ENDS,
    Label,
)
from core.mail.signature import signature_start
from core.pattern import pattern

_MAX_INTRODUCTION_LINES = 4
_MAX_INTRODUCTION_CHARS = 500
_MAX_HEADER_LINES = 24
_FEW_QUOTED_LINES = 3
_ANSWERS_WITHIN_LINES = 200
_MAX_WORDS_OF_A_NAME = 8
_MAX_WORDS_AFTER_ADDRESS = 3
_AROUND = "-—* \u200e\u200f\u202a\u202b\u202c"


class Part(StrEnum):
    """What a stretch of a body is."""

    OWN = "own"
    QUOTATION = "quotation"
    SIGNATURE = "signature"
    FORWARD = "forward"

    @property
    def is_folded(self) -> bool:
        """Whether a page shows it only when asked."""
        return self in (Part.QUOTATION, Part.SIGNATURE)


class Hint(StrEnum):
    """What the markup of an HTML body says of a line; a text has no such hints."""

    NONE = ""
    INTRODUCTION = "introduction"
    QUOTED_BELOW = "quoted below"
    """All that follows is the mail that is answered."""
    QUOTED = "quoted"
    """It is in an element that holds a quoted mail, with its introduction."""
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: stripped, as it came, how deep it is quoted (0 for not at all), and a hint."""

    text: str
    raw: str
    depth: int = 0
    hint: Hint = Hint.NONE


@dataclass(slots=True)
class _Block:
    """Lines that are not the writer's: from the heading up to `end`. `is_open` where only the body's end ends it."""

    start: int
    end: int
    part: Part
    is_introduced: bool
    is_open: bool


def parts_of(lines: Sequence[Line], *, is_forward: bool = False) -> list[Part]:
    """Say of each line what it is part of.

    `is_forward` says that the mail passes another one on: its header and text, which Outlook writes as it does below a
    reply, are then to be seen.
    """
    blocks = list(_blocks(lines))
    parts = [Part.OWN] * len(lines)
    if is_forward and blocks and blocks[0].is_open:
        blocks[0].part = Part.FORWARD
    for block, is_shown in _judged(lines, blocks):
        if not is_shown or block.part is Part.FORWARD:
            parts[block.start : block.end] = [block.part] * (block.end - block.start)
    _mark_signatures(lines, parts)
    _join_gaps(lines, parts)
    return _never_empty(lines, parts)


def heads(lines: Sequence[Line], at: int) -> int:
    """Return the line after the heading of a quoted mail that begins on line `at`; 0 where none does."""
    heading = _heading(lines, at) if lines[at].text else None
    return heading.end if heading else 0


# Blocks: what is not the writer's.


def _blocks(lines: Sequence[Line]) -> Iterator[_Block]:
    at, count = 0, len(lines)
    while at < count:
        line = lines[at]
        if not line.text:
            at += 1
            continue
        if line.depth:
            end = _end_of_quoted(lines, at)
            yield _Block(at, end, Part.QUOTATION, is_introduced=line.hint is Hint.QUOTED, is_open=False)
            at = end
            continue
        block = _headed_block(lines, at)
        if block is None:
            at += 1
            continue
        yield block
        at = block.end


def _headed_block(lines: Sequence[Line], at: int) -> _Block | None:
    """Return the block that a heading on this line begins."""
    heading = _heading(lines, at)
    if heading is None:
        return None
    below = _next_words(lines, heading.end)
    if below < len(lines) and lines[below].depth:
        return _Block(at, _end_of_quoted(lines, below), heading.part, is_introduced=True, is_open=False)
    if below == len(lines) and not heading.is_sure:
        return None
    if not heading.is_sure or (heading.is_introduction and _answers_below(lines, below)):
        return None
    return _Block(at, len(lines), heading.part, is_introduced=True, is_open=True)


def _answers_below(lines: Sequence[Line], at: int) -> bool:
    """Whether quoted lines without a heading of their own follow: then the unmarked lines may be answers."""
    near = range(at, min(len(lines), at + _ANSWERS_WITHIN_LINES))
    first = next((index for index in near if lines[index].depth), None)
    if first is None:
        return False
    return not any(_heading(lines, index) for index in range(max(at, first - 30), first) if lines[index].text)


def _end_of_quoted(lines: Sequence[Line], at: int) -> int:
    """Return the line after the last one of a run of quoted lines, blank ones and broken links between them."""
    end = at
    while at < len(lines):
        line = lines[at]
        if line.depth:
            end = at + 1
        elif line.text and not _is_broken_link(lines, at):
            break
        at += 1
    return end


def _is_broken_link(lines: Sequence[Line], at: int) -> bool:
    """Whether a line is a piece of an address that a mail program set apart from the quoted line it belongs to."""
    text = lines[at].text.rstrip(" >") if lines[at].text.startswith("(") else lines[at].text
    if " " in text or len(text) < 8 or not (below := _next_words(lines, at + 1)) < len(lines) or not lines[below].depth:
        return False
    is_bracketed = text.startswith(("(http", "<http", "[http", "<mailto:"))
    return is_bracketed or (text[-1] in ")>]" and text[0] not in "(<[" and any(char in "=/%&_" for char in text))


def _next_words(lines: Sequence[Line], at: int) -> int:
    while at < len(lines) and not lines[at].text:
        at += 1
    return at


def _judged(lines: Sequence[Line], blocks: Sequence[_Block]) -> Iterator[tuple[_Block, bool]]:
    """Say of each block whether it is shown: answers stand between quoted lines, or there is nothing else to show."""
    answered = [_is_answered(lines, blocks, number) for number in range(len(blocks))]
    goes_on = any(answered) and not answered[-1] and not blocks[-1].is_introduced
    is_inline = sum(answered) > 1 or goes_on
    has_words = _has_words(lines, blocks, len(lines))
    for block, is_answered in zip(blocks, answered, strict=True):
        if is_answered:
            yield block, is_inline or not block.is_introduced
        elif block.is_open:
            yield block, not _has_words(lines, blocks, block.start) or _announces_answers(lines[: block.start])
        else:
            is_short = block.end - block.start <= _FEW_QUOTED_LINES
            yield block, (is_inline and is_short) or not has_words


def _announces_answers(lines: Sequence[Line]) -> bool:
    """Whether own words say that answers stand in the mail below: without marks nobody can tell them from it."""
    return any(_INSIDE.search(line.text.casefold()) for line in lines[-_ANNOUNCING_LINES:] if line.text)


_ANNOUNCING_LINES = 30
_INSIDE = pattern(
    r"\bin-?line\b|\b(?:answer|comment|repl|respon|note|see|look|read)[^.!?]{0,40}\b(?:below|underneath|in the text)\b"
    r"|\bbelow in\b|\bin (?:red|blue|green|bold|purple|colou?r|capitals|rot|blau|grün|fett|rosso|rojo|azul|verde)\b"
    r"|\ben (?:rouge|bleu|vert|gras|rojo|azul|verde|negrita)\b"
    r"|\bsiehe (?:weiter )?unten\b|\bs\. ?u\.|\bweiter unten\b|\b(?:direkt )?im text\b|\bunten (?:ergänzt"
    r"|beantwortet|im)\b"
    r"|\bci-dessous\b|\bdans le texte\b|\bmás abajo\b|\ben el texto\b|\babaixo\b|\bno texto\b"
    r"|\bnel testo\b|\bqui sotto\b"
    r"|\bdi seguito\b|\bhieronder\b|\bin de tekst\b|\bnedan\b|\bnedenfor\b|\bi texten\b|\bponiżej\b"
    r"|\bw tekście\b|\bníže\b"
    r"|\bниже\b|\bв тексте\b|\bнижче\b|\başağıda\b|見下|下記|以下|如下|아래"
)


def _is_answered(lines: Sequence[Line], blocks: Sequence[_Block], number: int) -> bool:
    """Whether own words follow a block, before the next one."""
    start = blocks[number].end
    end = blocks[number + 1].start if number + 1 < len(blocks) else len(lines)
    return any(line.text for line in lines[start : start + _signature(lines[start:end], is_first=False)])


def _signature(lines: Sequence[Line], *, is_first: bool) -> int:
    """Return the line on which a signature begins; only below other words may it be all there is."""
    before = [] if is_first else ["."]
    texts = [*before, *("" if line.hint is Hint.SIGNATURE else line.text for line in lines)]
    return signature_start(texts, [*before, *(line.raw for line in lines)]) - len(before)


def _has_words(lines: Sequence[Line], blocks: Sequence[_Block], end: int) -> bool:
    """Whether the writer has a word in the lines before `end`."""
    at = 0
    for block in [*blocks, None]:
        until = min(end, block.start if block else end)
        if any(lines[index].text for index in range(at, until)):
            return True
        if block is None or block.start >= end:
            return False
        at = block.end
    return False


def _mark_signatures(lines: Sequence[Line], parts: list[Part]) -> None:
    """Mark the end of each stretch of own words that a folded part follows, or nothing."""
    begun: int | None = None
    first = next((at for at, part in enumerate(parts) if part is Part.OWN and lines[at].text), 0)
    first = next((at for at in range(first, -1, -1) if at == 0 or parts[at - 1] is not Part.OWN), 0)
    for at in range(len(parts) + 1):
        is_own = at < len(parts) and parts[at] is Part.OWN and not lines[at].depth
        if is_own:
            begun = at if begun is None else begun
        elif begun is not None:
            if at == len(parts) or parts[at] is not Part.OWN:
                start = begun + _signature(lines[begun:at], is_first=begun == first)
                parts[start:at] = [Part.SIGNATURE] * (at - start)
            begun = None
    for at, line in enumerate(lines):
        if line.hint is Hint.SIGNATURE and parts[at] is Part.OWN:
            parts[at] = Part.SIGNATURE


def _join_gaps(lines: Sequence[Line], parts: list[Part]) -> None:
    """Give blank lines, and rules without words, above a folded part to it."""
    for at in range(len(parts) - 2, -1, -1):
        if parts[at + 1].is_folded and parts[at] is Part.OWN and not lines[at].text:
            parts[at] = parts[at + 1]


def _never_empty(lines: Sequence[Line], parts: list[Part]) -> list[Part]:
    """Where nothing would be shown, show the signature, or else all."""
    for hidden in (Part.SIGNATURE, Part.QUOTATION):
        if any(line.text and not part.is_folded for line, part in zip(lines, parts, strict=True)):
            break
        parts = [Part.OWN if part is hidden else part for part in parts]
    return parts


# Headings: where a quoted or passed-on mail begins.


@dataclass(frozen=True, slots=True)
class _Heading:
    """A heading up to `end`. A sure one needs no marks on the lines below it."""

    end: int
    part: Part = Part.QUOTATION
    is_sure: bool = True
    is_introduction: bool = False


def _heading(lines: Sequence[Line], at: int) -> _Heading | None:
    hint = lines[at].hint
    if hint is Hint.QUOTED_BELOW:
        return _Heading(at)
    if hint is Hint.INTRODUCTION:
        end = next((index for index in range(at, len(lines)) if lines[index].hint is not hint), len(lines))
        return _divided(lines, at) or _Heading(end, is_introduction=True)
    text = lines[at].text
    return _divided(lines, at) or _header_block(lines, at) or (_introduced(lines, at) if _may_introduce(text) else None)


def _divided(lines: Sequence[Line], at: int) -> _Heading | None:
    """`-----Original Message-----`, a rule above a header, a forward's divider, a help desk's line."""
    text = lines[at].text
    if len(text) > 160:
        return None
    words = text.strip("-_=*~#<> —–:：.").casefold()
    if not words:
        return _ruled(lines, at) if len(text) >= 5 else None
    is_dashed = text[:2] in ("--", "__", "==", "**", "~~", "—-", "- ", "——", "*-") and text[-1] in "-_=*~—:"
    if words in FORWARDED and (is_dashed or text.endswith((":", "："))):
        return _Heading(_end_of_header(lines, at + 1), Part.FORWARD)
    if words in ORIGINAL and (is_dashed or _header_block(lines, _next_words(lines, at + 1)) is not None):
        return _Heading(_end_of_header(lines, at + 1))
    if is_dashed and text[-3:] in _RULES and len(words.split()) <= 4:
        return _header_block(lines, _next_words(lines, at + 1))
    if any(phrase in words for phrase in REPLY_ABOVE) and (text[0] in "#-=_*[(>—" or len(text) < 90):
        return _Heading(at + 1)
    return None


_RULES = ("---", "___", "===", "***", "——-", "——–", "———")


def _ruled(lines: Sequence[Line], at: int) -> _Heading | None:
    """A rule begins a quotation where the header of a mail, or an introduction, stands right below it."""
    below = _next_words(lines, at + 1)
    if below >= len(lines) or below > at + 3 or lines[below].depth:
        return None
    return _header_block(lines, below) or (_introduced(lines, below) if _may_introduce(lines[below].text) else None)


def _end_of_header(lines: Sequence[Line], at: int) -> int:
    below = _next_words(lines, at)
    heading = _header_block(lines, below) if below < len(lines) else None
    return heading.end if heading else at


def _label(text: str) -> Label | None:
    """Return what a header line says: `From:`, `*Von :*`, `发件人：`."""
    head = text[:40].replace("：", ":")
    colon = head.find(":")
    if colon <= 0:
        return None
    return LABELS.get(head[:colon].strip("*_ \t\u00a0\u200e\u200f").casefold())


def _header_block(lines: Sequence[Line], at: int) -> _Heading | None:
    """The header of a mail, in the language of whoever quotes it; its lines may be wrapped or apart."""
    if at >= len(lines) or lines[at].depth or _label(lines[at].text) is None:
        return None
    found: list[tuple[Label, str]] = []
    end, strange = at, 0
    for index in range(at, min(len(lines), at + _MAX_HEADER_LINES)):
        text = lines[index].text
        if lines[index].depth:
            break
        label = _label(text) if text else None
        if label is not None:
            found.append((label, text))
            end, strange = index + 1, 0
        elif not text:
            if len(found) >= 3 and not _label_follows(lines, index):
                break
        else:
            strange += 1
            if strange > (8 if "@" in text or ";" in text else 1):
                break
    return _Heading(end) if _is_header(found) else None


def _label_follows(lines: Sequence[Line], at: int) -> bool:
    below = _next_words(lines, at)
    return below < len(lines) and below <= at + 2 and _label(lines[below].text) is not None


def _is_header(found: Sequence[tuple[Label, str]]) -> bool:
    """Enough of what a mail has and a list of facts has not: a subject or an address, beside sender and date.

    Without both it takes the order of mail programs, in which the date comes second: that of a journey comes last.
    """
    labels = [label for label, _ in found]
    kinds = set(labels)
    has_address = any("@" in text for label, text in found if label in (Label.FROM, Label.TO, Label.COPY))
    has_date = any(any(map(str.isdigit, text)) for label, text in found if label is Label.DATE)
    if Label.SUBJECT in kinds and kinds >= {Label.FROM, Label.DATE}:
        return True
    if Label.SUBJECT in kinds and has_address and kinds & {Label.FROM, Label.DATE}:
        return True
    if has_address:
        return len(kinds) >= 2 and (has_date or len(kinds) >= 3)
    return has_date and labels[:3] == [Label.FROM, Label.DATE, Label.TO]


# Introductions: "On Monday, Anna wrote:".

_DAY = pattern(
    r"\b\d{4}\b|\b\d{1,2}[./-]\d{1,2}\b|\d\s?[年년月]|\d{1,2}(?:st|nd|rd|th|\.)?\s[^\W\d_]{3,}|\b[^\W\d_]{3,30}\.?\s\d{1,2}\b"
)
_TIME = pattern(r"\b\d{1,2}[:.h]\d{2}\b|\d\s?(?:[ap]\.?m\b|uhr|時|点|시|h\b)")
_WEEKDAY = pattern(r"[^\W\d_]{1,4}[.,] ")
_ADDRESS = pattern(r"[<(\[\s:\"][^\s<>()\[\]@:\"]{1,100}@[^\s<>()\[\]@]{1,100}")


def _may_introduce(text: str) -> bool:
    """Whether it is worth asking: an introduction has a digit, an address or a colon on its first line."""
    return text[-1] in ":：-—" or _is_dated_or_addressed(text)


def _is_dated_or_addressed(text: str) -> bool:
    return "@" in text or any(map(str.isdigit, text[:60]))


def _introduced(lines: Sequence[Line], at: int) -> _Heading | None:
    """Return the introduction that begins on this line, however a mail program has wrapped it."""
    joined = ""
    for span in range(_MAX_INTRODUCTION_LINES):
        index = at + span
        if index >= len(lines) or lines[index].depth or not lines[index].text:
            return None
        if span and not _is_dated_or_addressed(joined):
            return None
        joined = f"{joined} {lines[index].text}" if joined else lines[index].text
        if len(joined) > _MAX_INTRODUCTION_CHARS:
            return None
        is_quoted_below = (below := _next_words(lines, index + 1)) < len(lines) and lines[below].depth > 0
        sureness = _sureness(joined, lines[at].text, is_quoted_below=is_quoted_below)
        if sureness is not None and _begins_anew(lines, at + 1, index):
            return None
        if sureness is not None:
            return _Heading(index + 1, is_sure=sureness, is_introduction=True)
        if joined[-1] in ":：" and not joined.endswith("mailto:"):
            return None
        if joined[-1] in "!?" or (joined[-1] == "." and len(lines[index].text.rsplit(" ", 1)[-1]) > 5):
            return None
    return None


def _begins_anew(lines: Sequence[Line], at: int, end: int) -> bool:
    """Whether one of the later lines up to `end` is where it truly begins; not at the hour, in Catalan."""
    starts = (line.text[:40].casefold() for line in lines[at : end + 1])
    return any(text.startswith(INTRODUCTION_STARTS) and _DAY.search(text) for text in starts if text[:6] != "a les ")


def _sureness(text: str, first_line: str, *, is_quoted_below: bool) -> bool | None:
    """Return None for no introduction, False for one that only marks on the lines below it can prove."""
    dashes = len(text) - len(text.lstrip("-—*> "))
    words = text.lstrip(_AROUND + ">").rstrip(_AROUND).replace("\u00a0", " ")
    has_colon = words.endswith((":", "："))
    words = words.rstrip(":： -—*").casefold()
    ends = words.endswith(INTRODUCTION_ENDS) and (has_colon or dashes >= 2 or is_quoted_below)
    is_bare = is_quoted_below and words[:1].isdigit() and words.endswith((">", ")"))
    if not (has_colon or ends or is_bare):
        return None
    has_day = _DAY.search(words) is not None
    address = _ADDRESS.search(f" {words}")
    is_timed = _TIME.search(words) is not None
    is_sure = address is not None or (is_timed and not words.endswith(SPOKEN_ENDS))
    is_dated = has_day or is_timed or address is not None
    starts = words[:1].isdigit() or words.startswith(INTRODUCTION_STARTS) or _WEEKDAY.match(words) is not None
    if ends:
        if (starts and is_dated) or dashes >= 2:
            return is_sure or dashes >= 2
        if address is None:
            return False if is_quoted_below and text == first_line and _is_named(text) else None
    elif not has_colon:
        return False if has_day and address else None
    if has_day and has_colon and any(verb in words for verb in INTRODUCTION_VERBS):
        return is_sure
    return _is_about_address(words, first_line, address, has_day=has_day, starts=starts)


def _is_named(text: str) -> bool:
    """Whether it is a name and a verb, as `Anna via Forum wrote:`: each word of the name has a capital letter."""
    *name, _ = text.split()
    is_name = all(word[:1].isupper() or word in ("via", "von", "van", "de") for word in name)
    return 0 < len(name) <= _MAX_WORDS_OF_A_NAME and is_name and name[0].casefold() not in _NO_NAMES


_NO_NAMES = frozenset(
    {"as", "like", "what", "when", "since", "then", "wie", "was", "als", "comme", "como", "come", "zoals", "som"}
)


def _is_about_address(
    words: str, first_line: str, address: re.Match[str] | None, *, has_day: bool, starts: bool
) -> bool | None:
    """Whatever the language: a name with an address, a date, and a word or two up to the colon."""
    if address is None or (not starts and "@" not in first_line):
        return None
    before, after = words[: address.start()], words[address.end() - 1 :]
    is_quoting = words.startswith(("quoting ", "zitat von ", "citando "))
    has_verb = words.endswith(INTRODUCTION_ENDS)
    if not has_day and not is_quoting and not (has_verb and len(before.split()) <= _MAX_WORDS_OF_A_NAME):
        return None
    return True if has_verb or len(after.split()) <= _MAX_WORDS_AFTER_ADDRESS else None
