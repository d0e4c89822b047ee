"""The pages and the API about where mail goes: ask, save, check; assign, route, discard, repeat."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from core.runtime import get_model
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio

LOST = b"From: Carla <carla@example.org>\r\nTo: nobody@desk.example\r\nSubject: Re: Broken chair\r\n\r\nStill broken."
EVIL = "<script>alert(1)</script>"


@pytest.fixture
async def route(world: World) -> Any:
    return await get_model("EmailRoute").create(address="help", target_model="Ticket", company=world.company)


async def lost(raw: bytes = LOST, source: str = "test:1") -> Any:
    return await get_model("InboundEmail").receive(raw, source)


async def test_a_mail_in_words_is_explained_saved_and_checked(visitor: Visitor, route: Any) -> None:
    root = await visitor("root")
    assert "Where would this mail go?" in (await root.get("/routes")).text
    asked = {"sender": "Eve <eve@example.org>", "to": "help", "subject": EVIL, "headers": "X-One: 1"}
    page = (await root.post("/routes/explain", **asked)).text
    assert "help@desk.example would make" in page
    assert "help@desk.example creates a Ticket" in page
    assert EVIL not in page
    assert "Nothing was written." in page
    assert await get_model("Ticket").filter(name=EVIL).count() == await get_model("InboundEmail").all().count() == 0
    assert (await root.post("/routes/cases", name="Help", **asked)).status_code == 303
    case = await get_model("RouteCase").get()
    assert (case.expected_outcome, case.expected_record, case.expected_rule) == ("record", "Ticket", "alias")
    assert case.headers == {"X-One": "1"}
    await root.post("/routes/cases/check")
    assert "As it should" in (await root.get("/routes")).text
    await get_model("EmailRoute").filter(id=route.id).update(active=False)
    await root.post("/routes/cases/check")
    page = (await root.get("/routes")).text
    assert "Changed" in page
    assert "(switched off)" in page
    assert "no alias and no message is known" in (await root.get(f"/routes/cases/{case.id}")).text
    await root.post(f"/routes/cases/{case.id}/delete")
    assert await get_model("RouteCase").all().count() == 0


async def test_a_whole_mail_is_explained_and_saved_with_its_bytes(visitor: Visitor, route: Any) -> None:
    root = await visitor("root")
    answer = await root.client.post(
        "/routes/explain", data={"csrf": root.token}, files={"file": ("a.eml", LOST + b"\xff\x00", "message/rfc822")}
    )
    assert "no alias and no message is known for nobody@desk.example" in answer.text
    await root.post("/routes/cases", name="Lost", kept=b64encode(LOST + b"\xff\x00").decode())
    assert bytes((await get_model("RouteCase").get()).content) == LOST + b"\xff\x00"
    pasted = (await root.post("/routes/explain", pasted=LOST.decode())).text
    assert "no alias and no message is known for nobody@desk.example" in pasted
    for fault in (
        {"kept": "!"},
        {"kept": "\u00e9"},
        {},
        {"to": "help", "headers": "a b: c"},
        {"to": "x\ny"},
        {"to": "help", "body": "\0"},
    ):
        assert (await root.post("/routes/explain", **fault)).status_code == 422


async def test_a_lost_mail_is_put_where_it_belongs_by_one_press(visitor: Visitor, world: World, route: Any) -> None:
    root = await visitor("root")
    await get_model("Message").create(
        res_model="Ticket", res_id=world.ticket.id, subject="Broken chair", message_id="<1@desk.example>"
    )
    mail = await lost()
    page = (await root.get(f"/inbound/{mail.id}")).text
    assert "Where does it belong?" in page
    assert "Tickets, the same subject" in page
    assert "help@desk.example" in page
    assert "Why: no alias and no message is known for nobody@desk.example" in page
    assert "Not verified" in page
    answer = await root.post(f"/inbound/{mail.id}/assign", model="Ticket", record=str(world.ticket.id))
    assert answer.status_code == 303
    page = (await root.get(f"/inbound/{mail.id}")).text
    assert "Root decided this" in page
    assert f"Root put it on Ticket:{world.ticket.id}" in page
    assert "Still broken." in (await root.get(f"/records/Ticket/{world.ticket.id}")).text
    assert (await root.post(f"/inbound/{mail.id}/discard")).status_code == 422


async def test_a_lost_mail_is_routed_discarded_and_brought_back(visitor: Visitor, route: Any) -> None:
    root = await visitor("root")
    one, two = await lost(), await lost(LOST + b"2", "test:2")
    assert (await root.post(f"/inbound/{one.id}/create", route=str(route.id))).status_code == 303
    assert await get_model("Ticket").filter(name="Re: Broken chair").count() == 1
    assert (await root.post(f"/inbound/{two.id}/discard", reason=EVIL)).status_code == 303
    page = (await root.get(f"/inbound/{two.id}")).text
    assert "nobody need look at it" in page
    assert EVIL not in page
    assert (await root.post(f"/inbound/{two.id}/discard", reason="\0")).status_code == 422
    assert (await root.post(f"/inbound/{two.id}/replay")).status_code == 303
    assert (await get_model("InboundEmail").get(id=two.id)).state == "unmatched"


async def test_all_that_wait_are_asked_about_by_one_press(visitor: Visitor, world: World) -> None:
    root = await visitor("root")
    for number in range(3):
        await lost(LOST + str(number).encode(), f"test:{number}")
    await get_model("EmailRoute").create(address="nobody", target_model="Ticket")
    assert "Ask the rules about all of these again" in (await root.get("/inbound?state=unmatched")).text
    assert (await root.post("/inbound/replay", state="unmatched")).status_code == 303
    assert await get_model("Ticket").filter(name="Re: Broken chair").count() == 3
    assert (await root.post("/inbound/replay", state="processed")).status_code == 422


async def test_a_repetition_is_asked_for_and_linked(visitor: Visitor, route: Any) -> None:
    root = await visitor("root")
    mail = await lost(LOST.replace(b"nobody@", b"help@"))
    assert "Repeat it all the same" in (await root.get(f"/inbound/{mail.id}")).text
    answer = await root.post(f"/inbound/{mail.id}/replay", again="true")
    again = answer.headers["location"]
    assert f'href="/inbound/{mail.id}"' in (await root.get(again)).text
    assert f'href="{again}"' in (await root.get(f"/inbound/{mail.id}")).text
    assert "number" in (await root.get("/inbound")).text


async def test_what_is_nobodys_is_for_administrators_and_a_companys_for_its_own(
    visitor: Visitor, world: World, route: Any
) -> None:
    nobodys = await lost()
    ours = await lost(b"From: a@b.example\r\nTo: typo@ours.example\r\nSubject: Ours alone\r\n\r\nx", "test:2")
    await get_model("InboundEmail").filter(id=nobodys.id).update(company_id=None)
    await get_model("InboundEmail").filter(id=ours.id).update(company_id=world.company.id)
    for login, sees in (("ann", (404, 200)), ("eve", (404, 404)), ("root", (200, 200))):
        browser = await visitor(login)
        got = [(await browser.get(f"/inbound/{one.id}")).status_code for one in (nobodys, ours)]
        assert tuple(got) == sees, login
    ann = await visitor("ann")
    assert "Ours alone" in (await ann.get("/inbound")).text
    assert "Broken chair" not in (await ann.get("/inbound")).text
    assert (await ann.client.get(f"/api/records/InboundEmail/{nobodys.id}")).status_code == 404
    # To put a mail on a record one must be able to see that.
    assert (
        await ann.post(f"/inbound/{ours.id}/assign", model="Ticket", record=str(world.foreign.id))
    ).status_code == 404
    assert (await ann.post(f"/inbound/{ours.id}/assign", model="User", record="1")).status_code in (403, 404, 422)


async def test_nobody_makes_a_record_by_a_route_of_another_company(visitor: Visitor, world: World, route: Any) -> None:
    theirs = await get_model("EmailRoute").create(address="theirs", target_model="Ticket", company=world.other_company)
    mail = await lost()
    await get_model("InboundEmail").filter(id=mail.id).update(company_id=world.company.id)
    ann = await visitor("ann")
    page = (await ann.get(f"/inbound/{mail.id}")).text
    assert "help" in page
    assert "theirs" not in page
    assert (await ann.post(f"/inbound/{mail.id}/create", route=str(theirs.id))).status_code == 422
    answer = await ann.client.post(f"/api/inbound/{mail.id}/create", json={"route_id": theirs.id})
    assert answer.status_code in (403, 404, 422)
    assert not await get_model("Ticket").filter(name="Re: Broken chair").exists()
    assert (await ann.post(f"/inbound/{mail.id}/create", route=str(route.id))).status_code == 303


async def test_what_answers_an_internal_note_is_shown_inside_only(visitor: Visitor, world: World) -> None:
    note = await world.ticket.post_note("<p>Inside</p>")
    await get_model("Message").filter(id=note.id).update(message_id="<note@desk.example>")
    head = b"From: ann@desk.example\r\nTo: x@desk.example\r\nIn-Reply-To: <note@desk.example>\r\n"
    raw = head + b"Message-ID: <answer@desk.example>\r\nSubject: Hush\r\n\r\nHush"
    mail, copy = await lost(raw), await lost(b"Received: by a.example\r\n" + raw, "test:2")
    assert copy.original_id == mail.id
    for login, status in (("guest", 404), ("ann", 200), ("root", 200)):
        browser = await visitor(login)
        assert ("Hush" in (await browser.get("/inbound")).text) is (status == 200), login
        for path in (f"/inbound/{mail.id}", f"/inbound/{mail.id}/message.eml", f"/inbound/{copy.id}"):
            assert (await browser.get(path)).status_code == status, login


async def test_the_same_by_api(visitor: Visitor, world: World, route: Any) -> None:
    root = await visitor("root")

    async def call(path: str, **body: Any) -> Any:
        answer = await root.client.post(f"/api{path}", json=body)
        return answer.json() if answer.status_code == 200 else answer.status_code

    told = await call("/routes/explain", sender="Ada <ada@example.org>", to="help", subject="Hello")
    assert (told["outcome"], told["record"]) == ("record", "Ticket")
    assert told["fields"]["help@desk.example"]["name"] == "Hello"
    assert told["trace"][-1] == {"rule": "alias", "hit": True, "reason": "help@desk.example creates a Ticket"}
    assert (await call("/routes/explain", raw=b64encode(LOST).decode()))["outcome"] == "unmatched"
    for fault in ({"raw": "!"}, {"raw": "\u00e9"}, {}):
        assert await call("/routes/explain", **fault) == 422
    await get_model("RouteCase").create(name="Help", sender="a@b.example", to="help", expected_outcome="reply")
    checks = await call("/routes/check")
    assert (checks["passed"], checks["cases"][0]["found"]) == (False, "record Ticket by alias")

    mails = [await lost(LOST + str(number).encode(), f"test:{number}") for number in range(4)]
    assigned = await call(f"/inbound/{mails[0].id}/assign", model="Ticket", record_id=world.ticket.id)
    assert (assigned["outcome"], assigned["res_id"]) == ("reply", world.ticket.id)
    created = await call(f"/inbound/{mails[1].id}/create", route_id=route.id)
    assert (created["outcome"], created["res_model"]) == ("record", "Ticket")
    assert (await call(f"/inbound/{mails[2].id}/discard", reason="spam"))["state"] == "discarded"
    assert (await call(f"/inbound/{mails[3].id}/replay"))["state"] == "unmatched"
    assert await call(f"/inbound/{mails[1].id}/replay") == 422
    again = await call(f"/inbound/{mails[1].id}/replay", again=True)
    assert (again["original_id"], again["outcome"]) == (mails[1].id, "unmatched")
    assert await call(f"/inbound/{mails[2].id}/assign", model="Ticket", record_id=999) == 404


async def test_the_inbox_leads_to_bringing_mail_in_for_whom_may(visitor: Visitor, world: World) -> None:
    for login in ("ann", "eve", "root"):
        browser = await visitor(login)
        may_load = (await browser.get("/inbound/load")).status_code == 200
        assert ('href="/inbound/load"' in (await browser.get("/inbound")).text) is may_load, login


async def test_a_mail_that_nobody_need_look_at_asks_nothing(visitor: Visitor, world: World, route: Any) -> None:
    root = await visitor("root")
    await lost(LOST.replace(b"nobody@", b"help@"))
    copy = await lost(LOST.replace(b"nobody@", b"help@"), "test:2")
    page = (await root.get(f"/inbound/{copy.id}")).text
    assert (copy.state, copy.outcome) == ("ignored", "duplicate")
    assert "<h2>Where does it belong?</h2>" not in page
    assert "<summary>Does it belong somewhere all the same?</summary>" in page
