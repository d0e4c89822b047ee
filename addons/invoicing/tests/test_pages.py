from __future__ import annotations

from typing import Any

import pytest

from core.api import acting_as, get_model

from ..pages import unpaid

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("contact", ["", "none", "²", "9" * 40, "-1"])
async def test_whatever_contact_is_asked_for_there_is_a_list(host: Any, contact: str) -> None:
    user = await get_model("User").create(login="boss@example.org", name="Boss", is_admin=True)
    with acting_as(user):
        assert "documents" in await unpaid({"contact": contact})
