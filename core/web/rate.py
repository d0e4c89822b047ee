"""How many requests a caller may make: a token bucket for each user or token, and for each stranger's network.

The buckets are this process's own: with several of them a caller gets as much from each. Every limited answer tells how
it stands (draft-ietf-httpapi-ratelimit-headers). A stranger is counted where it is refused; what needs no login, and
paths that bring a proof of their own, are not limited here.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network
from math import ceil

from fastapi import Request

from core.runtime import caller, settings
from core.web.errors import TooManyRequests
from core.web.session import visit_of

_WINDOW_S = 60
_MOST_BUCKETS = 20_000


class Pace(StrEnum):
    """What is counted apart."""

    API = "api"
    """Any request of a user or of a token."""
    SENDING = "sending"
    """Requests of theirs that send mail."""
    STRANGERS = "strangers"
    """Requests that were refused since nobody is logged in."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of a pace: `limit` a minute, `left` now, and all of it again in `reset_s`."""

    pace: Pace
    limit: int
    left: int
    reset_s: int


class Buckets:
    """A bucket per key, which holds a minute's worth and fills steadily; the longest untouched go beyond `most`."""

    def __init__(self, *, most: int = _MOST_BUCKETS, clock: Callable[[], float] = time.monotonic):
        self._most = most
        self._clock = clock
        self._held: OrderedDict[tuple[Pace, str], tuple[float, float]] = OrderedDict()

    def take(self, pace: Pace, key: str, limit: int) -> Standing:
        """Take one request out of a bucket, or raise TooManyRequests where it is empty."""
        at, a_second = self._clock(), limit / _WINDOW_S
        left, seen_at = self._held.get((pace, key), (float(limit), at))
        left = min(float(limit), left + (at - seen_at) * a_second)
        if left < 1:
            raise TooManyRequests((1 - left) / a_second)
        self._held[pace, key] = left - 1, at
        self._held.move_to_end((pace, key))
        while len(self._held) > self._most:
            self._held.popitem(last=False)
        return Standing(pace, limit, int(left - 1), ceil((limit - left + 1) / a_second))


@dataclass(frozen=True, slots=True)
class _Paced:
    """Counts a route's requests at a pace."""

    pace: Pace

    async def __call__(self, request: Request) -> None:
        """Count the request of whoever is logged in."""
        visit = visit_of(request)
        if visit.user is not None:
            key = f"user {visit.user.pk}" if visit.token is None else f"token {visit.token.pk}"
            count(request, self.pace, key)


def pace(name: str) -> _Paced:
    """Return the dependency of a route whose requests are counted at this pace, beside that of the API."""
    return _Paced(Pace(name))


def count_stranger(request: Request) -> None:
    """Count a request that was refused since nobody is logged in."""
    count(request, Pace.STRANGERS, network_of(caller().address))


def count(request: Request, pace: Pace, key: str) -> None:
    """Count a request, and remember what is to be told of it."""
    limit = _limit(pace)
    if limit:
        standing = request.app.state.buckets.take(pace, key, limit)
        request.state.standings = (*getattr(request.state, "standings", ()), standing)


def headers_of(standings: Iterable[Standing]) -> dict[str, str]:
    """Return what an answer tells of its caller's paces."""
    told = tuple(standings)
    if not told:
        return {}
    return {
        "RateLimit-Policy": ", ".join(f'"{one.pace}";q={one.limit};w={_WINDOW_S}' for one in told),
        "RateLimit": ", ".join(f'"{one.pace}";r={one.left};t={one.reset_s}' for one in told),
    }


def network_of(address: str) -> str:
    """Return what is one stranger: an IPv4 address, or the /64 that one IPv6 customer has."""
    try:
        whole = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if whole.version == 6 and whole.ipv4_mapped is not None:
        return str(whole.ipv4_mapped)
    return str(ip_network((whole, 64), strict=False)) if whole.version == 6 else str(whole)


def _limit(pace: Pace) -> int:
    values = settings()
    limits = {
        Pace.API: values.API_REQUESTS_PER_MINUTE,
        Pace.SENDING: values.API_SENDS_PER_MINUTE,
        Pace.STRANGERS: values.API_REFUSALS_PER_MINUTE,
    }
    return limits[pace]
