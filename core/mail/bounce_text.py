"""The report that was written for people: whose address failed, and what is said of it.

It knows no system's format by name. An address counts by where it stands: alone on its line, after a word such as
"recipient", beside a server's reply or under a sentence of failure; the mail that came back decides where it is known.
An address that does not stand in the report is never made up. Linear in the text, of which the beginning is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from core.mail.address import normalised
from core.mail.bounce_cause import reply_in, speaks_of_failure, status_in
from core.mail.bounce_signs import GENERATED, LABEL, NEVER_FAILED, NOT_DELIVERED, NOT_FAILED, SUMMARY
from core.pattern import pattern

TEXT_CHARS = 64 * 1024
_MOST_CANDIDATES = 300
_MOST_LINES = 300
_LINE_CHARS = 1000
_WORDS_LINES = 12
_ENOUGH = 4
_NEAR = 1
_STRONG = 3

_AT = pattern(
    r"(?<=[A-Za-z0-9!#$%&'*+/=?^_`{|}~\".-])@([A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)"
)
_LOCAL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+/=?^_`{|}~.-")
_TYPED = pattern(r"^(?:smtp|rfc822)=", re.IGNORECASE)
_BULLET = pattern(r"[\s>*•·|\-–=#.,:;\d)(\[\]\"'<「“]*")
_CLOSED = pattern(r"[\s>\])\"'」”.,;]*(?:$|:|\.\.\.|\(|-|,|;)")
_INTRODUCES = pattern(r"[:：。]\s*$")


@dataclass(frozen=True, slots=True)
class Told:
    """An address that failed, and the lines that speak of it."""

    address: str
    words: str


@dataclass(frozen=True, slots=True)
class Known:
    """What else is known of a report, all normalised: who may have failed, and who certainly did not."""

    recipients: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    hints: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Candidate:
    address: str
    line: int
    position: int
    score: int


def told_in(text: str, known: Known, *, only_strong: bool = False) -> list[Told]:
    """Return the addresses that failed, in the order in which they are told; none where none is certain enough.

    `only_strong` asks for those that stand alone on their line or after a word for a recipient.
    """
    lines = [line[:_LINE_CHARS] for line in text[:TEXT_CHARS].splitlines()]
    found = list(_candidates(lines, known))
    best = [one for one in _best(found, known) if one.position >= _STRONG or not only_strong]
    first: dict[str, _Candidate] = {}
    for one in best:
        first.setdefault(normalised(one.address), one)
    starts = [(normalised(one.address), one.line) for one in found]
    return [
        Told(one.address, _words_at(lines, one, {line for other, line in starts if other != name}))
        for name, one in first.items()
    ]


def addresses_in(line: str) -> Iterator[tuple[str, int, int]]:
    """Yield each address of a text, with where it starts and ends."""
    for match in _AT.finditer(line):
        start = match.start()
        while start and match.start() - start < 64 and line[start - 1] in _LOCAL:
            start -= 1
        raw = line[start : match.start()]
        local = _TYPED.sub("", raw.lstrip("'\"=*/.-!|{`#&?"))
        start += len(raw) - len(local)
        if local and not local.endswith(".") and len(match[1]) <= 253:
            yield f"{local}@{match[1]}", start, match.end()


def _candidates(lines: Sequence[str], known: Known) -> Iterator[_Candidate]:
    under = False
    previous = ""
    count = 0
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        here = list(addresses_in(line)) if "@" in line else []
        around = 2 * speaks_of_failure(line) if here else 0
        after = _next(lines, number) if here else ""
        follows = 1 if here and speaks_of_failure(after) else 0
        for address, start, end in here[:20]:
            count += 1
            if count > _MOST_CANDIDATES:
                return
            position = _position(line, start, end)
            score = position + max(around, follows) + (2 if under else 0)
            score += 1 if NOT_DELIVERED.search(line.lower()) or NOT_DELIVERED.search(previous) else 0
            yield _Candidate(
                address, number, position, score + _standing(address, line[start - 1 : start] == "<", known)
            )
        said = line.lower()
        under = _is_introduction(said) or (under and bool(here) and len(line.split()) <= 6)
        previous = said


def _is_introduction(said: str) -> bool:
    return NOT_DELIVERED.search(said) is not None or (
        _INTRODUCES.search(said) is not None
        and any(word in said for word in ("recipient", "address", "user", "mailbox"))
    )


def _position(line: str, start: int, end: int) -> int:
    before = line[:start]
    if "://" in before.rpartition(" ")[2] or "?" in before.rpartition(" ")[2]:
        return -9
    lead = before[-80:].lower()
    if _BULLET.fullmatch(before[-40:]):
        return 4 if _CLOSED.match(line, end) else 3
    if GENERATED.search(lead):
        return 1
    if SUMMARY.fullmatch(before.lower()):
        return 2
    if NOT_FAILED.search(lead):
        return -6
    return 4 if LABEL.search(lead) else 1


def _standing(address: str, is_in_brackets: bool, known: Known) -> int:
    name = normalised(address)
    if name in known.hints or name in known.recipients:
        return 3
    if name in known.others:
        return -8
    if NEVER_FAILED.fullmatch(name.partition("@")[0]):
        return -6
    return 0 if "." in name.partition("@")[2] or is_in_brackets else -4


def _best(found: Sequence[_Candidate], known: Known) -> list[_Candidate]:
    """Return the candidates that are good enough: those that the mail went to, or else the best and the nearly best."""
    told = [one for one in found if one.score >= _ENOUGH]
    if not told:
        possible = {normalised(one.address) for one in found if one.score > 0}
        return [one for one in found if one.score > 0][:1] if len(possible) == 1 else []
    top = max(one.score for one in told)
    best = [one for one in told if one.position >= _STRONG] or [one for one in told if one.score >= top - _NEAR]
    return [one for one in best if normalised(one.address) in known.recipients | known.hints] or best


def _words_at(lines: Sequence[str], one: _Candidate, starts: Set[int]) -> str:
    """Return the line of an address and those after it, up to another address or, once a cause is told, a gap."""
    words = [lines[one.line]]
    told = speaks_of_failure(_without(lines[one.line], one.address))
    for number in range(one.line + 1, min(len(lines), one.line + _WORDS_LINES)):
        line = lines[number]
        if told and (number in starts or not line.strip()):
            break
        words.append(line)
        told = told or speaks_of_failure(line)
    if not told and one.line:
        words.insert(0, lines[one.line - 1])
    return " ".join(" ".join(words).split())


def _without(line: str, address: str) -> str:
    return line.replace(address, "")


def _next(lines: Sequence[str], number: int) -> str:
    return next((line for line in lines[number + 1 : number + 4] if line.strip()), "")


def all_words(text: str) -> str:
    """Return the lines of a report that say why, for a cause that stands apart from the address."""
    telling: Iterable[str] = (
        line for line in text[:TEXT_CHARS].splitlines()[:_MOST_LINES] if speaks_of_failure(line[:_LINE_CHARS])
    )
    lines = list(telling)[:_WORDS_LINES]
    by_server = [line for line in lines if status_in(line) or reply_in(line)]
    return " ".join(" ".join([*by_server, *(line for line in lines if line not in by_server)]).split())[:4000]
