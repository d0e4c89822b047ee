"""A DNS server that knows a few records, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Self, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer:
    """Answers over UDP while it is open; `texts` may change meanwhile. A name it does not know does not exist.

    `records` are others, by name and type, as a zone file writes them: `{("a.test", "MX"): ["10 b.test."]}`.

    A `silent` one answers nothing at all, and a `failing` one says SERVFAIL; to names with the label `slow` there is
    never an answer.
    """

    def __init__(
        self,
        texts: Mapping[str, Sequence[str]] | None = None,
        records: Mapping[tuple[str, str], Sequence[str]] | None = None,
        *,
        silent: bool = False,
        failing: bool = False,
    ):
        self.texts = dict(texts or {})
        self.records = dict(records or {})
        self.silent = silent
        self.failing = failing
        self.address = ""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Protocol(self), ("127.0.0.1", 0))
        self.address = "127.0.0.1:{}".format(self._transport.get_extra_info("sockname")[1])
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._transport.close()

    def answer(self, query: bytes) -> bytes | None:
        if self.silent:
            return None
        asked = dns.message.from_wire(query)
        reply = dns.message.make_response(asked)
        name = asked.question[0].name
        if b"slow" in name.labels:
            return None
        plain, kind = name.to_text(omit_final_dot=True), dns.rdatatype.to_text(asked.question[0].rdtype)
        found = self.records.get((plain, kind), ())
        if kind == "TXT":
            found = [_pieces(text) for text in self.texts.get(plain, ())]
        is_known = plain in self.texts or any(plain == known for known, _ in self.records)
        if self.failing:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif not is_known:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif found:
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *found))
        return reply.to_wire()


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer):
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._server.answer(data)
        if reply is not None:
            self._transport.sendto(reply, addr)


def _pieces(text: str) -> str:
    return " ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255))
