"""The loop of the demo, over real sockets: a mail goes out, is read and answered, and the answer is on the record."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from core.delivery.engine import Engine
from core.runtime import get_model
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


async def send(world: World, **options: Any) -> int:
    """Send a message of the ticket, and return the id of the caught mail."""
    await world.ticket.post_message("<h1>Is it fine now?</h1>", subject="Your chair", **options)
    async with Engine() as engine:
        await engine.drain()
    caught = await get_model("CaughtEmail").all().order_by("-id").first()
    return int(caught.id)


async def test_an_answer_lands_on_the_record_s_timeline(visitor: Visitor, world: World) -> None:
    caught = await send(world)
    root = await visitor("root")
    assert "Your chair" in (await root.get("/dev/mail")).text
    page = (await root.get(f"/dev/mail/{caught}")).text
    assert "carla@example.org" in page
    assert f"/records/Ticket/{world.ticket.id}#entry-" in page
    assert "Is it fine now?" in (await root.get(f"/dev/mail/{caught}/body")).text
    answer = await root.post(f"/dev/mail/{caught}/reply", text="Yes, thank you!", recipient="carla@example.org")
    assert answer.status_code == 303
    inbound = (await root.get(answer.headers["location"])).text
    assert "It answers a message" in inbound
    assert "Reply token" in inbound
    timeline = (await root.get(f"/records/Ticket/{world.ticket.id}")).text
    assert "Yes, thank you!" in timeline
    assert "Mail in" in timeline
    assert "Why here?" in timeline


async def test_a_mail_to_an_alias_becomes_a_record(visitor: Visitor, world: World) -> None:
    await get_model("EmailRoute").create(address="help", target_model="Ticket", company=world.company)
    ann = await visitor("ann")
    assert "help@desk.example" in (await ann.get("/dev/mail")).text
    answer = await ann.post(
        "/dev/mail/new", sender="Zoe <zoe@example.net>", to="help@desk.example", subject="Wobbly desk", text="Help!"
    )
    assert "It became a new record" in (await ann.get(answer.headers["location"])).text
    ticket = await get_model("Ticket").get(name="Wobbly desk")
    assert "Help!" in (await ann.get(f"/records/Ticket/{ticket.id}")).text


async def test_a_bounce_marks_the_message_and_an_auto_reply_is_set_aside(visitor: Visitor, world: World) -> None:
    caught = await send(world)
    root = await visitor("root")
    assert (await root.client.post(f"/api/dev/mail/{caught}/auto-reply", json={})).json()["outcome"] == "automatic"
    bounced = (await root.client.post(f"/api/dev/mail/{caught}/bounce", json={})).json()
    assert (bounced["outcome"], bounced["state"]) == ("bounce", "processed")
    message = await get_model("Message").get(direction="Outbound")
    assert message.bounced_at is not None
    page = (await root.get(f"/messages/{message.id}")).text
    assert "Bounced" in page
    assert "No such user here" in page


async def test_a_test_waits_for_a_mail_and_answers_it(visitor: Visitor, world: World) -> None:
    root = await visitor("root")
    waiting = asyncio.create_task(root.client.get("/api/dev/mail?query=carla chair&wait_s=10"))
    await send(world)
    (mail,) = (await waiting).json()
    assert mail["recipients"] == ["carla@example.org"]
    assert (await root.client.get(f"/api/dev/mail?after={mail['id']}")).json() == []
    assert (await root.client.get("/api/dev/mail?query=nobody")).json() == []
    whole = (await root.client.get(f"/api/dev/mail/{mail['id']}")).json()
    assert "Is it fine now?" in whole["text"]
    answer = (await root.client.post(f"/api/dev/mail/{mail['id']}/reply", json={"text": "Yes"})).json()
    assert (answer["outcome"], answer["record"]) == ("reply", f"Ticket:{world.ticket.id}")
    refused = await root.client.post(
        f"/api/dev/mail/{mail['id']}/reply", json={"text": "x", "recipient": "a@b.example"}
    )
    assert refused.status_code == 422


async def test_files_and_forms_of_a_caught_mail(visitor: Visitor, world: World) -> None:
    file = await get_model("Attachment").create(
        name="plan.txt", content_type="text/plain", content=b"draft", size_bytes=5, sha256="0" * 64
    )
    await world.ticket.post_message("<p>x</p>", attachments=[file])
    async with Engine() as engine:
        await engine.drain()
    root = await visitor("root")
    mail = await get_model("CaughtEmail").get()
    assert "plan.txt" in (await root.get(f"/dev/mail/{mail.id}?tab=text")).text
    assert "Message-ID" in (await root.get(f"/dev/mail/{mail.id}?tab=headers")).text
    saved = await root.get(f"/dev/mail/{mail.id}/files/0")
    assert saved.content == b"draft"
    assert saved.headers["content-disposition"].startswith("attachment")
    assert (await root.get(f"/dev/mail/{mail.id}/files/7")).status_code == 404
    assert (await root.get(f"/dev/mail/{mail.id}/message.eml")).content == bytes(mail.raw_mail)
    assert (await root.post("/dev/mail/clear")).status_code == 303
    assert await get_model("CaughtEmail").all().count() == 0


class TestWhereMailGoesOut:
    @pytest.fixture(params=[{"MAIL_MODE": "live"}, {"ENVIRONMENT": "production"}])
    def settings(self, settings: dict[str, object], request: pytest.FixtureRequest) -> dict[str, object]:
        return {**settings, **request.param}

    async def test_there_is_no_dev_mailbox(self, visitor: Visitor, world: World) -> None:
        root = await visitor("root")
        for path in ("/dev/mail", "/dev/mail/1", "/api/dev/mail"):
            assert (await root.get(path)).status_code == 404
        assert (await root.post("/dev/mail/new", sender="a@b.example", to="c@d.example")).status_code == 404
        assert "Dev mailbox" not in (await root.get("/")).text


class TestOpening:
    @pytest.fixture
    def settings(self, settings: dict[str, object]) -> dict[str, object]:
        return {**settings, "BASE_URL": "http://desk.example"}

    async def test_opening_and_clicking_as_the_reader_show_on_the_record(self, visitor: Visitor, world: World) -> None:
        body = '<p>See <a href="https://shop.example/chairs">our chairs</a>.</p>'
        message = await world.ticket.post_message(body, track=True, text="See our chairs.")
        async with Engine() as engine:
            await engine.drain()
        # Long ago, so that it could have been read by now.
        await get_model("Delivery").all().update(begun_at=message.date_at - timedelta(minutes=1))
        mail = await get_model("CaughtEmail").get()
        root = await visitor("root")
        assert "Open with pictures" in (await root.get(f"/dev/mail/{mail.id}")).text
        answer = await root.post(f"/dev/mail/{mail.id}/open")
        assert "Opened" in (await root.get(answer.headers["location"])).text
        whole = (await root.client.get(f"/api/dev/mail/{mail.id}")).json()
        (link,) = [link for link in whole["links"] if "/track/click/" in link]
        clicked = await root.client.get(link.removeprefix("http://desk.example"), headers={"User-Agent": "Firefox"})
        assert clicked.headers["location"] == "https://shop.example/chairs"
        for _ in range(100):
            page = (await root.get(f"/records/Ticket/{world.ticket.id}")).text
            if "Clicked" in page:
                break
            await asyncio.sleep(0.05)
        assert "https://shop.example/chairs" in page
        assert "(estimate)" in page
        timeline = (await root.client.get(f"/api/records/Ticket/{world.ticket.id}/timeline")).json()
        (recipient,) = timeline["items"][0]["recipients"]
        assert recipient["state"] == "clicked"
        assert recipient["opened_at"] <= recipient["clicked_at"]
        assert [(one["url"], one["count"]) for one in recipient["links"]] == [("https://shop.example/chairs", 1)]
        assert (await root.client.post(f"/api/dev/mail/{mail.id}/open", json={})).json() == {"message": message.id}

    async def test_a_mail_without_a_pixel_cannot_be_opened(self, visitor: Visitor, world: World) -> None:
        caught = await send(world, track=False)
        root = await visitor("root")
        assert "Open with pictures" not in (await root.get(f"/dev/mail/{caught}")).text
        assert (await root.post(f"/dev/mail/{caught}/open")).status_code == 422
