from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

import pytest

from core.api import UserError, get_model, transaction

from .conftest import MakeDocument

pytestmark = pytest.mark.anyio
SPRING = date(2031, 4, 1)


async def test_many_at_once_get_numbers_without_a_gap(make_document: MakeDocument) -> None:
    documents = [await make_document(issue_date=SPRING) for _ in range(12)]
    await asyncio.gather(*(document.confirm() for document in documents))
    assert sorted(document.number for document in documents) == [f"INV/2031/{count:04d}" for count in range(1, 13)]


async def test_confirming_one_document_many_times_takes_one_number(make_document: MakeDocument) -> None:
    document = await make_document(issue_date=SPRING)
    copies = [await get_model("FinancialDocument").get(id=document.pk) for _ in range(5)]
    await asyncio.gather(*(copy.confirm() for copy in copies))
    assert {copy.number for copy in copies} == {"INV/2031/0001"}


async def test_a_number_goes_back_with_its_transaction(make_document: MakeDocument) -> None:
    document = await make_document(issue_date=SPRING)

    async def confirm_and_fail() -> None:
        async with transaction():
            await document.confirm()
            raise RuntimeError("the mail could not be queued")

    with pytest.raises(RuntimeError):
        await confirm_and_fail()
    other = await make_document(issue_date=SPRING, state="sent")
    assert other.number == "INV/2031/0001"


async def test_types_companies_and_years_count_for_themselves(make_document: MakeDocument) -> None:
    elsewhere = await get_model("Company").create(name="Elsewhere")
    kinds: list[dict[str, Any]] = [
        {"type": "credit_note"},
        {"type": "quotation"},
        {"issue_date": date(2032, 1, 1)},
        {"company": elsewhere},
    ]
    documents = [await make_document(**{"issue_date": SPRING, "state": "sent", **kind}) for kind in kinds]
    assert [one.number for one in documents] == ["CN/2031/0001", "QUO/2031/0001", "INV/2032/0001", "INV/2031/0001"]


async def test_a_numbered_document_stays_what_it_is(make_document: MakeDocument) -> None:
    document = await make_document(issue_date=SPRING)
    stale = await get_model("FinancialDocument").get(id=document.pk)
    await document.confirm()
    stale.note = "written by somebody who saw a draft"
    await stale.save()
    assert stale.number == "INV/2031/0001"
    stale.type = "quotation"
    with pytest.raises(UserError, match="its type cannot be changed"):
        await stale.save()
    with pytest.raises(UserError, match="cancel it instead"):
        await document.delete()


async def test_a_draft_has_no_number_and_can_go(make_document: MakeDocument) -> None:
    document = await make_document(("1", "5", "0"))
    assert document.number is None
    assert document.display_name == f"Invoice (draft {document.pk})"
    await document.delete()
    assert not await get_model("FinancialDocumentLine").exists(document_id=document.pk)
