"""The page and the API of suppression: for those whose group may."""

from __future__ import annotations

import pytest

from core.runtime import get_model
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


async def test_an_administrator_adds_finds_and_removes_an_address(visitor: Visitor, world: World) -> None:
    root = await visitor("root")
    await root.get("/suppression")
    assert (await root.post("/suppression/add", address="Gone@customer.test", note="<b>asked</b>")).status_code == 303
    page = await root.get("/suppression", params={"q": "GONE"})
    assert "gone@customer.test" in page.text
    assert "<b>asked" not in page.text
    assert "gone@customer.test" not in (await root.get("/suppression", params={"q": "else"})).text
    entry = await get_model("Suppression").get()
    assert (await root.post(f"/suppression/{entry.pk}/remove")).status_code == 303
    assert await get_model("Suppression").all().count() == 0


async def test_a_wrong_address_is_said_so_and_kept_in_the_form(visitor: Visitor, world: World) -> None:
    root = await visitor("root")
    await root.get("/suppression")
    answer = await root.post("/suppression/add", address="nobody")
    assert answer.status_code == 422
    assert 'value="nobody"' in answer.text


async def test_a_file_goes_out_and_comes_back(visitor: Visitor, world: World) -> None:
    root = await visitor("root")
    await root.get("/suppression")
    file = {"file": ("list.csv", b"address,list,note\na@b.test,news,=1+1\nc@d.test,,\n", "text/csv")}
    answer = await root.client.post("/suppression/import", data={"csrf": root.token}, files=file)
    assert answer.status_code == 303, answer.text
    exported = await root.get("/suppression/export.csv")
    assert exported.headers["content-disposition"].startswith("attachment")
    assert "a@b.test,news,manual,,'=1+1" in exported.text
    wrong = {"file": ("list.csv", b"x@y.test\nnobody\n", "text/csv")}
    refused = await root.client.post("/suppression/import", data={"csrf": root.token}, files=wrong)
    assert (refused.status_code, "line 2" in refused.text) == (422, True)
    assert await get_model("Suppression").all().count() == 2


async def test_the_api_answers_as_the_queue_would(visitor: Visitor, world: World) -> None:
    root = (await visitor("root")).client
    new = {"address": "gone@customer.test", "list": "news"}
    assert (await root.post("/api/suppression", json=new)).status_code == 201
    (entry,) = (await root.get("/api/suppression")).json()["items"]
    assert (entry["address"], entry["list"], entry["reason"]) == ("gone@customer.test", "news", "manual")
    asked = {"address": "GONE@customer.test", "list": "news"}
    assert (await root.get("/api/suppression/check", params=asked)).json()["suppressed"] is True
    assert (await root.get("/api/suppression/check", params={"address": "gone@customer.test"})).json() == {
        "suppressed": False,
        "reason": None,
    }
    as_json = {"Content-Type": "application/json"}
    assert (await root.delete(f"/api/suppression/{entry['id']}", headers=as_json)).status_code == 204
    assert (await root.post("/api/suppression", json={**new, "reason": "complaint"})).status_code == 422
    assert (await root.post("/api/suppression", json={"address": "nobody"})).status_code == 422


async def test_w11_who_may_not_sees_and_changes_nothing(visitor: Visitor, world: World) -> None:
    await get_model("Suppression").suppress("gone@customer.test", reason="manual")
    nora = await visitor("nora")
    for path in ("/suppression", "/suppression/export.csv", "/api/suppression", "/api/suppression/check"):
        assert (await nora.get(path, params={"address": "gone@customer.test"})).status_code == 403, path
    assert (await nora.post("/suppression/add", address="a@b.test")).status_code == 403
    assert (await nora.client.post("/api/suppression", json={"address": "a@b.test"})).status_code == 403
    stranger = await visitor()
    assert (await stranger.client.get("/api/suppression")).status_code == 401
    assert await get_model("Suppression").all().count() == 1


async def test_many_addresses_are_asked_for_at_once(visitor: Visitor, world: World) -> None:
    root = (await visitor("root")).client
    await get_model("Suppression").suppress("gone@customer.test", reason="hard_bounce")
    await get_model("Suppression").suppress("less@customer.test", reason="unsubscribe", list="news")
    asked = {"addresses": ["Gone@customer.test", "less@customer.test", "nobody", "gone@customer.test"], "list": "news"}
    answer = await root.post("/api/suppression/check", json=asked)
    assert [one["suppressed"] for one in answer.json()["items"]] == [True, True, False, True]
    assert "Bounced".lower() in answer.json()["items"][0]["reason"].lower()


async def test_the_list_of_another_system_is_taken_over_as_a_whole(visitor: Visitor, world: World) -> None:
    root = (await visitor("root")).client
    given = [{"address": f"a{number}@b.test", "reason": "complaint", "note": "from before"} for number in range(300)]
    answer = await root.post("/api/suppression/import", json={"entries": given})
    assert answer.json() == {"imported": 300}
    page = (await root.get("/api/suppression", params={"reason": "complaint"})).json()
    assert (len(page["items"]), page["items"][0]["source"]) == (50, "api")
    assert (await root.get("/api/suppression", params={"list": "news"})).json()["items"] == []
    wrong = await root.post(
        "/api/suppression/import", json={"entries": [{"address": "x@y.test"}, {"address": "nobody"}]}
    )
    assert wrong.status_code == 422
    assert await get_model("Suppression").all().count() == 300


async def test_nonsense_about_suppression_is_refused(visitor: Visitor, world: World) -> None:
    root = (await visitor("root")).client
    for params in ({"address": "a\x00b"}, {"list": "a\x00b"}, {"address": "x" * 400}):
        assert (await root.get("/api/suppression/check", params=params)).status_code == 422
