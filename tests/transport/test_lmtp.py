"""The LMTP listener over real sockets: the dialogue, what ends a mail, and what peers do wrong."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from core.transport.lmtp import Envelope, Refusal, lmtp_listener

pytestmark = pytest.mark.anyio

LARGEST = 2000


class Kept:
    """A receiver that keeps mails in memory, for recipients at our.test."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []
        self.is_full = False

    async def check_recipient(self, address: str) -> None:
        if not address.endswith("@our.test"):
            raise Refusal(550, "5.7.1", "Not here")

    async def receive(self, envelope: Envelope) -> None:
        if self.is_full:
            raise Refusal(451, "4.3.0", "Not now")
        self.mails.append(envelope)


class Peer:
    """A client that writes bytes, and reads replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer

    async def say(self, *lines: str | bytes) -> None:
        for line in lines:
            self.writer.write(line if isinstance(line, bytes) else line.encode() + b"\r\n")
        await self.writer.drain()

    async def codes(self, count: int) -> list[int]:
        """Read so many replies."""
        found: list[int] = []
        while len(found) < count:
            line = await self.reader.readline()
            assert line, found
            if line[3:4] != b"-":
                found.append(int(line[:3]))
        return found


@asynccontextmanager
async def talk(kept: Kept | None = None, **options: int) -> AsyncIterator[Peer]:
    async with (
        asyncio.timeout(10),
        lmtp_listener("127.0.0.1:0", kept or Kept(), largest_bytes=LARGEST, **options) as address,
    ):
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        peer = Peer(reader, writer)
        assert await peer.codes(1) == [220]
        try:
            yield peer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


OPENING = ("LHLO mx.our.test", "MAIL FROM:<kim@b.test> BODY=8BITMIME", "RCPT TO:<a@our.test>")


async def test_a_mail_comes_as_it_was_sent_and_each_recipient_is_answered() -> None:
    kept = Kept()
    async with talk(kept) as peer:
        await peer.say(*OPENING, "RCPT TO:<b@our.test>", "RCPT TO:<c@else.test>", "DATA")
        assert await peer.codes(6) == [250, 250, 250, 250, 550, 354]
        await peer.say(b"Subject: Hi\r\n\r\n..dots\r\n.. \r\n\xfcml\n.\nbare\r\n.\r\n", "QUIT")
        assert await peer.codes(3) == [250, 250, 221]
    (mail,) = kept.mails
    assert (mail.return_path, mail.recipients) == ("kim@b.test", ("a@our.test", "b@our.test"))
    assert mail.content == b"Subject: Hi\r\n\r\n.dots\r\n. \r\n\xfcml\n.\nbare\r\n"


async def test_smtplib_understands_it() -> None:
    kept = Kept()
    async with lmtp_listener("127.0.0.1:0", kept, largest_bytes=LARGEST) as address:
        host, port = address.split(":")

        def send() -> None:
            with smtplib.LMTP(host, int(port), local_hostname="mx.our.test") as client:
                assert client.ehlo()[0] == 250
                client.sendmail("", "a@our.test", b"Subject: One\r\n\r\n.\r\n")
                client.sendmail("kim@b.test", "a@our.test", b"Subject: Two\r\n\r\n")

        await asyncio.to_thread(send)
    assert [mail.return_path for mail in kept.mails] == ["", "kim@b.test"]
    assert kept.mails[0].content == b"Subject: One\r\n\r\n.\r\n"


async def test_what_cannot_be_kept_stays_with_the_peer() -> None:
    kept = Kept()
    kept.is_full = True
    async with talk(kept) as peer:
        await peer.say(*OPENING, "DATA", b"x\r\n.\r\n")
        assert await peer.codes(5) == [250, 250, 250, 354, 451]
        await peer.say("NOOP")
        assert await peer.codes(1) == [250]


@pytest.mark.parametrize("lost", [b"Subject: x\r\n", b"Subject: x\r\n.\n", b"x\n.\r\n", b"x\r\n.\rx"])
async def test_a_mail_without_its_end_is_none(lost: bytes) -> None:
    kept = Kept()
    async with talk(kept) as peer:
        await peer.say(*OPENING, "DATA", lost)
        await peer.codes(4)
    assert not kept.mails


async def test_a_mail_that_is_too_large_is_refused_whole_and_the_next_one_taken() -> None:
    kept = Kept()
    async with talk(kept) as peer:
        await peer.say(*OPENING, "DATA", b"y" * 5 * LARGEST + b"\r\n.\r\n", *OPENING[1:], "DATA", b"ok\r\n.\r\n")
        assert await peer.codes(9) == [250, 250, 250, 354, 552, 250, 250, 354, 250]
        await peer.say(f"MAIL FROM:<> SIZE={LARGEST + 1}", "MAIL FROM:<> SIZE=" + "9" * 3000)
        assert await peer.codes(2) == [552, 552]
    assert [mail.content for mail in kept.mails] == [b"ok\r\n"]


async def test_the_largest_mail_is_taken() -> None:
    kept = Kept()
    async with talk(kept) as peer:
        await peer.say(*OPENING, "DATA", b"y" * (LARGEST - 2) + b"\r\n.\r\n")
        assert await peer.codes(5) == [250, 250, 250, 354, 250]
    assert len(kept.mails[0].content) == LARGEST


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (("EHLO x",), 500),
        (("MAIL FROM:<a@b.test>",), 503),
        (("LHLO x", "RCPT TO:<a@our.test>"), 503),
        (("LHLO x", "DATA"), 503),
        (("LHLO x", "MAIL FROM:<a@b.test>", "DATA"), 503),
        (("LHLO x", "MAIL FROM:<a@b.test>", "MAIL FROM:<a@b.test>"), 503),
        (("LHLO x", "MAIL FROM:a@b.test"), 501),
        (("LHLO x", "MAIL TO:<a@b.test>"), 501),
        (("LHLO x", "MAIL FROM:<a b@b.test>"), 501),
        (("LHLO x", "MAIL FROM:<" + "a" * 400 + "@b.test>"), 501),
        (("LHLO x", "MAIL FROM:<>", "RCPT TO:<a>"), 550),
        (("LHLO x", "MAIL FROM:<>", "RCPT TO:<@relay.test:a@our.test>"), 250),
        (("LHLO x", 'MAIL FROM:<"a b"@b.test>'), 250),
        (("LHLO x", "MAIL FROM:<m\u00fcller@b.test> SMTPUTF8"), 250),
        (("VRFY a",), 252),
        (("STARTTLS",), 500),
        (("",), 500),
    ],
)
async def test_the_dialogue_keeps_its_order(lines: tuple[str, ...], code: int) -> None:
    async with talk() as peer:
        await peer.say(*lines)
        assert (await peer.codes(len(lines)))[-1] == code


async def test_a_new_greeting_and_a_reset_forget_the_mail() -> None:
    async with talk() as peer:
        await peer.say(*OPENING, "RSET", "DATA", *OPENING, "LHLO again", "DATA")
        assert await peer.codes(10) == [250, 250, 250, 250, 503, 250, 250, 250, 250, 503]


async def test_endless_lines_errors_and_connections_are_ended() -> None:
    async with talk() as peer:
        await peer.say(b"x" * 10_000)
        assert await peer.codes(1) == [500]
        assert not await peer.reader.read()
    async with talk() as peer:
        await peer.say(*["NONSENSE"] * 25)
        assert await peer.codes(21) == [500] * 20 + [421]
    async with talk(connections=1) as peer:
        host, port = peer.writer.get_extra_info("peername")
        second, writer = await asyncio.open_connection(host, port)
        assert (await second.readline()).startswith(b"421")
        writer.close()
        await writer.wait_closed()


async def test_too_many_recipients_wait_for_another_copy() -> None:
    async with talk() as peer:
        await peer.say(*OPENING[:2], *["RCPT TO:<a@our.test>"] * 1001)
        assert (await peer.codes(1003))[-2:] == [250, 452]


async def test_a_unix_socket_is_taken_over_from_the_dead_and_not_from_the_living(tmp_path: Path) -> None:
    path = str(tmp_path / "lmtp.sock")
    async with lmtp_listener(path, Kept(), largest_bytes=LARGEST):
        reader, writer = await asyncio.open_unix_connection(path)
        assert (await reader.readline()).startswith(b"220")
        writer.close()
        await writer.wait_closed()
        with pytest.raises(OSError, match="in use"):
            async with lmtp_listener(path, Kept(), largest_bytes=LARGEST):
                pass
    async with lmtp_listener(path, Kept(), largest_bytes=LARGEST) as address:
        assert address == path


@settings(max_examples=30, deadline=None)
@given(some.lists(some.binary(max_size=60), max_size=6), some.booleans())
async def test_any_content_in_any_pieces_comes_whole(pieces: list[bytes], slowly: bool) -> None:
    content = b"".join(pieces).replace(b"\r\n.", b"\r\n") + b"\r\n"
    content = content.lstrip(b".")
    kept = Kept()
    async with talk(kept) as peer:
        await peer.say(*OPENING, "DATA")
        await peer.codes(4)
        stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"
        for at in range(0, len(stuffed), 7):
            peer.writer.write(stuffed[at : at + 7])
            if slowly:
                await asyncio.sleep(0)
        assert await peer.codes(1) == [250]
    assert kept.mails[0].content == content
