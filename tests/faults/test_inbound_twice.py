"""F44: two fetchers on one mailbox, or one mail by two ways: one record, and both deliveries on the log."""

from __future__ import annotations

import asyncio

import pytest

from core.gateway.fetch import fetch_server
from core.gateway.fetch_lease import Lease
from core.gateway.receive import process_pending
from core.runtime import Runtime, get_model
from tests.faults.mailboxes import DESK, mailbox_on, records, visit
from tests.servers.scripted_imap import mail_number, scripted_imap
from tests.servers.scripted_pop3 import scripted_pop3

pytestmark = pytest.mark.anyio
ALL = ["scripted 1", "scripted 2", "scripted 3"]


@pytest.fixture
def settings() -> dict[str, object]:
    return DESK


async def test_f44_two_fetchers_on_one_mailbox(host: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_imap() as server:
        mailbox = await mailbox_on(server)
        visits = await asyncio.gather(*(fetch_server(mailbox) for _ in range(4)))
        # Who is late enough finds the mailbox free again, and nothing in it that is new.
        assert {bool(one.skipped) for one in visits} == {False, True}
        assert await get_model("InboundEmail").all().count() == 3
        # The same where no lease keeps them apart, as after a worker that stood still wakes up.
        await get_model("MailFolder").all().delete()

        async def renew(lease: Lease) -> bool:
            return True

        monkeypatch.setattr(Lease, "renew", renew)

        async def overtake() -> None:
            await get_model("IncomingMailServer").all().update(lease_until=None)
            await fetch_server(mailbox)

        await asyncio.gather(*(overtake() for _ in range(3)))
        await process_pending()
    assert await get_model("InboundEmail").all().count() == 3
    assert await records() == ALL


async def test_f44_one_mail_by_several_ways(host: Runtime) -> None:
    async with scripted_imap() as imap_server, scripted_pop3() as pop3_server:
        first = await mailbox_on(imap_server)
        second = await mailbox_on(pop3_server, name="the other way")
        await visit(first)
        assert (await visit(second)).stored == 3
    await get_model("InboundEmail").receive(mail_number(1), "webhook:1")
    assert await records() == ALL
    outcomes = await get_model("InboundEmail").all().order_by("id").values_list("outcome", flat=True)
    assert outcomes == [*["record"] * 3, *["duplicate"] * 4]
