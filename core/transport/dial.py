"""Finding a mail server and opening TCP to it: one look-up, then its addresses in turn, each with a share of the time.

What a peer policy forbids is never connected to, whatever the name answers a moment later.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any

from core.transport.peer import PeerPolicy

Found = tuple[Any, ...]
"""One row of `getaddrinfo`."""


async def look_up(host: str, port: int, peers: PeerPolicy | None) -> list[Found]:
    """Return where a host may be reached; OSError where it is nowhere, PeerRefused where it must not be."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host} is no host name") from error
    except RuntimeError as error:  # What Python raises where the machine gives no further thread.
        raise OSError(f"its name could not be looked up: {error}") from error
    if peers is not None:
        allowed = peers.only_allowed(host, [str(one[-1][0]) for one in found])
        found = [one for one in found if one[-1][0] in allowed]
    return list(found)


def shown_addresses(found: Sequence[Found]) -> list[str]:
    """Return the addresses of a look-up, each once."""
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def dial(found: Sequence[Found], seconds: float) -> socket.socket:
    """Open TCP to the first address that answers; each gets its share of the time, a dead one not all of it."""
    faults = []
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(seconds / len(found)):
                await asyncio.get_running_loop().sock_connect(sock, address)
            return sock
        except OSError as error:
            sock.close()
            faults.append(f"{address[0]}: {words_of(error)}")
        except BaseException:
            sock.close()
            raise
    raise OSError("; ".join(faults))


def is_loopback(address: str) -> bool:
    """Tell whether an address, as text, is this machine's own."""
    peer = ip_address(address.partition("%")[0])
    if isinstance(peer, IPv6Address) and peer.ipv4_mapped:
        peer = peer.ipv4_mapped
    return peer.is_loopback


def words_of(error: BaseException) -> str:
    """Say what went wrong with a connection, for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"the TLS handshake failed: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
