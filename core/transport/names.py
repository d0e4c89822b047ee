"""The DNS for judging mail (`core.mail.names`): bounded in time, remembered, and left alone for a while when away.

Opened by its first question, since most hosts ask none.
"""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING, Any

from core.errors import TransportError, UserError
from core.mail.names import NamesAway

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

_PORT = 53
_LAST_PORT = 65535
_ANSWER_S = 2.0
_AWAY_S = 20.0
_AWAY_AFTER = 4
"""So many questions in a row without an answer, and none about the root: nobody is asked for a while, as mail does not
wait for a DNS that is away."""
_REMEMBERED = 10_000
_SPECIAL = frozenset({"test", "localhost", "local", "invalid", "example", "internal", "onion", "lan"})
"""Top labels that the public DNS has nothing under (RFC 6761 and its like)."""


class DnsError(TransportError):
    """No name server answered, or it could not say."""

    code = "dns"


class DnsNames:
    """Asks the system's name servers, or only the one at an address such as `192.0.2.1` or `[::1]:5353`."""

    def __init__(self, name_server: str = "", *, answer_s: float = _ANSWER_S):
        self._name_server = name_server
        self._answer_s = answer_s
        self._resolver: Resolver | None = None
        self._unanswered = 0
        self._away_until = float("-inf")

    async def texts(self, name: str) -> tuple[str, ...]:
        """Return the TXT records of a name; this and the others raise NamesAway where nobody says."""
        found = await self._ask(name, "TXT")
        return tuple(b"".join(record.strings).decode("utf-8", "replace") for record in found)

    async def addresses(self, name: str, *, v6: bool) -> tuple[str, ...]:
        """Return the AAAA records of a name, or its A records."""
        return tuple(record.address for record in await self._ask(name, "AAAA" if v6 else "A"))

    async def mail_hosts(self, name: str) -> tuple[str, ...]:
        """Return the hosts of the MX records of a name, the preferred ones first."""
        records = sorted(await self._ask(name, "MX"), key=lambda record: record.preference)
        return tuple(str(record.exchange).rstrip(".") for record in records)

    async def host_names(self, address: str) -> tuple[str, ...]:
        """Return the names that an IP address says it has."""
        from dns.reversename import from_address  # Only who judges mail needs it.

        return tuple(str(record.target).rstrip(".") for record in await self._ask(str(from_address(address)), "PTR"))

    async def _ask(self, name: str, kind: str) -> list[Any]:
        if not self._name_server and name.rstrip(".").rpartition(".")[2].lower() in _SPECIAL:
            return []
        if monotonic() < self._away_until:
            raise NamesAway("The DNS did not answer a moment ago, and is not asked again yet.")
        # A sixth of a command's start; only who judges mail needs it.
        from dns.exception import DNSException, Timeout
        from dns.resolver import NXDOMAIN, LRUCache, NoAnswer, NoNameservers

        try:
            if self._resolver is None:
                self._resolver = open_resolver(self._name_server or None, timeout_s=self._answer_s)
                self._resolver.cache = LRUCache(_REMEMBERED)
            found = list(await self._resolver.resolve(name, kind))
        except (NXDOMAIN, NoAnswer):
            found = []
        except NoNameservers as error:
            # This name's servers are at fault, not the DNS as a whole.
            raise NamesAway(f"The DNS does not say what is at {name}: {error}") from error
        except (Timeout, OSError) as error:
            self._unanswered += 1
            if self._unanswered >= _AWAY_AFTER:
                self._unanswered = 0
                if not await self._says_anything():
                    self._away_until = monotonic() + _AWAY_S
            raise NamesAway(f"The DNS does not answer: {error}") from error
        except (DnsError, DNSException, UnicodeError, ValueError) as error:
            raise NamesAway(f"The DNS cannot be asked for {name[:80]}: {error}") from error
        self._unanswered = 0
        return found

    async def _says_anything(self) -> bool:
        """Whether the root is known: who sends mail may choose many names that are slow, but cannot slow that one."""
        from dns.exception import DNSException, Timeout  # As above.

        try:
            await open_resolver(self._name_server or None, timeout_s=self._answer_s).resolve(".", "NS")
        except (DnsError, DNSException, OSError) as error:
            return not isinstance(error, DnsError | Timeout | OSError)
        return True


def open_resolver(name_server: str | None = None, *, timeout_s: float) -> Resolver:
    """Return what asks the system's name servers, or only the one at an address such as `192.0.2.1` or `[::1]:5353`.

    Raises UserError for a `name_server` that is no address, and DnsError where the system names no server.
    """
    # A sixth of a command's start; only who judges mail, or looks at keys, needs it.
    from dns.asyncresolver import Resolver
    from dns.exception import DNSException

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


def _address(text: str) -> tuple[str, int]:
    host, port = text, str(_PORT)
    if "]:" in text or text.count(":") == 1:
        host, _, port = text.rpartition(":")
    with suppress(ValueError):
        address = ip_address(host.removeprefix("[").removesuffix("]"))
        if 0 < int(port) <= _LAST_PORT:
            return str(address), int(port)
    raise UserError(f'"{text}" is no address of a name server; write 192.0.2.1, or [::1]:5353.')
