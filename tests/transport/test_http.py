from __future__ import annotations

import pytest

from core.transport.http import HttpClient, HttpError, HttpLimits
from core.transport.peer import PeerPolicy
from tests.servers.http_provider import Answer, http_provider

pytestmark = pytest.mark.anyio
LOCAL = PeerPolicy.of(["127.0.0.0/8"])


async def test_an_answer_is_returned_whatever_its_status_and_the_connection_is_kept() -> None:
    async with http_provider() as server, HttpClient(LOCAL) as client:
        server.plan(Answer(503, b"later", ("Retry-After: 7",)))
        reply = await client.post(server.url, b"{}", {"Content-Type": "application/json", "X-Key": "k"})
        assert (reply.status, reply.text, reply.headers["retry-after"]) == (503, "later", "7")
        assert (await client.post(server.url, b"{}", {})).status == 200
        assert server.asked[0].headers["x-key"] == "k"
        assert server.connections == 1


async def test_a_private_address_is_refused_before_a_byte_is_written() -> None:
    async with http_provider() as server, HttpClient(PeerPolicy()) as client:
        with pytest.raises(HttpError, match=r"127\.0\.0\.1 has no public address") as caught:
            await client.post(server.url, b"secret", {})
        assert not caught.value.was_written
        assert server.asked == []


async def test_an_open_port_inside_looks_like_a_closed_one() -> None:
    async with http_provider() as server, HttpClient(PeerPolicy()) as client:
        words = []
        for url in (server.url, "http://127.0.0.1:1/", "https://127.0.0.1:1/", "http://localhost:1/"):
            with pytest.raises(HttpError) as caught:
                await client.post(url, b"secret", {})
            words.append(str(caught.value).replace("localhost", "127.0.0.1"))
        assert len(set(words)) == 1
        assert server.connections == 0


@pytest.mark.parametrize("answer", [Answer(drops=True), Answer(after_s=5), Answer(body=b"x" * 200, drip_s=0.02)])
async def test_what_was_written_and_not_answered_may_have_been_taken(answer: Answer) -> None:
    async with http_provider() as server, HttpClient(LOCAL, HttpLimits(total_s=0.3)) as client:
        server.plan(answer)
        with pytest.raises(HttpError) as caught:
            await client.post(server.url, b"{}", {})
        assert caught.value.was_written


async def test_what_reached_nobody_was_not_written() -> None:
    async with http_provider() as server:
        url = server.url
    async with HttpClient(LOCAL, HttpLimits(total_s=2)) as client:
        for wrong in (url, "http://nowhere.invalid/", "no url", "ftp://127.0.0.1/"):
            with pytest.raises(HttpError) as caught:
                await client.post(wrong, b"{}", {})
            assert not caught.value.was_written


async def test_a_redirect_is_an_answer_and_a_large_one_is_cut() -> None:
    async with http_provider() as server, HttpClient(LOCAL, HttpLimits(reply_bytes=1000)) as client:
        server.plan(Answer(302, headers=("Location: http://169.254.169.254/latest/",)), Answer(body=b"x" * 50_000))
        assert (await client.post(server.url, b"{}", {})).status == 302
        reply = await client.post(server.url, b"{}", {})
        assert (len(reply.body), reply.is_cut) == (1000, True)
        assert len(server.asked) == 2
