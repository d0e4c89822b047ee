"""S4: whatever a body holds, the server reads one mail, to its end, with CRLF alone between its lines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from core.mail.compose import compose
from core.mail.values import File
from core.runtime import Runtime, get_model
from tests.databases import sqlite_alone as database_url
from tests.mail.test_compose import normal, outgoing
from tests.security.door import Door, assert_only_crlf, attachment, door_to, read
from tests.servers.fake_mta import Script
from tests.servers.postfix import Postfix

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio

SECOND = "MAIL FROM:<evil@x.test>\r\nRCPT TO:<victim@x.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nhello\r\n.\r\n"
ENDS = (
    *(
        "\n.\n",
        "\r.\r",
        "\n.\r\n",
        ".\r\n",
        "\r\n.\n",
        "\r\n.\r",
        "\r.\n",
        "\r.\r\n",
        "\n.\r",
        "\r\n.\r\n",
        "\n\n.\n\n",
    ),
    *(
        "\r\r\n.\r\r\n",
        "\r\n.\r\r\n",
        "\r\r\n.\r\n",
        "\r\n\0.\r\n",
        "\r\n.\0\r\n",
        "\n.\x85",
        "\u2028.\u2028",
        "\x0b.\x0b",
    ),
    *(
        "\r\n..\r\n",
        "\r\n...\r\n",
        "\r\n. \r\n",
        "\r\n .\r\n",
        "=\r\n.\r\n",
        "=2E\r\n",
        "\r\n=2E\r\n",
        "\x0c.\x0c",
        "\x1a",
    ),
)
EDGES = (1, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072)
"""Where buffers tend to end; the payload is put at each byte around them."""


async def _until(is_so: Callable[[], bool], at_most_s: float = 20) -> None:
    async with asyncio.timeout(at_most_s):
        while not is_so():
            await asyncio.sleep(0.02)


@pytest.fixture
def settings() -> dict[str, object]:
    return {"MAIL_DOMAIN": "acme.test", "MAIL_MODE": "live"}


async def _all_arrive_whole(door: Door, wanted: list[tuple[Any, str]]) -> None:
    accepted = {one.message_id: one for one in await door.sent()}
    assert len(accepted) == len(door.mta.ledger) == len(wanted), "not one mail for each that was queued"
    for message, text in wanted:
        one = accepted[message.message_id]
        assert (one.recipient, one.sender.startswith("bounce+")) == ("kim@customer.test", True)
        assert_only_crlf(one.raw)
        body = read(one.raw).get_body(("plain",))
        assert body is not None
        assert normal(body.get_content()) == normal(text.replace("\0", ""))
    assert not any("evil" in line for line in door.mta.commands)


@pytest.mark.parametrize("script", [Script(), None], ids=["pipelined", "in turn"])
async def test_s4_no_text_ends_a_mail(host: Runtime, script: Script | None) -> None:
    async with door_to(script or Script(extensions=("8BITMIME", "SIZE 26214400"))) as door:
        wanted = []
        for end in ENDS:
            for text in (f"Hello{end}{SECOND}", end + SECOND, f"Hello{end}", end.join(["."] * 5)):
                message = await door.queue(body="<p>x</p>", text=text)
                wanted.append((message, text))
        await _all_arrive_whole(door, wanted)


async def test_s4_nor_does_html_or_a_file(host: Runtime) -> None:
    async with door_to() as door:
        for end in ENDS:
            text = f"Hello{end}{SECOND}"
            raw = f"Subject: in\r\n\r\n{text}".encode()
            for options in (
                {"body": f"<pre>{text}</pre>"},
                {"attachments": [await attachment("a.txt", text.encode(), "text/plain")]},
                {"attachments": [await attachment("a.eml", raw, "message/rfc822")]},
                {"attachments": [await attachment("a.bin", text.encode() * 2000, "x/y")]},
            ):
                assert await door.queue(**options) is not None, end
        accepted = await door.sent()
        assert len(accepted) == 4 * len(ENDS)
        for one in accepted:
            assert one.recipient == "kim@customer.test"
            assert_only_crlf(one.raw)
            for part in read(one.raw).iter_attachments():
                if part.get_filename() == "a.txt":
                    assert part.get_payload(decode=True).decode().startswith("Hello")
        assert not any("evil" in line for line in door.mta.commands)


async def test_s4_nor_where_a_buffer_ends_within_it(host: Runtime) -> None:
    async with door_to() as door:
        first = await door.queue(body="", text="")
        (plain,) = await door.sent()
        head = len(plain.raw) - 2
        assert first is not None
        wanted = []
        for edge in EDGES:
            for shift in range(-4, 3):
                filling = "x" * 70 + "\r\n"
                room = max(0, edge + shift - head)
                text = (filling * (room // 72 + 1))[: room - room % 72] + "y" * (room % 72) + "\r\n.\r\n" + SECOND
                wanted.append((await door.queue(body="", text=text), text))
        door.mta.ledger.clear()
        await _all_arrive_whole(door, wanted)


async def test_s4_a_real_server_takes_one_mail_for_each(host: Runtime) -> None:
    async with door_to() as door:
        with Postfix({}, default=f"smtp:[127.0.0.1]:{door.mta.port}") as postfix:
            relay = {"server": "127.0.0.1", "port": postfix.port, "use_ssl": False}
            await get_model("OutgoingMailServer").all().update(**relay)
            texts = [f"Hello{end}{SECOND}" for end in ENDS]
            for text in texts:
                await door.queue(body="<p>x</p>", text=text)
            await door.sent()
            await _until(lambda: len(door.mta.ledger) >= len(texts))
        assert len(door.mta.ledger) == len(texts)
        assert {one.recipient for one in door.mta.ledger} == {"kim@customer.test"}
        bodies = {normal(read(one.raw).get_body(("plain",)).get_content()) for one in door.mta.ledger}
        assert bodies == {normal(text.replace("\0", "")) for text in texts}


@given(st.text(st.sampled_from("\r\n.=-_ \0xMAIL"), max_size=300), st.binary(max_size=300))
@examples(max_examples=300, deadline=None)
def test_s4_no_bytes_at_all_bring_a_bare_line_end(text: str, content: bytes) -> None:
    file = File("a.eml", "message/rfc822", content)
    assert_only_crlf(compose(outgoing(text=text, html=text, attachments=(file,))))
