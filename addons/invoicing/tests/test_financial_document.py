from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from core.api import AccessDenied, UserError, acting_as, get_model

from .conftest import MakeDocument

pytestmark = pytest.mark.anyio


async def test_totals_are_those_of_the_lines(make_document: MakeDocument) -> None:
    document = await make_document(("3", "19.99", "19"), ("2", "4.50", "7"))
    assert (document.untaxed, document.tax, document.total) == (Decimal("68.97"), Decimal("12.02"), Decimal("80.99"))
    line = await get_model("FinancialDocumentLine").filter(document_id=document.pk).first()
    await line.delete()
    await document.refresh_from_db()
    assert document.total == Decimal("9.63")


async def test_yen_have_no_fraction(make_document: MakeDocument) -> None:
    document = await make_document(("3", "33.5", "10"), currency="JPY")
    assert (document.untaxed, document.tax, document.total) == (101, 10, 111)


async def test_lines_that_come_at_once_are_all_in_the_total(make_document: MakeDocument) -> None:
    document = await make_document()
    lines = get_model("FinancialDocumentLine")
    await asyncio.gather(
        *(lines.create(document=document, description=f"{count}", unit_price=Decimal(10)) for count in range(8))
    )
    await document.refresh_from_db()
    assert document.total == 80


async def test_the_timeline_tells_what_happens_to_the_money(make_document: MakeDocument) -> None:
    document = await make_document(("1", "100", "0"))
    assert [change.field for entry in await document.timeline() for change in entry.changes] == ["total"]
    document.due_date = date(2031, 1, 1)
    document.state = "sent"
    await document.save()
    changes = {change.field: change.new_text for change in (await document.timeline())[0].changes}
    assert changes == {"state": "Sent", "due_date": "2031-01-01"}


async def test_paying_and_cancelling(make_document: MakeDocument) -> None:
    paid = await make_document(state="sent")
    await paid.mark_paid()
    with pytest.raises(UserError, match="write a credit note"):
        await paid.cancel()
    cancelled = await make_document()
    await cancelled.cancel()
    with pytest.raises(UserError, match="cannot be paid"):
        await cancelled.mark_paid()
    with pytest.raises(UserError, match="not sent any more"):
        await cancelled.send()
    quotation = await make_document(type="quotation")
    with pytest.raises(UserError, match="cannot be paid"):
        await quotation.mark_paid()


async def test_reminders_come_once_in_parts_and_go_when_paid(host: Any, make_document: MakeDocument) -> None:
    model, activities = get_model("FinancialDocument"), get_model("Activity")
    await model.all().update(state="draft")
    for _ in range(3):
        await make_document(state="sent", due_date=date(2020, 1, 1))
    await make_document(state="sent", due_date=date(2090, 1, 1))
    progress = await model.remind_overdue()
    assert (progress.items, progress.more) == (3, False)
    assert (await model.remind_overdue()).items == 0
    first = await activities.filter(kind="Payment reminder").order_by("id").first()
    document = await model.get(id=first.res_id)
    await document.mark_paid()
    assert await activities.filter(kind="Payment reminder", done_at=None).count() == 2


async def test_more_than_a_hundred_reminders_are_made_in_turns(host: Any, make_document: MakeDocument) -> None:
    model = get_model("FinancialDocument")
    company = await get_model("Company").get(identifier="demo_company")
    await model.all().update(state="draft")
    overdue = date(2020, 1, 1)
    await model.bulk_create(
        [
            model(company=company, state="sent", number=f"X{count}", issue_date=overdue, due_date=overdue)
            for count in range(101)
        ]
    )
    turns = [await model.remind_overdue() for _ in range(2)]
    assert [(turn.items, turn.more) for turn in turns] == [(100, True), (1, False)]


async def test_the_overdue_invoices_are_printed_and_answered(host: Any, make_document: MakeDocument) -> None:
    await get_model("FinancialDocument").all().update(state="draft")
    late = await make_document(("2", "10", "0"), state="sent", due_date=date(2020, 1, 1), issue_date=date(2019, 12, 1))
    elsewhere = await get_model("Company").create(name="Elsewhere")
    await make_document(state="sent", company=elsewhere, due_date=date(2020, 1, 2))
    contributions = host.contributions
    (command,) = [one for _, one in contributions.commands if one.name == "overdue"]
    row, _ = await command.run([])
    told = (row["number"], row["total"], row["currency"], row["contact"])
    assert told == (late.number, "20.00", "EUR", "Jonas Weber")

    (route,) = [one for _, one in host.hooks.contributions("register_routes") if one.path == "/api/invoicing/overdue"]
    with pytest.raises(AccessDenied):
        await route.endpoint()
    user = await get_model("User").create(login="clerk", name="Clerk", company_id=late.company_id)
    await user.groups.add(await get_model("Group").get(identifier="user"))
    with acting_as(user):
        answer = await route.endpoint()
    assert [(one.number, one.contact) for one in answer] == [(late.number, "Jonas Weber")]
