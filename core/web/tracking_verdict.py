"""Whether a person or a machine opened a mail or followed a link. Pure; an estimate, and always named as one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

_TOO_SOON = timedelta(seconds=2)
"""Nobody reads a mail before its server has said that it took it; scanners do."""
_BURST = timedelta(seconds=1)
_SCANNER = re.compile(
    r"bot\b|crawl|spider|scan|preview|monitor|validator|headless|phantom|"
    r"barracuda|proofpoint|mimecast|ironport|symantec|messagelabs|fireeye|trend ?micro|sophos|zscaler|safebrowsing|"
    r"facebookexternalhit|whatsapp|slack|skype|telegram|discord|"
    r"\b(?:curl|wget|libwww-perl|okhttp|axios|node-fetch|python|ruby|java|php|perl|go-http-client|apache-httpclient)\b",
    re.IGNORECASE,
)
_PROXY = re.compile(r"GoogleImageProxy|YahooMailProxy|DuckDuckGo-?Image", re.IGNORECASE)
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
    TOO_SOON = "too_soon"
    BURST = "burst"
    """Several links of one mail within a second."""
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


def verdict(hint: Reason | None, user_agent: str, at: datetime, sent_at: datetime | None) -> Verdict:
    """Judge one hit by itself. `hint` is what the request showed, `sent_at` when its mail's content left."""
    if hint is not None:
        return Verdict(False, hint)
    if sent_at is not None and at - sent_at < _TOO_SOON:
        return Verdict(False, Reason.TOO_SOON)
    return _by_agent(user_agent)


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


BURST_WINDOW = _BURST
