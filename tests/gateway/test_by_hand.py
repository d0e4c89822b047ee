"""What a person decides about a mail that led nowhere, and trying mails again."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import UnknownName, UserError
from core.gateway import spool
from core.gateway.by_hand import assign, create, discard
from core.gateway.proposals import proposals_for
from core.gateway.receive import process, process_pending
from core.gateway.replay import replay, replay_all
from core.gateway.values import Outcome
from core.mail.parse import parse
from core.runtime import Runtime, acting_as, get_model
from tests.gateway.conftest import ORIGINAL, change_settings, mail

pytestmark = pytest.mark.anyio


async def taken_in(raw: bytes, source: str = "") -> int:
    """Store a mail, deal with it, and return its number."""
    spool_id = await spool.store(raw, source or f"test:{await get_model('InboundEmail').all().count()}")
    assert spool_id is not None
    await process([spool_id])
    return spool_id


@pytest.fixture
async def lost(routes: dict[str, Any]) -> int:
    """The number of a mail that matched nothing."""
    return await taken_in(mail("Lost", to="nobody@our.test", message_id="<lost@customer.test>"))


@pytest.fixture
async def grace(host: Runtime) -> Any:
    """An administrator."""
    return await get_model("User").create(login="grace@our.test", name="Grace", is_admin=True)


async def test_a_mail_is_put_on_a_record_and_the_trace_says_by_whom(lost: int, grace: Any) -> None:
    ticket = await get_model("Ticket").create(name="Known")
    with acting_as(grace):
        account = await assign(lost, "Ticket", ticket.id)
    row = await get_model("InboundEmail").get(id=lost)
    assert (account.outcome, account.record) == (Outcome.REPLY, f"Ticket:{ticket.id}")
    assert (row.state, row.res_id, row.settled_by_id) == ("processed", ticket.id, grace.id)
    assert row.settled_at is not None
    assert [step["rule"] for step in row.trace][-2:] == ["unmatched", "person"]
    assert row.trace[-1]["reason"] == f"Grace put it on Ticket:{ticket.id}"
    (entry,) = await ticket.timeline()
    assert (entry.id, entry.subject, entry.parent_id, entry.kind) == (row.message_id, "Lost", None, "message")
    with pytest.raises(UserError, match="became a reply already"):
        await assign(lost, "Ticket", ticket.id)
    # What answers it now joins it.
    second = await taken_in(mail("Re: Lost", to="x@x.test", In_Reply_To="<lost@customer.test>"))
    assert (await get_model("InboundEmail").get(id=second)).res_id == ticket.id


async def test_a_route_makes_a_record_of_it_whoever_may_write_there(lost: int, routes: dict[str, Any]) -> None:
    await get_model("EmailRoute").filter(id=routes["leads"].id).update(sender_policy="staff")
    account = await create(lost, routes["leads"].id)
    assert (account.outcome, (account.record or "").partition(":")[0]) == (Outcome.RECORD, "Ticket")
    assert account.trace[-1].reason == "The operator let leads@our.test create a Ticket"
    with pytest.raises(UnknownName):
        await create(lost, 999)


async def test_a_decision_that_fails_leaves_all_as_it_was(routes: dict[str, Any]) -> None:
    spool_id = await taken_in(mail("refuse me", to="nobody@our.test"))
    before = await get_model("InboundEmail").filter(id=spool_id).values()
    with pytest.raises(Exception, match="tickets of this kind are refused"):
        await create(spool_id, routes["leads"].id)
    assert await get_model("InboundEmail").filter(id=spool_id).values() == before
    with pytest.raises(UnknownName):
        await assign(spool_id, "Ticket", 999)
    with pytest.raises(UserError, match="no timeline"):
        await assign(spool_id, "Ledger", 1)
    with pytest.raises(UnknownName, match="no mail 999"):
        await discard(999)


async def test_a_discarded_mail_stays_whole_and_can_come_back(lost: int, grace: Any) -> None:
    with acting_as(grace):
        await discard(lost, "an advertisement\r\n<b>")
    row = await get_model("InboundEmail").get(id=lost)
    assert (row.state, row.outcome, row.settled_by_id) == ("discarded", "discarded", grace.id)
    assert row.trace[-1]["reason"] == "Grace discarded it: an advertisement <b>"
    assert b"Lost" in await row.content()
    assert (await process_pending()).count == 0
    await get_model("EmailRoute").create(address="nobody", target_model="Ticket")
    assert (await replay(lost)).outcome is Outcome.RECORD


async def test_two_people_at_once_make_one_record(lost: int, routes: dict[str, Any]) -> None:
    taken = await spool.take(lost)
    assert taken is not None
    with pytest.raises(UserError, match="just now"):
        await create(lost, routes["leads"].id)
    await spool.give_back(taken[0])
    await create(lost, routes["leads"].id)
    assert await get_model("Ticket").all().count() == 1


async def test_what_a_person_may_not_see_is_nothing_to_assign_to(lost: int, host: Runtime) -> None:
    ticket = await get_model("Ticket").create(name="Secret")
    nobody = await get_model("User").create(login="nobody@our.test", name="Nobody")
    with acting_as(nobody), pytest.raises(Exception, match="may not read"):
        await assign(lost, "Ticket", ticket.id)


# Again.


async def test_what_became_something_is_repeated_on_request_alone_and_says_so(routes: dict[str, Any]) -> None:
    first = await taken_in(mail("Once", message_id="<once@customer.test>"))
    with pytest.raises(UserError, match="would make a double"):
        await replay(first)
    account = await replay(first, again=True)
    assert account.outcome is Outcome.RECORD
    assert account.trace[0].reason == "a person asked for it once more"
    before, after = await get_model("InboundEmail").all().order_by("id")
    assert (before.id, before.state, after.original_id) == (first, "processed", first)
    assert before.res_id != after.res_id
    assert await after.content() == await before.content()
    assert (await replay(first, again=True)).outcome is Outcome.RECORD
    assert (await get_model("InboundEmail").get(id=first)).fingerprint is not None
    # And a copy is still a copy.
    copy = await taken_in(b"X: 1\r\n" + mail("Once", message_id="<once@customer.test>"))
    assert (await get_model("InboundEmail").get(id=copy)).original_id == first


async def test_a_mail_that_anybody_brought_stays_such_a_one(routes: dict[str, Any]) -> None:
    first = await taken_in(mail("Open"), f"{spool.OPEN}reply:1")
    await replay(first, again=True)
    (again,) = await get_model("InboundEmail").exclude(id=first)
    assert again.source.startswith(f"{spool.OPEN}replay:{first}:")
    assert again.original_id == first


async def test_all_of_a_state_are_tried_again_in_order(routes: dict[str, Any], host: Runtime) -> None:
    change_settings(host, QUARANTINE_AFTER=1)
    ids = [await taken_in(mail(f"Lost {number}", to="late@our.test")) for number in range(3)]
    poisoned = await taken_in(mail("crash the rule"))
    await taken_in(mail("unwanted"))
    await get_model("EmailRoute").create(address="late", target_model="Ticket")
    done = [(spool_id, account.outcome) async for spool_id, account in replay_all(["unmatched"])]
    assert done == [(spool_id, Outcome.RECORD) for spool_id in ids]
    done = [(spool_id, account.outcome) async for spool_id, account in replay_all(["quarantined"])]
    assert done == [(poisoned, Outcome.QUARANTINED)]
    assert [one async for one in replay_all(["discarded"])] == []


# What is offered.


async def test_what_is_offered_is_likely_and_readable(invoice: Any, routes: dict[str, Any]) -> None:
    await taken_in(mail("My question", to="leads@our.test", message_id="<q@customer.test>"))
    asked = await get_model("Ticket").get(name="My question")
    email = parse(mail("RE: AW: Your invoice", to="laeds@our.test"))

    class Sees:
        """An access that shows everything but orders."""

        is_admin = True

        def may(self, model: str, right: str = "read") -> bool:
            return model != "Order"

        async def readable(self, wanted: Any) -> dict[tuple[str, int], Any]:
            return {(model, number): await get_model(model).get(id=number) for model, number in wanted}

    offered = await proposals_for(email, Sees())  # type: ignore[arg-type]
    assert [(one.record.id, one.why) for one in offered.records] == [
        (invoice.id, "The same subject"),
        (asked.id, "The sender's last"),
    ]
    assert [route.address for route in offered.routes] == ["leads", "support"]
    assert ORIGINAL
