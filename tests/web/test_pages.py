from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from core import clock
from core.delivery.engine import Engine
from core.errors import AddonError
from core.runtime import Runtime, get_model, runtime
from core.web.app import create_app
from tests.web.conftest import Visitor, World
from tests.web.test_access import filled, routes, stock

pytestmark = pytest.mark.anyio

LIVE = '<script src="/static/live.js" defer></script>'
"""Our one script, by which pages keep themselves as they are on the server."""

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


async def drain() -> None:
    async with Engine() as engine:
        await engine.drain()


async def test_a_record_shows_its_fields_lines_and_relations(visitor: Visitor, world: World) -> None:
    await get_model("Step").create(name="Glue it", hours="1.5", ticket=world.ticket)
    page = (await (await visitor("ann")).get(f"/records/Ticket/{world.ticket.id}")).text
    assert f'<a href="/records/Contact/{world.contact.id}">Carla Customer</a>' in page
    assert "Glue it" in page
    assert "1.50" in page
    assert "Ours" in page
    assert "/records/Company/" not in page
    assert "hidden!" not in page
    assert "Send to 1 person" in page
    assert "Internal note" in page


async def test_records_are_called_as_people_call_them(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    home = (await ann.get("/")).text
    assert '<a href="/records/Ticket">Tickets</a>' in home
    assert '<a href="/records/Contact">Contacts</a>' in home
    assert "<h1>Tickets</h1>" in (await ann.get("/records/Ticket")).text
    assert ">Tickets</a>" in (await ann.get(f"/records/Ticket/{world.ticket.id}")).text


async def test_amounts_have_their_currency(visitor: Visitor, world: World) -> None:
    world.ticket.amount = Decimal("12345.5")
    await world.ticket.save()
    await get_model("Step").create(name="Glue", ticket=world.ticket, hours=Decimal(2), price=Decimal("40"))
    ann = await visitor("ann")
    page = (await ann.get(f"/records/Ticket/{world.ticket.id}")).text
    assert "<dd>12,345.50 CHF</dd>" in page
    assert ">40.00 CHF</td>" in page
    assert ">2.00</td>" in page
    assert "12,345.50 CHF" in (await ann.get("/records/Ticket")).text


async def test_a_list_is_searched_and_paged(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    model = get_model("Ticket")
    await model.bulk_create([model(name=f"Chair {number}", company=world.company) for number in range(60)])
    page = (await ann.get("/records/Ticket")).text
    assert "Chair 59" in page
    assert "Chair 5<" not in page
    older = re.search(r'href="(/records/Ticket\?before=\d+)"', page)
    assert older
    assert "Chair 5<" in (await ann.get(older[1])).text
    found = (await ann.get("/records/Ticket?q=air+3")).text
    assert "Chair 33" in found
    assert "Chair 44" not in found
    assert "Nothing has" in (await ann.get("/records/Ticket?q=%25_zzz")).text


async def test_a_message_goes_to_whom_the_page_names(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    path = f"/records/Ticket/{world.ticket.id}"
    answer = await ann.post(f"{path}/message", to="carla@example.org", subject="News", body="It is <b>fixed</b>.")
    (message,) = await get_model("Message").all()
    assert answer.headers["location"] == f"{path}#entry-{message.id}"
    assert (message.send_state, message.email_to) == ("Queued", ["carla@example.org"])
    assert message.body == "<p>It is &lt;b&gt;fixed&lt;/b&gt;.</p>"


async def test_a_message_to_others_than_shown_is_not_sent_and_not_lost(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    path = f"/records/Ticket/{world.ticket.id}"
    await world.ticket.follow(await get_model("Contact").create(name="Fred", email="fred@example.org"))
    answer = await ann.post(f"{path}/message", to="carla@example.org", body="my long text")
    assert answer.status_code == 422
    assert "recipients changed" in answer.text
    assert "my long text" in answer.text
    assert "Send to 2 people" in answer.text
    assert await get_model("Message").all().count() == 0
    assert (await ann.post(f"{path}/message", to="x", body="  ")).status_code == 422


async def test_a_record_without_correspondent_takes_an_address(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    ticket = await get_model("Ticket").create(name="Lone", company=world.company)
    path = f"/records/Ticket/{ticket.id}/message"
    assert (await ann.post(path, body="x")).status_code == 422
    assert (await ann.post(path, body="x", to="no address")).status_code == 422
    assert (await ann.post(path, body="x", to="a@b.example, c@d.example")).status_code == 303
    assert await get_model("Delivery").all().count() == 2


async def test_a_note_is_never_mailed(visitor: Visitor, world: World) -> None:
    await world.ticket.follow(world.contact)
    ann = await visitor("ann")
    assert (await ann.post(f"/records/Ticket/{world.ticket.id}/note", body="Between us")).status_code == 303
    await drain()
    page = (await ann.get(f"/records/Ticket/{world.ticket.id}")).text
    assert "Internal note: 0 e-mails" in page
    assert await get_model("Delivery").all().count() == 0
    assert await get_model("CaughtEmail").all().count() == 0


async def test_a_template_is_shown_before_it_is_sent(visitor: Visitor, world: World) -> None:
    model = await get_model("ModelRegistry").get(identifier="Ticket")
    await get_model("EmailTemplate").create(
        identifier="greet", name="Greet", subject="About {{ name }}", content="<h1>Hello {{ contact.name }}</h1>",
        model=model,
    )  # fmt: skip
    ann = await visitor("ann")
    path = f"/records/Ticket/{world.ticket.id}/template/greet"
    page = (await ann.get(path)).text
    assert "About Broken chair" in page
    assert "Send to 1 person" in page
    assert "carla@example.org" in page
    assert "Hello Carla Customer" in (await ann.get(f"{path}/body")).text
    assert (await ann.post(path)).status_code == 303
    assert "1 mail waits" in (await (await visitor("root")).get("/dev/mail")).text
    await (await get_model("Message").get(direction="Outbound")).send_now()
    assert (await get_model("CaughtEmail").get()).subject == "About Broken chair"


async def test_a_preview_says_what_is_left_blank(visitor: Visitor, world: World) -> None:
    model = await get_model("ModelRegistry").get(identifier="Ticket")
    await get_model("EmailTemplate").create(
        identifier="odd", name="Odd", subject="Hi", content="<p>{{ nam }}</p>", model=model
    )
    page = (await (await visitor("ann")).get(f"/records/Ticket/{world.ticket.id}/template/odd")).text
    assert "left blank" in page
    assert "content, line 1" in page
    assert "Send to 1 person" in page


async def test_the_timeline_tells_states_answers_and_changes(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    world.ticket.stage = "done"
    await world.ticket.save()
    await world.ticket.post_message("<p>x</p>")
    await drain()
    page = (await ann.get(f"/records/Ticket/{world.ticket.id}")).text
    assert "<del>New</del>" in page
    assert "<ins>Done</ins>" in page
    assert "Sent</span>" in page
    assert "250 Kept in the dev mailbox" in page


async def test_the_outbox_and_a_message_in_each_state(visitor: Visitor, world: World) -> None:
    root = await visitor("root")
    message = await world.ticket.post_message("<p>x</p>", subject="Wait for me", cc=["cc@example.org"])
    path = f"/messages/{message.id}"
    assert "Waiting to be sent to 2 people" in (await root.get(path)).text
    for action, state, says in (
        ("hold", "Held", "Kept back until somebody releases it"),
        ("release", "Queued", "Waiting to be sent"),
        ("cancel", "Cancelled", "Stopped before it was sent"),
        ("retry", "Queued", "Waiting to be sent"),
    ):
        assert (await root.post(f"{path}/{action}")).status_code == 303
        assert says in (await root.get(path)).text
        assert "Wait for me" in (await root.get(f"/outbox?state={state}")).text
    assert (await root.post(f"{path}/release")).status_code == 422
    assert (await root.post(f"{path}/explode")).status_code == 422
    await message._mark_failed("421 too busy")
    assert "Retrying: 0 of 2 delivered. Next try" in (await root.get(path)).text
    assert "421 too busy" in (await root.get("/outbox")).text
    assert (await root.get("/outbox?state=Nope")).status_code == 404


async def test_a_message_shows_what_its_recipients_get(visitor: Visitor, world: World) -> None:
    root = await visitor("root")
    message = await world.ticket.post_message("<h1>Big</h1><img src='https://spy.example/x.png'>", subject="Hej")
    page = (await root.get(f"/messages/{message.id}")).text
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    assert "Show pictures from elsewhere" in page
    assert message.message_id.strip("<>") in page
    body = await root.get(f"/messages/{message.id}/body?part=sent")
    assert "spy.example" not in body.text
    assert "sandbox allow-popups" in body.headers["content-security-policy"]
    assert "default-src 'none'" in body.headers["content-security-policy"]
    wanted = await root.get(f"/messages/{message.id}/body?part=sent&images=1")
    assert "https://spy.example/x.png" in wanted.text
    raw = await root.get(f"/messages/{message.id}/message.eml")
    assert raw.content == await message.eml()
    assert raw.headers["content-type"] == "message/rfc822"


async def test_inline_pictures_are_shown_without_a_request(visitor: Visitor, world: World) -> None:
    file = await get_model("Attachment").create(
        name="dot.png", content_type="image/png", content=b"\x89PNG", size_bytes=4, sha256="0" * 64, content_id="dot@x"
    )
    message = await get_model("Message").create(
        res_model="Ticket", res_id=world.ticket.id, direction="Inbound", body="<h1>x</h1><img src='cid:dot@x'>"
    )
    await message.attachments.add(file)
    body = (await (await visitor("ann")).get(f"/messages/{message.id}/body")).text
    assert 'src="data:image/png;base64,' in body


async def test_quoted_text_is_folded(visitor: Visitor, world: World) -> None:
    plain = "New words\n\nOn 2026-01-02, Ann <ann@desk.example> wrote:\n> old words\n"
    html = '<table><tr><td>New table</td></tr></table><blockquote type="cite">old table</blockquote>'
    of_ticket = {"res_model": "Ticket", "res_id": world.ticket.id, "direction": "Inbound"}
    await get_model("Message").create(**of_ticket, text=plain, body="<p>as text</p>")
    message = await get_model("Message").create(**of_ticket, body=html)
    ann = await visitor("ann")
    page = (await ann.get(f"/records/Ticket/{world.ticket.id}")).text
    before, _, after = page.partition("<summary>Quoted text</summary><div")
    assert "New words" in before
    assert "old words" in after
    assert f"/messages/{message.id}/body?part=quoted" in page
    new = (await ann.get(f"/messages/{message.id}/body?part=new")).text
    assert "New table" in new
    assert "old table" not in new


async def test_hostile_text_is_text_everywhere(visitor: Visitor, world: World) -> None:
    root = await visitor("root")
    ticket, message, ids = await _hostile(world)
    places = [
        *("/", "/records/Ticket", "/records/Contact", "/outbox", "/inbound", "/cron", "/dev/mail"),
        *(f"/records/Ticket/{ticket.id}", f"/records/Ticket?q={EVIL}", f"/messages/{message.id}"),
        *(filled(path, ids) for method, path in routes() if method == "GET" and "{" in path and "/api/" not in path),
        *(f"/dev/mail/{ids['caught_id']}?tab={tab}" for tab in ("html", "text", "headers", "source")),
    ]
    for place in places:
        answer = await root.get(place)
        if "html" in answer.headers["content-type"]:
            text = answer.text.replace(LIVE, "")
            found = [tag for tag in ("<script", "<img src=x", 'href="javascript:', "<form action") if tag in text]
            assert not found, (place, found)
        assert "default-src 'none'" in answer.headers["content-security-policy"], place


async def _hostile(world: World) -> tuple[Any, Any, dict[str, int]]:
    """A ticket on which every text that a stranger can choose is hostile."""
    contact = await get_model("Contact").create(name=EVIL, email="evil@example.org")
    ticket = await get_model("Ticket").create(name=EVIL, description=EVIL, contact=contact, company=world.company)
    ids = await stock(ticket, world.company)
    message = await get_model("Message").get(id=ids["message_id"])
    body = f"<form action=/logout>{EVIL}</form><a href='javascript:alert(3)'>x</a><style>*{{display:none}}</style>"
    message.subject, message.body, message.error, message.email_from = EVIL, body, EVIL, f'"{EVIL}" <a@b.example>'
    await message.save()
    delivery = await get_model("Delivery").filter(message_id=message.id).first()
    await get_model("Attempt").create(
        delivery=delivery,
        at=clock.now(),
        outcome="permanent",
        phase="rcpt",
        reply=EVIL,
        server=EVIL[:255],
        tls=EVIL[:64],
    )
    await (
        get_model("Attachment")
        .filter(id=ids["attachment_id"])
        .update(name=f"{EVIL}\u202efdp.exe", content_type="text/html")
    )
    raw = f'From: "{EVIL}" <a@b.example>\r\nSubject: {EVIL}\r\nX-Evil: {EVIL}\r\nContent-Type: text/html\r\n\r\n{body}'
    await get_model("InboundRaw").filter(email_id=ids["inbound_id"]).update(content=raw.encode())
    await (
        get_model("InboundEmail")
        .filter(id=ids["inbound_id"])
        .update(
            subject=EVIL,
            sender=EVIL,
            error=EVIL,
            message_id=message.id,
            trace=[{"rule": EVIL, "hit": True, "reason": EVIL}],
        )
    )
    caught = await get_model("CaughtEmail").get(id=ids["caught_id"])
    caught.raw_mail, caught.subject, caught.recipients = raw.encode(), EVIL, [EVIL]
    await caught.save()
    await get_model("CronJob").filter(id=ids["job_id"]).update(name=EVIL)
    await get_model("CronRun").create(job_id=ids["job_id"], started_at=clock.now(), worker=EVIL[:128], error=EVIL)
    await ticket.post_note(f"<p>{EVIL}</p>")
    entry = await get_model("Message").create(res_model="Ticket", res_id=ticket.id, kind="tracking")
    await get_model("Tracking").create(message=entry, field=EVIL[:100], kind="char", old_text=EVIL, new_text=EVIL)
    return ticket, message, ids


async def test_files_are_saved_and_never_opened(visitor: Visitor, world: World) -> None:
    ids = await stock(world.ticket, world.company)
    ann = await visitor("ann")
    for name, kind, served in (
        ("invoice.pdf", "application/pdf", "application/pdf"),
        ("page.html", "text/html", "application/octet-stream"),
        ("pic.svg", "image/svg+xml", "application/octet-stream"),
        ('a"\r\nX-Evil: 1\u202e/../Ünï.pdf', "application/pdf; x=\r\n1", "application/octet-stream"),
    ):
        await get_model("Attachment").filter(id=ids["attachment_id"]).update(name=name, content_type=kind)
        answer = await ann.get(f"/attachments/{ids['attachment_id']}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == served
        assert answer.headers["content-disposition"].startswith("attachment; filename=")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "x-evil" not in answer.headers
        assert "/" not in answer.headers["content-disposition"].split("''")[1]


async def test_every_answer_has_its_headers(visitor: Visitor, world: World) -> None:
    stranger, root = await visitor(), await visitor("root")
    for browser in (stranger, root):
        for path in (
            "/",
            "/login",
            "/nope",
            "/static/postroom.css",
            "/api/desk/broken",
            "/api/health",
            "/records/Nope",
        ):
            headers = (await browser.get(path)).headers
            assert "default-src 'none'" in headers["content-security-policy"], path
            assert "frame-ancestors" in headers["content-security-policy"], path
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert "server" not in headers


async def test_pages_have_no_script_and_no_style_of_their_own(visitor: Visitor, world: World) -> None:
    ids = await stock(world.ticket, world.company)
    root = await visitor("root")
    for method, path in routes():
        if method != "GET" or path.startswith("/api/") or path.endswith("/body"):
            continue
        text = (await root.get(filled(path, ids))).text.replace(LIVE, "")
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|https?://(?!www\.w3\.org)[^\"]*\.(?:js|css)", text), (
            path
        )


async def test_a_failure_says_nothing_of_its_cause(visitor: Visitor) -> None:
    root = await visitor("root")
    answer = await root.get("/api/desk/broken")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert answer.json()["code"] == "internal"


async def test_links_do_not_follow_the_host_header(visitor: Visitor, world: World) -> None:
    root = await visitor("root")
    page = await root.get("/", headers={"Host": "evil.example"})
    assert "evil.example" not in page.text + str(page.headers)


async def test_a_user_follows_and_is_told(visitor: Visitor, world: World) -> None:
    ann, path = await visitor("ann"), f"/records/Ticket/{world.ticket.id}"
    assert (await ann.post(f"{path}/follow")).status_code == 303
    assert '<span class="chip">Ann</span>' in (await ann.get(path)).text
    await world.ticket.post_note("<p>psst</p>")
    assert "Mark all as read" in (await ann.get("/")).text
    await ann.post(f"{path}/unfollow")
    assert "Nobody follows this record" in (await ann.get(path)).text


async def test_home_tells_what_waits(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    await world.ticket.post_message("<p>x</p>")
    assert "Nothing drains the queue" not in (await ann.get("/")).text
    await get_model("Delivery").all().update(due_at=clock.now() - timedelta(minutes=5))
    assert "Nothing drains the queue" in (await ann.get("/")).text
    assert "Nothing drains the queue" in (await ann.get("/outbox")).text
    assert "Dev mailbox: nothing leaves this machine." in (await ann.get("/records/Ticket")).text
    user = await get_model("User").get(login="ann")
    await world.ticket.post_note("<p>psst</p>", mentions=[user])
    entry = await get_model("Message").get(kind="note")
    assert f"#entry-{entry.id}" in (await ann.get("/")).text
    await ann.post("/news/read")
    assert f"#entry-{entry.id}" not in (await ann.get("/")).text


async def test_a_mail_that_waits_is_asked_about_again(visitor: Visitor, world: World) -> None:
    root = await visitor("root")
    mail = await get_model("InboundEmail").receive(b"From: a@b.example\r\nTo: help@desk.example\r\n\r\nhelp", "test:1")
    assert mail.state == "unmatched"
    page = (await root.get(f"/inbound/{mail.id}")).text
    assert "It waits for a person" in page
    assert "Ask the rules again" in page
    await get_model("EmailRoute").create(address="help", target_model="Ticket")
    assert (await root.post(f"/inbound/{mail.id}/replay")).status_code == 303
    page = (await root.get(f"/inbound/{mail.id}")).text
    assert "It became a new record" in page
    assert "/records/Ticket/3#entry-" in page
    assert (await root.post(f"/inbound/{mail.id}/replay")).status_code == 422


async def test_a_cron_job_is_run_by_hand(visitor: Visitor, world: World) -> None:
    root = await visitor("root")
    job = await get_model("CronJob").create(identifier="flush", name="Flush", model="Message", method="cron_flush")
    await world.ticket.post_message("<p>x</p>")
    assert (await root.post(f"/cron/{job.id}/run")).status_code == 303
    page = (await root.get(f"/cron/{job.id}")).text
    assert "Done" in page
    assert "every hour" in page
    assert await get_model("CaughtEmail").all().count() == 1


async def test_an_addon_s_page_is_in_our_frame(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    page = (await ann.get("/addons/desk/board?word=<b>all</b>")).text
    assert "<h1>Board &lt;b&gt;all&lt;/b&gt;</h1>" in page
    assert "Broken chair" in page
    assert '<a href="/addons/desk/board?word=all">All about desks</a>' in page


async def test_a_page_without_its_template_stops_the_start(host: Runtime) -> None:
    (next(addon for addon in runtime().addons if addon.name == "desk").folder / "templates" / "board.html").unlink()
    with pytest.raises(AddonError, match=r"desk: templates/board\.html"):
        create_app()


async def test_requests_side_by_side_are_of_their_own_users(visitor: Visitor, world: World) -> None:
    ann, eve = await visitor("ann"), await visitor("eve")
    answers = await asyncio.gather(*[browser.get("/addons/desk/board") for browser in (ann, eve) * 5])
    for number, answer in enumerate(answers):
        assert ("Broken chair" in answer.text) == (number % 2 == 0)
        assert ("Theirs alone" in answer.text) == (number % 2 == 1)
