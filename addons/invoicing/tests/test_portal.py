"""What invoicing shows those outside: their own documents, once they are no drafts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from core.access import Right, access_of
from core.api import get_model

pytestmark = pytest.mark.anyio


async def test_own_documents_that_are_no_drafts(make_document: Callable[..., Awaitable[Any]]) -> None:
    jonas = await get_model("Contact").get(identifier="demo_contact_jonas")
    company = await get_model("Company").get(identifier="demo_company")
    user = await get_model("User").create(login="jonas", name="Jonas", contact=jonas, company=company)
    await user.groups.add(await get_model("Group").get(identifier="portal"))
    await make_document(("1", "10", "0"))
    sent = await make_document(("2", "10", "0"), state="sent")
    other = await get_model("Contact").get(identifier="demo_contact_ada")
    await make_document(("3", "10", "0"), state="sent", contact=other)
    access = await access_of(user)
    documents = access.records("FinancialDocument").filter(id__gte=sent.id - 1)
    assert await documents.values_list("id", flat=True) == [sent.id]
    lines = access.records("FinancialDocumentLine").filter(document_id__gte=sent.id - 1)
    assert await lines.values_list("quantity", flat=True) == [2]
    for model in ("FinancialDocument", "FinancialDocumentLine"):
        assert not any(access.may(model, right) for right in (Right.CREATE, Right.WRITE, Right.DELETE))
    assert not access.may("DocumentSequence")
    assert not access.may_field("FinancialDocument", "seen_at")
