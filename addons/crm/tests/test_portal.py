"""What the CRM shows those outside: the leads of themselves and of their organisation."""

from __future__ import annotations

from typing import Any

import pytest

from core.access import Right, access_of
from core.api import get_model

pytestmark = pytest.mark.anyio


async def test_own_leads_and_those_of_the_organisation(host: Any) -> None:
    company = await get_model("Company").get(identifier="demo_company")
    works = await get_model("Contact").create(name="Engine Works", company=company)
    ada = await get_model("Contact").get(identifier="demo_contact_ada")
    user = await get_model("User").create(login="ada", name="Ada", contact=ada, company=company)
    await user.groups.add(await get_model("Group").get(identifier="portal"))
    leads = get_model("CrmLead")
    await leads.create(name="A crane", contact=works, company=company)

    async def seen() -> list[str]:
        names: list[str] = (
            await (await access_of(user)).records("CrmLead").order_by("id").values_list("name", flat=True)
        )
        return list(names)

    assert await seen() == ["Shelves for a reading room"]
    ada.parent = works
    await ada.save()
    assert await seen() == ["Shelves for a reading room", "A crane"]
    access = await access_of(user)
    assert await access.records("Contact").count() == 2
    assert not any(access.may("CrmLead", right) for right in (Right.CREATE, Right.WRITE, Right.DELETE))
    assert [name for name in ("expected_revenue", "source", "stage") if access.may_field("CrmLead", name)] == ["stage"]
