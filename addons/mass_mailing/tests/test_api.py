"""Campaigns by the API, as a program and as a browser see them, on a real socket."""

from __future__ import annotations

import csv
import re
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from html import unescape
from typing import Any

import httpx2
import pytest

from core.api import get_model
from core.delivery.effects import take
from core.mail.provider_events import EventKind, ProviderEvent
from tests.faults.rig import drain, use
from tests.hosts import QUICK
from tests.orm.statements import counted
from tests.servers.fake_mta import Act, FakeMta, Script
from tests.servers.free_port import free_port
from tests.web.browser import Browser
from tests.web.program import program_of
from tests.web.served import served

from .desk import campaign_to, feed, list_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: dict[str, object]) -> dict[str, object]:
    port = free_port()
    return {**settings, "BASE_URL": f"http://127.0.0.1:{port}", "HTTP_PORT": port}


@pytest.fixture
async def address(host: Any, settings: dict[str, Any]) -> AsyncIterator[str]:
    ours, theirs = [await get_model("Company").create(name=name) for name in ("Ours", "Theirs")]
    for login, company, group in (("ann", ours, "user"), ("eve", theirs, "user"), ("guest", ours, "portal")):
        contact = await get_model("Contact").create(name=login.title(), email=f"{login}@acme.test", company=company)
        user = await get_model("User").create(
            login=login, name=login.title(), contact=contact, company=company, password_hash=QUICK.hash("secret")
        )
        await user.groups.add(*await get_model("Group").filter(identifier=group))
    async with served(settings["HTTP_PORT"]) as address:
        yield address


@pytest.fixture
async def ann(address: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with program_of(address, "ann") as client:
        yield client


async def draft(client: httpx2.AsyncClient, people: int = 3, **values: Any) -> dict[str, Any]:
    """Make a list by the API, put people on it, and a campaign to it."""
    made = await client.post("/api/records/MailingList", json={"name": "News"})
    list_id = made.json()["id"]
    subscribers = [{"address": f"Kim{n}@B.test", "name": f"Kim {n}"} for n in range(people)]
    answer = await client.post(f"/api/mailing-lists/{list_id}/subscribers", json={"subscribers": subscribers})
    assert answer.json() == {"given": people, "new": people}
    body = '<p>Dear {{ name }}, <a href="https://shop.example/">look</a>. <a href="%unsubscribe_url%">No more</a></p>'
    text = {"subject": "Hello {{ name }}", "body": body, "from_email": "news@acme.test"}
    answer = await client.post("/api/campaigns", json={"name": "Spring", "mailing_list": list_id, **text, **values})
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_a_campaign_from_draft_to_its_figures(ann: httpx2.AsyncClient) -> None:
    """Of six: one bounces, one is refused, one leaves by one click, one opens, one machine looks."""
    path = f"/api/campaigns/{(await draft(ann, 6))['id']}"
    audience = (await ann.get(f"{path}/audience")).json()
    assert (audience["records"], audience["addresses"], audience["sample"][0]["address"]) == (6, 6, "kim0@b.test")
    started = (await ann.post(f"{path}/start")).json()
    assert (started["state"], started["standstill"]) == ("running", "")
    await feed()
    script = Script(recipients={"kim1@b.test": Act(reply="550 5.1.1 no such user")})
    async with FakeMta(script) as mta:
        await use(mta)
        await drain()
        mails = {one.recipient: message_from_bytes(one.raw, policy=policy.default) for one in mta.ledger}
    bounced = await get_model("Message").get(subject="Hello Kim 0")
    event = ProviderEvent(
        key="1",
        provider="ses",
        kind=EventKind.BOUNCED,
        recipient="kim0@b.test",
        message_id=bounced.message_id,
        hard=True,
        reason="gone",
    )
    await take([event])
    one_click = re.search(r"<(http[^>]+)>", mails["kim2@b.test"]["List-Unsubscribe"])
    assert one_click is not None
    async with httpx2.AsyncClient(verify=False) as reader:
        left = await reader.post(one_click[1], data={"List-Unsubscribe": "One-Click"})
        assert left.text == "You are unsubscribed.\n"
        body = mails["kim3@b.test"].get_body(("html",))
        assert body is not None
        html = body.get_content()
        pixel = re.search(r'src="(http[^"]*/track/open/[^"]+)"', html)
        assert pixel is not None
        await reader.get(unescape(pixel[1]), headers={"User-Agent": "Mozilla/5.0 (X11; Linux) Firefox/130.0"})
    await get_model("Delivery").filter(recipient="kim3@b.test").update(opened_at=bounced.created_at)
    await get_model("Delivery").filter(recipient="kim4@b.test").update(read_at=bounced.created_at)
    figures = (await ann.get(f"{path}/statistics")).json()
    assert figures["audience"] == sum(figures["states"].values()) == 6
    assert {name: count for name, count in figures["states"].items() if count} == {"sent": 4, "bounced": 1, "failed": 1}
    assert (figures["accepted"], figures["delivered"], figures["bounced"]) == (5, 4, 1)
    assert (figures["opened_by_people"], figures["opened_by_machines"]) == (1, 1)
    assert (figures["unsubscribed"], figures["rates"]["unsubscribed"], figures["rates"]["delivered"]) == (1, 0.2, 0.8)
    assert sorted(one["state"] for one in figures["reasons"]) == ["bounced", "failed"]
    assert (await ann.get(path)).json()["state"] == "finished"
    page = (await ann.get(f"{path}/recipients", params={"limit": 4})).json()
    rest = (await ann.get(f"{path}/recipients", params={"limit": 4, "cursor": page["next_cursor"]})).json()
    assert [one["address"] for one in (*page["items"], *rest["items"])] == [f"kim{n}@b.test" for n in range(6)]
    assert rest["next_cursor"] is None
    failed = (await ann.get(f"{path}/recipients", params={"state": "failed"})).json()["items"]
    assert [(one["address"], "no such user" in one["reason"]) for one in failed] == [("kim1@b.test", True)]
    file = await ann.get(f"{path}/recipients.csv")
    assert file.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(file.text.splitlines()))
    assert [row["state"] for row in rows] == ["bounced", "failed", "sent", "sent", "sent", "sent"]
    assert (await ann.post(f"{path}/start")).status_code == 422
    # Who left or came back is skipped by the next campaign to the list, which has nobody's figures.
    of_list = await get_model("MailingList").get(name="News")
    second = await campaign_to(of_list, company=await get_model("Company").get(name="Ours"))
    assert (await ann.get(f"/api/campaigns/{second.pk}/audience")).json()["suppressed"] == 2
    empty = (await ann.get(f"/api/campaigns/{second.pk}/statistics")).json()
    assert (empty["audience"], empty["rates"]["opened"], empty["seconds_left"]) == (0, None, None)


async def test_what_a_draft_takes_and_a_running_one_refuses(ann: httpx2.AsyncClient) -> None:
    path = f"/api/campaigns/{(await draft(ann))['id']}"
    assert (await ann.patch(path, json={"subject": "Good morning"})).json()["subject"] == "Good morning"
    for wrong, status in (
        ({"subject": "{{ name"}, 422),
        ({"mailing_list": 999}, 404),
        ({"template": 999}, 404),
        ({"audience_model": "Contact"}, 422),
        ({"audience_model": "Contact", "mailing_list": None, "address_field": "name.x"}, 422),
        ({"audience_model": "User", "mailing_list": None, "address_field": "password_hash"}, 403),
        ({"audience_model": "Nowhere", "mailing_list": None}, 404),
        ({"audience_model": "Contact", "mailing_list": None, "audience_filter": {"field": "nose"}}, 422),
        ({"state": "finished"}, 422),
        ({"name": ""}, 422),
    ):
        answer = await ann.patch(path, json=wrong)
        assert answer.status_code == status, (wrong, answer.text)
    servers, eve = get_model("OutgoingMailServer"), await get_model("User").get(login="eve")
    for owner, status in ((None, 200), (eve, 404)):
        server = await servers.create(name=f"of {owner}", server="mail.acme.test", user=owner)
        assert (await ann.patch(path, json={"server": str(server.pk)})).status_code == status
    assert (await ann.patch(path, json={"server": None})).status_code == 200
    key = {"Idempotency-Key": "once"}
    first, again = [await ann.post(f"{path}/start", headers=key) for _ in range(2)]
    assert first.status_code == again.status_code == 200
    assert (await ann.patch(path, json={"subject": "x"})).status_code == 422
    assert (await ann.delete(path)).status_code == 422
    paused = (await ann.post(f"{path}/pause", json={"reason": "wrong price"})).json()
    assert (paused["state"], paused["standstill"]) == ("paused", "Paused: wrong price")
    assert (await ann.post(f"{path}/resume")).json()["state"] == "running"
    assert (await ann.post(f"{path}/retry")).status_code == 422
    assert (await ann.post(f"{path}/cancel")).json()["state"] == "cancelled"


async def test_a_schedule_is_given_and_taken_back(ann: httpx2.AsyncClient) -> None:
    path = f"/api/campaigns/{(await draft(ann))['id']}"
    for at in ("2001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00"):
        assert (await ann.post(f"{path}/start", json={"scheduled_at": at})).status_code == 422
    told = (await ann.post(f"{path}/start", json={"scheduled_at": "2999-01-01T00:00:00Z"})).json()
    assert (told["state"], told["scheduled_at"]) == ("scheduled", "2999-01-01T00:00:00Z")
    assert (await ann.post(f"{path}/cancel")).json()["state"] == "draft"
    assert (await ann.delete(path)).status_code == 204
    assert (await ann.get(path)).status_code == 404


async def test_a_test_goes_to_me_and_counts_nothing(ann: httpx2.AsyncClient) -> None:
    path = f"/api/campaigns/{(await draft(ann))['id']}"
    answer = (await ann.post(f"{path}/test")).json()
    message = await get_model("Message").get(id=answer["message_id"])
    assert (answer["to"], message.subject, message.track) == ("ann@acme.test", "[Test] Hello Kim 0", False)
    assert (await ann.get(f"{path}/statistics")).json()["audience"] == 0


async def test_others_see_nothing_of_it(ann: httpx2.AsyncClient, address: str) -> None:
    path = f"/api/campaigns/{(await draft(ann))['id']}"
    await ann.post(f"{path}/start")
    for login, refusal, empty in (("eve", 404, 200), ("guest", 403, 403)):
        async with program_of(address, login) as stranger:
            for part in ("", "/audience", "/statistics", "/recipients", "/recipients.csv"):
                assert (await stranger.get(path + part)).status_code == refusal
            assert (await stranger.post(f"{path}/pause")).status_code == refusal
            assert (
                await stranger.post("/api/mailing-lists/1/subscribers", json={"subscribers": []})
            ).status_code == refusal
            listed = await stranger.get("/api/campaigns")
            assert (listed.status_code, listed.json().get("items", [])) == (empty, [])
            rows = await stranger.get("/api/records/CampaignRecipient")
            assert not rows.json().get("items")
    async with program_of(address, "ann", "read", "write") as weak:
        assert (await weak.post(f"{path}/pause")).status_code == 403
    assert (await ann.patch("/api/records/Campaign/1", json={"state": "finished"})).status_code in (403, 405, 422)


async def test_many_subscribers_come_at_once_or_not_at_all(ann: httpx2.AsyncClient) -> None:
    list_id = (await ann.post("/api/records/MailingList", json={"name": "News"})).json()["id"]
    path = f"/api/mailing-lists/{list_id}/subscribers"
    bad = await ann.post(path, json={"subscribers": [{"address": "kim@b.test"}, {"address": "no address"}]})
    assert bad.status_code == 422
    assert not await get_model("MailingSubscription").exists(list_id=list_id)
    good = [{"address": "Kim@B.test"}, {"address": "kim@b.test", "name": "Kim"}, {"address": "zoë@bücher.test"}]
    assert (await ann.post(path, json={"subscribers": good})).json() == {"given": 3, "new": 2}
    assert (await ann.post(path, json={"subscribers": good})).json() == {"given": 3, "new": 0}
    one = (await ann.post("/api/records/MailingSubscription", json={"list": list_id, "address": "Ida@B.test"})).json()
    left = await ann.post(f"/api/records/MailingSubscription/{one['id']}/call/unsubscribe", json={})
    assert left.status_code == 200, left.text
    assert await get_model("Suppression").exists(address="ida@b.test", list="News", reason="unsubscribe")


async def test_who_may_not_write_a_list_puts_nobody_on_it(ann: httpx2.AsyncClient) -> None:
    of_list = await list_of(0)
    model = await get_model("ModelRegistry").get(identifier="MailingList")
    rule = {"name": "Lists stay", "model": model, "where": {"field": "name", "op": "ne", "value": "News"}}
    await get_model("RecordRule").create(**rule, can_read=False, can_write=True, can_create=False, can_delete=False)
    path = f"/api/mailing-lists/{of_list.pk}/subscribers"
    assert (await ann.post(path, json={"subscribers": [{"address": "kim@b.test"}]})).status_code == 404


async def test_a_longer_list_asks_no_more(ann: httpx2.AsyncClient) -> None:
    of_list = await list_of(1, "Long")
    company = await get_model("Company").get(name="Ours")
    counts = []
    await ann.get("/api/campaigns")  # The token is looked up once.
    for size in (5, 30):
        for number in range(size):
            await campaign_to(of_list, name=f"{size} {number}", company=company, state="running")
        async with counted() as count:
            assert (await ann.get("/api/campaigns", params={"limit": size})).status_code == 200
        counts.append(count.statements)
    assert counts[0] == counts[1]


async def test_the_page_steers_without_a_script(ann: httpx2.AsyncClient, address: str) -> None:
    campaign_id = (await draft(ann))["id"]
    page = f"/addons/mass_mailing/campaign?id={campaign_id}"
    async with Browser(address) as browser:
        await browser.log_in("ann")
        assert "It would go to <strong>3</strong>" in (await browser.get(page)).text
        assert (await browser.post(page, action="start", count="30")).status_code == 422
        for action, said in (
            ("start", "0 of 3 are dealt with."),
            ("pause", "Paused: wrong price"),
            ("resume", "0 of 3 are dealt with."),
            ("cancel", "3 of 3 were dealt with, and no more are."),
        ):
            answer = await browser.post(page, action=action, reason="wrong price", count="3")
            assert (answer.status_code, answer.headers["location"]) == (303, page)
            assert said in (await browser.get(page)).text
        assert (await browser.post(page, action="resume")).status_code == 422
        assert (await browser.post(page, action="fly")).status_code == 422
        assert "Spring" in (await browser.get("/addons/mass_mailing/campaigns")).text
        browser.token = "forged"
        assert (await browser.post(page, action="start")).status_code == 403
    async with Browser(address) as stranger:
        await stranger.log_in("eve")
        assert (await stranger.get(page)).status_code == 404
        assert (await stranger.post(page, action="start")).status_code == 404
