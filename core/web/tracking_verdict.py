"""Whether a person or a machine opened a mail or followed a link. Pure; an estimate, and always named as one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from core.pattern import pattern

_BURST = timedelta(seconds=1)
_EARLY = timedelta(seconds=2)
"""Right after the send a scanner fetches all that is in a mail. Programs read as early, but as a person would."""
_EARLY_TIMES = 3
"""One who reads asks for a thing once, and once more where the network failed."""
BURST_REACH = 2 * _EARLY
"""Hits that lie further apart are never of one burst. Where clocks differ, some lie before the send."""
_SCANNER = pattern(
    r"bot\b|crawl|spider|scan|preview|monitor|validator|headless|phantom|"
    r"barracuda|proofpoint|mimecast|ironport|symantec|messagelabs|fireeye|trend ?micro|sophos|zscaler|safebrowsing|"
    r"facebookexternalhit|whatsapp|slack|skype|telegram|discord",
    re.IGNORECASE,
)
"""What says of itself that nobody reads. A library (curl, python, java) says nothing: programs of people use it."""
_PROXY = pattern(r"GoogleImageProxy|YahooMailProxy|DuckDuckGo-?Image", re.IGNORECASE)
_APPLE = "Mozilla/5.0"
"""All that Apple's Mail Privacy Protection says of itself; it fetches what was never read."""


class Reason(StrEnum):
    """Why a hit is a machine's; the last one marks a person's."""

    HEAD = "head"
    """Only the headers were asked for."""
    PREFETCH = "prefetch"
    """The request says so itself."""
    OWN = "own"
    """It came from a page of this host."""
    BURST = "burst"
    """Several links of one mail within a second, or more of it right after the send than one reader asks for."""
    SCANNER = "scanner"
    NO_AGENT = "no_agent"
    APPLE = "apple_privacy"
    PROXY = "proxy"
    """A person's mail program let its own server fetch the picture."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a hit counts as; without a reason it is a person's."""

    is_human: bool
    reason: Reason | None = None

    @property
    def word(self) -> str:
        return "human" if self.is_human else "machine"


def verdict(hint: Reason | None, user_agent: str) -> Verdict:
    """Judge one hit by itself. `hint` is what the request showed."""
    return _by_agent(user_agent) if hint is None else Verdict(False, hint)


@lru_cache(maxsize=4096)
def _by_agent(user_agent: str) -> Verdict:
    if not user_agent:
        return Verdict(False, Reason.NO_AGENT)
    if _PROXY.search(user_agent):
        return Verdict(True, Reason.PROXY)
    if user_agent == _APPLE:
        return Verdict(False, Reason.APPLE)
    return Verdict(False, Reason.SCANNER) if _SCANNER.search(user_agent) else Verdict(True)


def in_burst(clicks: Iterable[tuple[datetime, str]]) -> set[tuple[datetime, str]]:
    """Return those of one mail's clicks, (time, url) each, that another link of it was followed within a second of."""
    ordered: Sequence[tuple[datetime, str]] = sorted(clicks)
    found: set[tuple[datetime, str]] = set()
    for place, (at, url) in enumerate(ordered):
        for other in ordered[place + 1 :]:
            if other[0] - at >= _BURST:
                break
            if other[1] != url:
                found |= {(at, url), other}
    return found


def is_early(at: datetime, sent_at: datetime | None) -> bool:
    """Tell whether a hit came right after its mail's content left."""
    return sent_at is not None and -_EARLY < at - sent_at < _EARLY


def in_early_burst(hits: Iterable[tuple[datetime, str, int]], sent_at: datetime | None) -> set[tuple[datetime, str]]:
    """Return the early ones of one mail's hits, (time, url, count) each, if they are two links or one thing thrice."""
    early = [hit for hit in hits if is_early(hit[0], sent_at)]
    asked: Counter[str] = Counter()
    for _, url, count in early:
        asked[url] += count
    many = len(asked.keys() - {""}) > 1 or any(times >= _EARLY_TIMES for times in asked.values())
    return {(at, url) for at, url, _ in early} if many else set()
