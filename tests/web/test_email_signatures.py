from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.models.email_signature import HTML_BYTES
from core.runtime import get_model
from tests.web.browser import Browser
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


async def call(browser: Browser, path: str, **body: Any) -> Any:
    return await browser.client.post(f"/api/email/{path}", json=body)


async def test_signatures_are_made_changed_and_deleted(visitor: Visitor) -> None:
    ann = await visitor("ann")
    made = (await call(ann, "signatures/create", name="Office", html="<p>Ann</p>", is_default=True)).json()
    assert made == {"id": made["id"], "name": "Office", "html": "<p>Ann</p>", "is_default": True}
    assert (await call(ann, "signatures/list")).json() == [made]
    changed = await call(ann, f"signature/{made['id']}/update", name="Desk")
    assert changed.json() == {**made, "name": "Desk"}
    changed = await call(ann, f"signature/{made['id']}/update", name="Desk", html="", is_default=False)
    assert changed.json() == {**made, "name": "Desk", "html": "", "is_default": False}
    assert (await call(ann, f"signature/{made['id']}/delete")).json() == {"id": made["id"]}
    assert (await call(ann, "signatures/list")).json() == []


async def test_nobody_has_those_of_others(visitor: Visitor) -> None:
    made = (await call(await visitor("ann"), "signatures/create", name="Office", html="<p>Ann</p>")).json()
    for login in ("nora", "root"):
        other = await visitor(login)
        assert (await call(other, "signatures/list")).json() == []
        assert (await call(other, f"signature/{made['id']}/update", name="x")).status_code == 404
        assert (await call(other, f"signature/{made['id']}/delete")).status_code == 404
    assert (await call(await visitor(), "signatures/list")).status_code == 401
    assert (await get_model("EmailSignature").get()).name == "Office"


async def test_of_all_of_a_user_s_one_is_the_default(visitor: Visitor, world: World) -> None:
    ann, nora = await visitor("ann"), await visitor("nora")
    await call(nora, "signatures/create", name="Nora", is_default=True)
    first = (await call(ann, "signatures/create", name="1", is_default=True)).json()
    await asyncio.gather(*(call(ann, "signatures/create", name=str(n), is_default=True) for n in range(2, 6)))
    assert [one["is_default"] for one in (await call(ann, "signatures/list")).json()].count(True) == 1
    await call(ann, f"signature/{first['id']}/update", is_default=True)
    assert [one["is_default"] for one in (await call(ann, "signatures/list")).json()] == [True] + [False] * 4
    assert (await call(nora, "signatures/list")).json()[0]["is_default"]


async def test_html_is_cleaned_and_capped(visitor: Visitor) -> None:
    ann = await visitor("ann")
    hostile = '<p onclick="x()">Ann<img src="https://acme.example/logo.png"><script>alert(1)</script></p>'
    made = (await call(ann, "signatures/create", name="x", html=hostile)).json()
    assert made["html"] == '<p>Ann<img src="https://acme.example/logo.png"></p>'
    largest = "é" * (HTML_BYTES // 2)
    assert (await call(ann, "signatures/create", name="x", html=largest)).status_code == 200
    assert (await call(ann, "signatures/create", name="x", html=largest + "x")).status_code == 422
    assert (await call(ann, f"signature/{made['id']}/update", html=largest + "x")).status_code == 422
    # Cleaned, each is five bytes: what is kept can be sent back as it is.
    assert (await call(ann, "signatures/create", name="x", html="&" * (HTML_BYTES // 4))).status_code == 422


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, None, 7])
async def test_a_signature_has_a_name(visitor: Visitor, name: Any) -> None:
    assert (await call(await visitor("ann"), "signatures/create", name=name)).status_code == 422


async def test_the_default_stands_under_what_a_user_writes(visitor: Visitor, world: World) -> None:
    user = await get_model("User").get(login="ann")
    user.signature = "<p>Old</p>"
    await user.save()

    async def written(**options: Any) -> str:
        message = await world.ticket.post_message("<p>Hello</p>", author=user, **options)
        return str((await message.eml()).decode())

    assert "Old" in await written()
    await call(await visitor("ann"), "signatures/create", name="Desk", html="<p>New</p>", is_default=True)
    assert "New" in await written()
    assert "Old" not in await written()
    assert "Third" in await written(signature="<p>Third</p>")
    assert "New" not in await written(include_signature=False)
    message = await world.ticket.post_message("<p>Hello</p>", author=await get_model("User").get(login="nora"))
    assert "New" not in (await message.eml()).decode()
