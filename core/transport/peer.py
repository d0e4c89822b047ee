"""Which machines may be connected to, where a user or a stranger names the host (server-side request forgery).

What is judged is the address that is connected to, never the name: a name may answer with another address a moment
later. `addresses_of` resolves once and returns checked addresses to connect to; `core.transport.http` does so for HTTP.
An administrator's own servers need no policy. Ranges: RFC 6890, RFC 6598, RFC 6052 (NAT64), RFC 3056 (6to4).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from core.errors import ConfigError, TransportError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_GLOBAL_V6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
# Python's own lists lack these, differently from one release to the next.
_NOT_PUBLIC: tuple[Network, ...] = (
    IPv4Network("100.64.0.0/10"),
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv4Network("198.18.0.0/15"),
    IPv4Network("224.0.0.0/3"),
    IPv6Network("2001::/23"),
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),
    IPv6Network("3fff::/20"),
)


class PeerRefused(TransportError):
    """The host's address is not a public one; the words tell nothing of what answers there."""

    code = "peer_refused"

    def __init__(self, host: str):
        self.host = host
        super().__init__(
            f"{host} has no public address, and connections inside this network are not allowed here; "
            "an administrator can allow it by PRIVATE_HOSTS_ALLOWED."
        )


@dataclass(frozen=True, slots=True)
class PeerPolicy:
    """Public addresses only, and those in `allowed` besides."""

    allowed: tuple[Network, ...] = ()

    @classmethod
    def of(cls, networks: Iterable[str]) -> PeerPolicy:
        """Read networks (`10.1.0.0/16`, `192.168.1.7`) as PRIVATE_HOSTS_ALLOWED lists them; ConfigError for others."""
        try:
            return cls(tuple(ip_network(one.strip(), strict=False) for one in networks))
        except ValueError as error:
            raise ConfigError(f"PRIVATE_HOSTS_ALLOWED: {error}") from error

    def allows(self, address: str) -> bool:
        """Tell whether this address, as text, may be connected to."""
        try:
            peer = _unwrapped(ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        return is_public(peer) or any(peer in network for network in self.allowed)

    async def addresses_of(self, host: str, port: int) -> list[str]:
        """Resolve a host and return its allowed addresses, to be connected to as they are.

        Raises PeerRefused where it has none of them, OSError where the name does not resolve.
        """
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"{host} is no host name") from error
        addresses = dict.fromkeys(str(address[0]) for *_, address in found)
        return self.only_allowed(host, addresses)

    def only_allowed(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Return those of a host's addresses that may be connected to; PeerRefused where there are none."""
        allowed = [address for address in addresses if self.allows(address)]
        if not allowed:
            raise PeerRefused(host)
        return allowed


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the public Internet, whatever it is wrapped in."""
    peer = _unwrapped(address)
    if isinstance(peer, IPv6Address) and peer not in _GLOBAL_V6:
        return False
    return peer.is_global and not any(peer in network for network in _NOT_PUBLIC)


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for by translation, or the address itself."""
    if not isinstance(address, IPv6Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address
