"""Texts from a real name server, also from one that does not answer."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import UserError
from core.transport.dns import DnsError, text_lookup
from tests.servers.name_server import NameServer

pytestmark = pytest.mark.anyio


async def test_texts_come_whole_and_a_name_that_is_not_there_has_none() -> None:
    async with NameServer({"a.test": ["x" * 400, "y"], "empty.test": []}) as server:
        lookup = text_lookup(server.address)
        assert sorted(await lookup("a.test")) == ["x" * 400, "y"]
        assert await lookup("b.test") == ()
        assert await lookup("empty.test") == ()


@pytest.mark.parametrize("server", [NameServer(silent=True), NameServer(failing=True)])
async def test_no_answer_is_told_in_time(server: NameServer) -> None:
    async with server, asyncio.timeout(2):
        with pytest.raises(DnsError, match=r"a\.test"):
            await text_lookup(server.address, timeout_s=0.2)("a.test")


async def test_a_name_that_is_none_is_told() -> None:
    async with NameServer() as server:
        with pytest.raises(DnsError):
            await text_lookup(server.address)("a..test")


@pytest.mark.parametrize("address", ["localhost", "", "1.2.3.4:x", "::g", "1.2.3.4:99999"])
def test_a_name_server_is_an_address(address: str) -> None:
    with pytest.raises(UserError, match="name server"):
        text_lookup(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:5353", "::1", "[::1]", "[::1]:5353"])
def test_its_port_may_follow(address: str) -> None:
    text_lookup(address)
