"""Asking the DNS for texts (TXT records), in bounded time. Knows nothing of what they mean, and keeps no answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.resolver import NXDOMAIN, NoAnswer

from core.transport.names import DnsError, open_resolver

_TIMEOUT_S = 5.0

TextLookup = Callable[[str], Awaitable[tuple[str, ...]]]
"""From a name to the texts published there, none where there are none; raises DnsError where nobody answers."""


def text_lookup(name_server: str | None = None, *, timeout_s: float = _TIMEOUT_S) -> TextLookup:
    """Return what asks for texts; the parameters and faults are those of `open_resolver`."""
    return partial(_texts, open_resolver(name_server, timeout_s=timeout_s))


async def _texts(resolver: Resolver, name: str) -> tuple[str, ...]:
    try:
        answer = await resolver.resolve(name, "TXT")
    except (NXDOMAIN, NoAnswer):
        return ()
    except (DNSException, OSError) as error:
        raise DnsError(f"The DNS does not say what is at {name}: {error}") from error
    return tuple(b"".join(record.strings).decode("utf-8", "replace") for record in answer)
