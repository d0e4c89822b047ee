"""A DNS made of a mapping, for what is asked of names while a mail is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from core.mail.names import NamesAway


class Zone:
    """Answers `Names`: `{"acme.test": {"TXT": [...], "A": [...], "MX": [...]}}`; a name in `away` has no answer."""

    def __init__(self, records: Mapping[str, Mapping[str, Sequence[str]]], away: Sequence[str] = ()):
        self._records = records
        self._away = away
        self.asked: list[str] = []

    async def texts(self, name: str) -> tuple[str, ...]:
        return self._found(name, "TXT")

    async def addresses(self, name: str, *, v6: bool) -> tuple[str, ...]:
        return self._found(name, "AAAA" if v6 else "A")

    async def mail_hosts(self, name: str) -> tuple[str, ...]:
        return self._found(name, "MX")

    async def host_names(self, address: str) -> tuple[str, ...]:
        return self._found(ip_address(address).reverse_pointer, "PTR")

    def _found(self, name: str, kind: str) -> tuple[str, ...]:
        self.asked.append(name)
        if name in self._away:
            raise NamesAway(f"no answer for {name}")
        return tuple(self._records.get(name, {}).get(kind, ()))
