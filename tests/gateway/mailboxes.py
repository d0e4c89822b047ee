"""What the tests of fetching share: a server record on a Dovecot mailbox, and looking into that mailbox."""

from __future__ import annotations

import asyncio
import imaplib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from core.runtime import get_model
from tests.servers.dovecot import PASSWORD, Dovecot


async def make_server(dovecot: Dovecot, user: str, **values: Any) -> Any:
    port = dovecot.pop3_port if values.get("protocol") == "pop3" else dovecot.port
    settings = {"name": user, "server": "127.0.0.1", "port": port, "use_ssl": False, "username": user}
    return await get_model("IncomingMailServer").create(**{**settings, "password": PASSWORD, **values})


@contextmanager
def mailbox_of(dovecot: Dovecot, user: str, folder: str = "INBOX") -> Iterator[imaplib.IMAP4]:
    with imaplib.IMAP4("127.0.0.1", dovecot.port) as mailbox:
        mailbox.login(user, PASSWORD)
        mailbox.select(folder)
        yield mailbox


def count(dovecot: Dovecot, user: str, folder: str = "INBOX", keys: str = "ALL") -> int:
    with mailbox_of(dovecot, user, folder) as mailbox:
        return len(mailbox.search(None, keys)[1][0].split())


def unseen(dovecot: Dovecot, user: str) -> int:
    return count(dovecot, user, keys="UNSEEN")


def set_flags(dovecot: Dovecot, user: str, change: str, flags: str = r"(\Seen)", mails: str = "1:*") -> None:
    """Change flags as another mail program does; `change` is +FLAGS or -FLAGS."""
    with mailbox_of(dovecot, user) as mailbox:
        mailbox.store(mails, change, flags)


def delete(dovecot: Dovecot, user: str, mails: str = "1:*") -> None:
    """Delete mails as another mail program does."""
    with mailbox_of(dovecot, user) as mailbox:
        mailbox.store(mails, "+FLAGS", r"(\Deleted)")
        mailbox.expunge()


async def spooled() -> list[str]:
    rows: list[str] = await get_model("InboundEmail").all().order_by("id").values_list("source", flat=True)
    return rows


async def subjects() -> list[str]:
    """Return the subjects of the spooled mails, in the order in which they came."""
    contents = await get_model("InboundRaw").all().order_by("email_id").values_list("content", flat=True)
    return [bytes(raw).split(b"Subject: ")[1].split(b"\r\n")[0].decode() for raw in contents]


async def until(found: Callable[[], Awaitable[Any]], what: str, timeout_s: float = 10) -> Any:
    """Ask until the answer is true, and return it."""
    try:
        async with asyncio.timeout(timeout_s):
            while not (answer := await found()):
                await asyncio.sleep(0.02)
            return answer
    except TimeoutError:
        raise AssertionError(f"{what} did not come within {timeout_s} s") from None
