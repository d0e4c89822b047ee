"""S5: what comes to our LMTP listener ends at CRLF.CRLF alone, and tells nobody which addresses there are."""

from __future__ import annotations

import pytest

from tests.security.test_smuggling import SECOND
from tests.transport.test_lmtp import OPENING, Kept, talk

pytestmark = pytest.mark.anyio

FALSE_ENDS = (
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r.\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\0\n",
    b"\r\n. \r\n",
    b"\r\n..\r\n",
)


@pytest.mark.parametrize("false_end", FALSE_ENDS, ids=repr)
@pytest.mark.parametrize("cut", [False, True], ids=["in one packet", "byte by byte"])
async def test_a_false_end_lets_no_second_mail_in(false_end: bytes, cut: bool) -> None:
    kept = Kept()
    async with talk(kept) as peer:
        await peer.say(*OPENING, "DATA")
        assert await peer.codes(4) == [250, 250, 250, 354]
        # The second mail's own end is the first one that counts.
        sent = b"Subject: one\r\n\r\nhello" + false_end + SECOND.encode()
        for piece in [sent[at : at + 1] for at in range(len(sent))] if cut else [sent]:
            await peer.say(piece)
        assert await peer.codes(1) == [250]
        await peer.say("NOOP", "QUIT")
        assert await peer.codes(2) == [250, 221]
    (mail,) = kept.mails
    assert (mail.return_path, mail.recipients) == ("kim@b.test", ("a@our.test",))
    assert mail.content.endswith(b"Subject: smuggled\r\n\r\nhello\r\n")


async def test_nobody_is_told_which_addresses_there_are() -> None:
    async with talk() as peer:
        await peer.say("LHLO mx.our.test", "VRFY a@our.test", "VRFY nobody@our.test", "EXPN staff")
        assert await peer.codes(4) == [250, 252, 252, 500]


async def test_what_follows_an_unknown_starttls_is_no_secret_and_no_mail() -> None:
    """No TLS is offered, so there is no state that commands sent ahead could outlive."""
    kept = Kept()
    async with talk(kept) as peer:
        await peer.say(b"LHLO mx.our.test\r\nSTARTTLS\r\nMAIL FROM:<evil@x.test>\r\nRSET\r\nDATA\r\n")
        assert await peer.codes(5) == [250, 500, 250, 250, 503]
    assert not kept.mails
