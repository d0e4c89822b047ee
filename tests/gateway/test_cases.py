"""Saved cases and sketches: asked about like any mail, and red as soon as one goes elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import PostroomError, UserError
from core.gateway.cases import CaseResult, check_cases
from core.gateway.explain import explain
from core.gateway.values import Outcome
from core.mail.parse import parse
from core.mail.sketch import Sketch
from core.runtime import get_model
from tests.gateway.conftest import ORIGINAL, mail

pytestmark = pytest.mark.anyio


async def results() -> list[CaseResult]:
    return [result async for result in check_cases()]


async def test_a_case_is_green_until_its_mail_goes_elsewhere(routes: dict[str, Any]) -> None:
    case = get_model("RouteCase")
    await case.create(
        name="A lead", sender="Ada <ada@customer.test>", to="leads", expected_outcome="record", expected_record="Ticket"
    )
    await case.create(name="Bytes", content=mail("Lost", to="x@our.test"), expected_outcome="unmatched")
    await case.create(name="Switched off", sender="a@b.test", to="x", expected_outcome="record", active=False)
    green = await results()
    assert [(one.name, one.passed, one.found.rule) for one in green] == [
        ("A lead", True, "alias"),
        ("Bytes", True, "unmatched"),
    ]
    await get_model("EmailRoute").filter(address="leads").update(active=False)
    red, still = await results()
    assert (red.passed, red.found.words, still.passed) == (False, "unmatched by unmatched", True)
    stored = await case.get(name="A lead")
    assert (stored.passed, stored.found_outcome, stored.checked_at is not None) == (False, "unmatched", True)
    assert await get_model("Ticket").all().count() == await get_model("InboundEmail").all().count() == 0


async def test_a_case_may_name_the_very_record_and_the_rule(invoice: Any, routes: dict[str, Any]) -> None:
    case = get_model("RouteCase")
    values = {"sender": "ada@customer.test", "to": "x", "headers": {"In-Reply-To": ORIGINAL}}
    for record, rule in ((f"Ticket:{invoice.id}", "reply_reference"), ("Ticket:999", ""), ("Ticket", "alias")):
        await case.create(name="Reply", **values, expected_outcome="reply", expected_record=record, expected_rule=rule)
    assert [result.passed for result in await results()] == [True, False, False]


async def test_a_case_that_cannot_be_asked_is_red_and_says_why(routes: dict[str, Any]) -> None:
    await get_model("RouteCase").create(
        name="Broken", sender="a@b.test", to="leads", headers={"Bad Name": "x"}, expected_outcome="record"
    )
    (result,) = await results()
    assert (result.passed, result.error) == (False, '"Bad Name" is no name of a header.')


@pytest.mark.parametrize("values", [{}, {"sender": "  "}, {"sender": "a@b.test", "headers": ["x"]}])
async def test_a_case_without_a_mail_is_refused(routes: dict[str, Any], values: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        await get_model("RouteCase").create(name="Empty", expected_outcome="record", **values)


async def test_explaining_tells_the_fields_of_each_record(routes: dict[str, Any]) -> None:
    sketch = Sketch(sender="Ada <ada@customer.test>", to="leads, orders", subject="urgent: an offer", body="Please.")
    account = await explain(sketch.raw("our.test"))
    assert account.records == ("Ticket", "Order")
    assert account.fields["leads@our.test"]["priority"] == "9"
    assert account.fields["leads@our.test"]["email_from"] == "Ada <ada@customer.test>"
    assert account.fields["orders@our.test"] == {"title": "urgent: an offer", "priority": "9"}


async def test_explaining_foretells_that_no_record_will_be_made(routes: dict[str, Any]) -> None:
    account = await explain(Sketch(sender="ada@customer.test", to="leads", subject="refuse me").raw("our.test"))
    assert (account.outcome, account.waits) == (Outcome.UNROUTED, True)
    assert "tickets of this kind are refused" in (account.error or "")


async def test_explaining_can_suppose_that_the_sender_is_proven(routes: dict[str, Any]) -> None:
    contact = await get_model("Contact").create(name="Grace", email="grace@our.test")
    await get_model("User").create(login="grace@our.test", name="Grace", contact=contact)
    await get_model("EmailRoute").create(address="board", target_model="Ticket", sender_policy="staff")
    raw = Sketch(sender="grace@our.test", to="board").raw("our.test")
    assert (await explain(raw)).outcome is Outcome.UNMATCHED
    assert (await explain(raw, verified=True)).outcome is Outcome.RECORD


_TEXT = st.text(max_size=2000)


@given(_TEXT, _TEXT, _TEXT, _TEXT)
def test_a_sketch_is_one_mail_or_refused(sender: str, to: str, subject: str, body: str) -> None:
    try:
        raw = Sketch(sender=sender, to=to, subject=subject, body=body).raw("our.test")
    except PostroomError:
        return
    names = [name for name, _ in parse(raw).headers]
    assert [name for name in names if name not in ("From", "To", "Subject")] == ["MIME-Version", "Content-Type"]
