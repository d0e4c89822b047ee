"""The public door of outbound mail for attacks: `Message.queue_email` in front, the bytes that a server took behind."""

from __future__ import annotations

import email
import email.policy
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Any

from core.delivery.engine import Engine
from core.errors import UserError
from core.runtime import get_model
from tests.servers.fake_mta import Accepted, FakeMta, Script

SENDER = "Postroom <office@acme.test>"
KIM = "kim@customer.test"
BREAKS = (
    *("\r", "\n", "\r\n", "\n\r", "\0", "\x01", "\x08", "\x0b", "\x0c", "\x1b", "\x1c", "\x1d", "\x1e", "\x1f"),
    *("\x7f", "\x85", "\u2028", "\u2029", "\ud800", "\udfff"),
)
"""What some program somewhere takes for the end of a line, other controls, and half characters."""


class Door:
    """One host, its engine, and the server that it sends to."""

    def __init__(self, mta: FakeMta):
        self.mta = mta
        self.refused: list[str] = []
        """What was refused before it was queued, in words."""

    async def queue(self, *to: str, **options: Any) -> Any:
        """Queue a mail; None where it is refused as it should be, with a UserError."""
        keywords = {"from_email": SENDER, "subject": "Invoice", "body": "<p>Hello Kim</p>", **options}
        try:
            return await get_model("Message").queue_email(
                None, to or (KIM,), keywords.pop("subject"), keywords.pop("body"), **keywords
            )
        except UserError as error:
            self.refused.append(str(error))
            return None

    async def sent(self) -> Sequence[Accepted]:
        """Send all that is queued, and return what the server took since the last time."""
        before = len(self.mta.ledger)
        async with Engine() as engine:
            await engine.drain()
        return self.mta.ledger[before:]


@asynccontextmanager
async def door_to(script: Script | None = None, **server: Any) -> AsyncIterator[Door]:
    """Start a server, a scripted one that writes down its commands, and make it the host's only one."""
    async with FakeMta(script or Script()) as mta:
        await get_model("OutgoingMailServer").all().delete()
        fields = {"name": "fake", "server": "127.0.0.1", "port": mta.port, "use_ssl": False, **server}
        await get_model("OutgoingMailServer").create(**fields)
        yield Door(mta)


async def attachment(name: str, content: bytes, content_type: str = "application/octet-stream", **more: Any) -> Any:
    return await get_model("Attachment").create(
        name=name, content=content, content_type=content_type, size_bytes=len(content), sha256="0" * 64, **more
    )


def read(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def assert_only_crlf(raw: bytes) -> None:
    assert raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")
    assert b"\0" not in raw
    assert max(map(len, raw.split(b"\r\n"))) <= 998
