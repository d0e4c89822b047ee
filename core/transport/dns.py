"""Asking the DNS for texts (TXT records), in bounded time. Knows nothing of what they mean, and keeps no answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address

from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.resolver import NXDOMAIN, NoAnswer

from core.errors import TransportError, UserError

_TIMEOUT_S = 5.0
_PORT = 53
_LAST_PORT = 65535

TextLookup = Callable[[str], Awaitable[tuple[str, ...]]]
"""From a name to the texts published there, none where there are none; raises DnsError where nobody answers."""


class DnsError(TransportError):
    """No name server answered, or it could not say."""

    code = "dns"


def text_lookup(name_server: str | None = None, *, timeout_s: float = _TIMEOUT_S) -> TextLookup:
    """Return what asks for texts; the parameters and faults are those of `open_resolver`."""
    return partial(_texts, open_resolver(name_server, timeout_s=timeout_s))


def open_resolver(name_server: str | None = None, *, timeout_s: float = _TIMEOUT_S) -> Resolver:
    """Return what asks the system's name servers, or only the one at an address such as `192.0.2.1` or `[::1]:5353`.

    Raises UserError for a `name_server` that is no address, and DnsError where the system names no server.
    """
    if name_server is None:
        try:
            resolver = Resolver()
        except DNSException as error:
            raise DnsError(f"This system names no name server: {error}") from error
    else:
        resolver = Resolver(configure=False)
        address, resolver.port = _address(name_server)
        resolver.nameservers = [address]
    resolver.lifetime = timeout_s
    return resolver


async def _texts(resolver: Resolver, name: str) -> tuple[str, ...]:
    try:
        answer = await resolver.resolve(name, "TXT")
    except (NXDOMAIN, NoAnswer):
        return ()
    except (DNSException, OSError) as error:
        raise DnsError(f"The DNS does not say what is at {name}: {error}") from error
    return tuple(b"".join(record.strings).decode("utf-8", "replace") for record in answer)


def _address(text: str) -> tuple[str, int]:
    host, port = text, str(_PORT)
    if "]:" in text or text.count(":") == 1:
        host, _, port = text.rpartition(":")
    with suppress(ValueError):
        address = ip_address(host.removeprefix("[").removesuffix("]"))
        if 0 < int(port) <= _LAST_PORT:
            return str(address), int(port)
    raise UserError(f'"{text}" is no address of a name server; write 192.0.2.1, or [::1]:5353.')
