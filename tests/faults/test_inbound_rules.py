"""Inbound mail that cannot be dealt with stops nobody and is never lost: rows 46 and 47 of DELIVERY.md."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from core.errors import PostroomError
from core.gateway import decide, spool
from core.gateway.receive import process, process_pending
from core.gateway.replay import replay
from core.runtime import Runtime, get_model

pytestmark = pytest.mark.anyio

DESK = Path(__file__).resolve().parents[1] / "gateway" / "addons"


@pytest.fixture
def settings() -> dict[str, object]:
    return {
        "ADDONS": ["core", "desk"],
        "ADDONS_PATH": [str(DESK)],
        "MAIL_DOMAIN": "our.test",
        "LEASE_SECONDS": 2,
        "NAME_SERVER": "off",
    }


@pytest.fixture
async def route(host: Runtime) -> Any:
    return await get_model("EmailRoute").create(address="leads", target_model="Ticket")


def mail(subject: str, body: str = "Text.") -> bytes:
    lines = ["From: Ada <ada@customer.test>", "To: leads@our.test", f"Subject: {subject}", "", body]
    return "\r\n".join(lines).encode()


_HEAD = b"From: ada@customer.test\r\nTo: leads@our.test\r\n"
BOMBS = {
    "comments": b"To: leads@our.test\r\nFrom: " + b"(" * 100_000 + b"x\r\n\r\nHi",
    "encoded words": _HEAD + b"Subject: " + b"=?utf-8?q?a?= " * 16_000 + b"\r\n\r\nHi",
    "parameters": _HEAD + b"Content-Type: text/plain" + b"; a=b" * 16_000 + b"\r\n\r\nHi",
    "addresses": b"From: ada@customer.test\r\nTo: " + b"a@b.test, " * 16_000 + b"leads@our.test\r\n\r\nHi",
    "depth": _HEAD
    + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(1000)),
    "parts": _HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 100_000 + b"--b--",
    "mails in mails": _HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 200 + b"Hi",
    "quotes": _HEAD + b"\r\n" + b">" * 100_000 + b"\r\n" + b"On Monday wrote:\r\n" * 10_000,
    "spaces": _HEAD + b"\r\n" + b" " * 1_000_000,
    "one line": _HEAD + b"\r\n" + b"x" * 5_000_000,
    "tags": _HEAD + b"Content-Type: text/html\r\n\r\n" + b"<div>" * 100_000,
    "control characters": b"\x00\xff\xfe(((" * 5_000,
    "surrogates": _HEAD + b"Subject: =?utf-7?q?+2D0-?= \xed\xa0\x80\r\n\r\n\xed\xa0\x80",
    "received": b"Received: by x for <a@b.test>;\r\n" * 20_000 + _HEAD + b"\r\nHi",
    "nothing": b"",
}


async def test_f46_bombs_at_the_head_of_the_mailbox_hold_up_nobody(route: Any, host: Runtime) -> None:
    numbers = {name: await spool.store(raw, f"test:{name}") for name, raw in BOMBS.items()}
    last = await spool.store(mail("After all of them"), "test:last")
    async with asyncio.timeout(60):
        report = await process_pending()
    assert report.count == len(BOMBS) + 1
    assert (await get_model("InboundEmail").get(id=last)).outcome == "record"
    for name, number in numbers.items():
        row = await get_model("InboundEmail").get(id=number)
        assert row.state in ("processed", "unmatched", "ignored"), (name, row.error)
        assert await row.content() == BOMBS[name]


async def test_f46_what_fails_is_set_aside_whole_after_three_tries_and_the_next_go_on(route: Any) -> None:
    head = await spool.store(mail("crash the rule"), "test:1")
    reports = []
    for number in range(4):
        await spool.store(mail(f"Fine {number}"), f"test:fine{number}")
        reports.append((await process_pending()).outcomes)
    assert reports == [
        {"failed": 1, "record": 1},
        {"failed": 1, "record": 1},
        {"quarantined": 1, "record": 1},
        {"record": 1},
    ]
    row = await get_model("InboundEmail").get(id=head)
    assert (row.state, row.tries) == ("quarantined", 3)
    assert "RuntimeError: the rule crashed" in row.error
    assert await row.content() == mail("crash the rule")
    # A person looks at it, tries it, and puts it aside for good; its bytes stay.
    await row.replay()
    assert row.state == "received"
    for _ in range(2):
        await process_pending()
    await row.refresh_from_db()
    await row.discard("a test")
    assert (row.state, await row.content()) == ("discarded", mail("crash the rule"))


async def test_f46_a_rule_that_never_answers_is_a_failure_of_its_mail_alone(
    route: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decide, "LONGEST_RULE_S", 0.3)
    stalled = await spool.store(mail("stall the rule"), "test:1")
    others = [await spool.store(mail(f"Fine {number}"), f"test:fine{number}") for number in range(20)]
    await process_pending()
    states = await get_model("InboundEmail").filter(id__in=others).values_list("state", flat=True)
    assert set(states) == {"processed"}
    assert "the rule desk had no answer within 0.3 s" in (await get_model("InboundEmail").get(id=stalled)).error


async def test_f47_a_reply_is_one_though_the_record_beside_it_was_refused(route: Any) -> None:
    ticket = await get_model("Ticket").create(name="Thread")
    await get_model("EmailRoute").create(address="orders", target_model="Order", target_name_field="title")
    token = "0123456789abcdef0123456789abcdef"
    await get_model("Message").create(
        res_model="Ticket", res_id=ticket.id, direction="Outbound", tracking_identifier=token
    )
    both = mail("refuse me").replace(b"To: leads@", f"To: catchall+{token}@our.test, orders@".encode())
    number = await spool.store(both, "test:1")
    assert number is not None
    (account,) = await process([number])
    assert (account.outcome, account.record) == ("reply", f"Ticket:{ticket.id}")
    assert "orders@our.test: no Order was created" in (account.error or "")


async def test_f47_a_record_that_cannot_be_created_is_one_press_away(route: Any) -> None:
    number = await spool.store(mail("refuse me"), "test:1")
    assert number is not None
    (account,) = await process([number])
    row = await get_model("InboundEmail").get(id=number)
    assert (row.state, row.outcome) == ("unmatched", "unrouted")
    assert "leads@our.test: no Ticket was created" in row.error
    assert "tickets of this kind are refused" in (account.error or "")
    assert await get_model("Ticket").all().count() == await get_model("Message").filter(kind="message").count() == 0
    # Nothing was mended: it waits as before.
    assert (await replay(number)).outcome == "unrouted"
    with pytest.raises(PostroomError, match="are refused"):
        await row.create_by(route.id)
    await row.refresh_from_db()
    assert (row.state, row.lease_token) == ("unmatched", None)
    # Now it is.
    await get_model("EmailRoute").create(address="other", target_model="Order", target_name_field="title")
    ticket = await get_model("Ticket").create(name="By hand")
    await row.assign("Ticket", ticket.id)
    assert (row.state, row.res_id) == ("processed", ticket.id)


async def test_f47_a_database_that_refuses_the_record_keeps_the_mail(route: Any, host: Runtime) -> None:
    await get_model("EmailRoute").filter(id=route.id).update(target_name_field="email", defaults={"priority": 10**12})
    number = await spool.store(mail("Too much"), "test:1")
    after = await spool.store(mail("Too much, too"), "test:2")
    assert number is not None
    await process_pending()
    rows = await get_model("InboundEmail").filter(id__in=[number, after]).values_list("outcome", flat=True)
    assert set(rows) <= {"unrouted", "record"}
    await get_model("EmailRoute").filter(id=route.id).update(target_name_field="name", defaults={})
    for spool_id in (number, after):
        row = await get_model("InboundEmail").get(id=spool_id)
        if row.outcome == "unrouted":
            await row.replay()
        assert row.outcome == "record"
