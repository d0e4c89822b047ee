"""What may be asked of the DNS while judging a mail: the questions alone, which somebody else answers."""

from __future__ import annotations

from typing import Protocol


class NamesAway(Exception):
    """The DNS did not answer, or could not say; the same question may do better later."""


class Names(Protocol):
    """The DNS. What is not there gives an empty tuple; NamesAway is raised where nobody knows."""

    async def texts(self, name: str) -> tuple[str, ...]:
        """Return the TXT records of a name."""
        ...

    async def addresses(self, name: str, *, v6: bool) -> tuple[str, ...]:
        """Return the AAAA records of a name, or its A records."""
        ...

    async def mail_hosts(self, name: str) -> tuple[str, ...]:
        """Return the hosts of the MX records of a name, the preferred ones first."""
        ...

    async def host_names(self, address: str) -> tuple[str, ...]:
        """Return the names that an IP address says it has (PTR)."""
        ...
