"""The DNS as it is asked while mail is judged: a real name server, and one that is away."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic

import pytest

from core.mail.names import NamesAway
from core.transport.names import DnsNames
from tests.servers.name_server import NameServer

pytestmark = pytest.mark.anyio

RECORDS = {
    ("acme.test", "A"): ["192.0.2.1"],
    ("acme.test", "AAAA"): ["2001:db8::1"],
    ("acme.test", "MX"): ["20 second.test.", "10 first.test."],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["acme.test."],
}


async def test_what_is_published_is_found() -> None:
    async with NameServer({"acme.test": ["v=spf1 -all"]}, RECORDS) as server:
        names = DnsNames(server.address)
        assert await names.texts("acme.test") == ("v=spf1 -all",)
        assert await names.addresses("acme.test", v6=False) == ("192.0.2.1",)
        assert await names.addresses("acme.test", v6=True) == ("2001:db8::1",)
        assert await names.mail_hosts("acme.test") == ("first.test", "second.test")
        assert await names.host_names("192.0.2.1") == ("acme.test",)
        assert await names.texts("nobody.test") == ()


async def test_an_answer_is_remembered() -> None:
    async with NameServer({"acme.test": ["x"]}) as server:
        names = DnsNames(server.address)
        await names.texts("acme.test")
        server.failing = True
        assert await names.texts("acme.test") == ("x",)


async def test_one_name_that_fails_is_that_names_fault() -> None:
    async with NameServer(failing=True) as server:
        names = DnsNames(server.address)
        for number in range(6):
            with pytest.raises(NamesAway, match=rf"{number}\.test"):
                await names.texts(f"{number}.test")
        server.failing = False
        assert await names.texts("7.test") == ()


async def test_a_dns_that_is_away_is_left_alone_for_a_while() -> None:
    async with NameServer(silent=True) as server, asyncio.timeout(5):
        names = DnsNames(server.address, answer_s=0.1)
        for number in range(4):
            with pytest.raises(NamesAway):
                await names.texts(f"{number}.test")
        began = monotonic()
        for number in range(100):
            with pytest.raises(NamesAway, match="not asked again yet"):
                await names.texts(f"{number}.test")
        assert monotonic() - began < 0.1


async def test_many_names_that_are_slow_make_no_dns_that_is_away() -> None:
    async with NameServer({"acme.test": ["x"]}) as server, asyncio.timeout(5):
        names = DnsNames(server.address, answer_s=0.05)
        for number in range(9):
            with pytest.raises(NamesAway):
                await names.texts(f"slow.{number}.test")
        assert await names.texts("acme.test") == ("x",)


@pytest.mark.parametrize("name", ["a..test", "x" * 300 + ".test", ".".join("a" * 200) + ".test", "\ud800.test", ""])
async def test_a_name_that_is_none_is_told(name: str) -> None:
    async with NameServer() as server:
        names = DnsNames(server.address)
        with suppress(NamesAway):
            assert await names.texts(name) == ()


async def test_the_public_dns_is_not_asked_for_names_of_tests() -> None:
    assert await DnsNames().texts("_dmarc.acme.test") == ()
