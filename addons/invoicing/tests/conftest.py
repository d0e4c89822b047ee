from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from core.api import get_model

MakeDocument = Callable[..., Awaitable[Any]]


@pytest.fixture
def settings() -> dict[str, object]:
    return {"ADDONS": ["invoicing"], "MAIL_MODE": "catch"}


@pytest.fixture
async def make_document(host: Any) -> MakeDocument:
    """Return a function that stores a document of the demo's company with lines of (quantity, price, tax rate)."""
    company = await get_model("Company").get(identifier="demo_company")
    contact = await get_model("Contact").get(identifier="demo_contact_jonas")

    async def make(*lines: tuple[str, str, str], **values: Any) -> Any:
        model, line_model = get_model("FinancialDocument"), get_model("FinancialDocumentLine")
        document = await model.create(**{"company": company, "contact": contact, **values})
        for quantity, price, rate in lines:
            await line_model.create(
                document=document,
                description="Something",
                quantity=Decimal(quantity),
                unit_price=Decimal(price),
                tax_rate=Decimal(rate),
            )
        await document.refresh_from_db()
        return document

    return make
