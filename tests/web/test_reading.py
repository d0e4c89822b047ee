"""Reading mail in pages: what is text, what is framed, and whose pictures are shown."""

from __future__ import annotations

from typing import Any

import pytest

from core.runtime import get_model
from core.web.bodies import Height, frame_height
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio

GMAIL = (
    '<div dir="ltr" style="font-family:Arial">Yes, please.<div><br></div></div><br><div class="gmail_quote"><div '
    'class="gmail_attr">On Mon, Jan 5, 2026 at 10:12 AM Ann &lt;ann@desk.example&gt; wrote:<br></div><blockquote '
    'class="gmail_quote" style="margin:0 0 0 .8ex"><table><tr><td>Shall we?</td></tr></table></blockquote></div>'
)
NEWSLETTER = "<table><tr><td>News</td></tr></table><img src='https://canary.test/open.png'>"


async def mail(world: World, body: str, **values: Any) -> Any:
    """Put a mail from Carla on the ticket's timeline."""
    defaults = {"direction": "Inbound", "email_from": "Carla <Carla@Example.org>", "authenticity": "pass"}
    return await get_model("Message").create(
        res_model="Ticket", res_id=world.ticket.id, body=body, **{**defaults, **values}
    )


async def test_a_reply_is_text_and_what_it_quotes_is_folded(visitor: Visitor, world: World) -> None:
    message = await mail(world, GMAIL)
    page = (await (await visitor("ann")).get(f"/records/Ticket/{world.ticket.id}")).text
    assert '<div class="text">Yes, please.</div>' in page
    assert f"/messages/{message.id}/body?part=new" not in page
    assert f'src="/messages/{message.id}/body?part=quoted"' in page
    quoted = (await (await visitor("ann")).get(f"/messages/{message.id}/body?part=quoted")).text
    assert "Shall we?" in quoted
    assert "Yes, please." not in quoted


async def test_a_mail_that_is_passed_on_is_shown_whole(visitor: Visitor, world: World) -> None:
    text = "Please see to it.\n\nFrom: Bob\nSent: Monday\nTo: Carla\nSubject: Chairs\n\nWe need chairs."
    ann = await visitor("ann")
    for subject, count in (("FW: Chairs", 0), ("RE: Chairs", 1)):
        message = await mail(world, "<p>x</p>", text=text, subject=subject)
        page = (await ann.get(f"/messages/{message.id}")).text
        assert page.count("<summary>Quoted text</summary>") == count


async def test_pictures_come_for_one_mail_when_asked(visitor: Visitor, world: World) -> None:
    message, other = await mail(world, NEWSLETTER), await mail(world, NEWSLETTER)
    ann = await visitor("ann")
    path = f"/records/Ticket/{world.ticket.id}"
    page = (await ann.get(path)).text
    assert page.count("Pictures from elsewhere are not shown") == 2
    assert "images=1" not in page
    assert "canary.test" not in (await ann.get(f"/messages/{message.id}/body?part=new")).text
    shown = (await ann.get(f"{path}?pictures={message.id}")).text
    assert f"/messages/{message.id}/body?images=1&amp;part=new" in shown
    assert f"/messages/{other.id}/body?part=new" in shown
    body = await ann.get(f"/messages/{message.id}/body?images=1&part=new")
    assert "https://canary.test/open.png" in body.text
    assert body.headers["referrer-policy"] == "no-referrer"
    assert "script" not in body.headers["content-security-policy"]


async def test_pictures_of_a_proven_sender_come_always(visitor: Visitor, world: World) -> None:
    message, forged = await mail(world, NEWSLETTER), await mail(world, NEWSLETTER, authenticity="fail")
    ann = await visitor("ann")
    path = f"/records/Ticket/{world.ticket.id}"
    assert (await ann.get(path)).text.count("Always from carla@example.org") == 1
    assert (await ann.post(f"/messages/{message.id}/body/pictures", always="true")).status_code == 303
    assert (await ann.post(f"/messages/{message.id}/body/pictures", always="true")).status_code == 303
    page = (await ann.get(path)).text
    assert f"/messages/{message.id}/body?images=1&amp;part=new" in page
    assert f"/messages/{forged.id}/body?part=new" in page
    assert "Pictures from carla@example.org are always shown" in page
    assert "images=1" not in (await (await visitor("root")).get(path)).text
    assert (await ann.post(f"/messages/{message.id}/body/pictures", always="false")).status_code == 303
    assert "images=1" not in (await ann.get(path)).text


async def test_no_sender_that_nothing_proves_is_remembered(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    for authenticity in (None, "fail", "none"):
        message = await mail(world, NEWSLETTER, authenticity=authenticity)
        assert (await ann.post(f"/messages/{message.id}/body/pictures", always="true")).status_code == 422
    assert await get_model("PictureSender").all().count() == 0
    nora = await visitor("nora")
    assert (await nora.post(f"/messages/{message.id}/body/pictures", always="true")).status_code in (403, 404)


async def test_a_message_page_shows_the_plain_text_too(visitor: Visitor, world: World) -> None:
    message = await mail(world, NEWSLETTER, text="News in plain words")
    page = (await (await visitor("ann")).get(f"/messages/{message.id}")).text
    assert f"/messages/{message.id}/body?part=whole" in page
    assert "<summary>Plain text</summary>" in page
    assert "News in plain words" in page


def test_a_frame_is_as_high_as_its_text() -> None:
    short, long = frame_height("<p>Yes.</p>"), frame_height("<p>words and words</p>" * 60)
    assert short.wide_px < 120
    assert long.wide_px > 600
    paragraph = frame_height("<p>" + "words and words " * 60 + "</p>")
    assert paragraph.narrow_px > 1.5 * paragraph.wide_px
    assert frame_height("<p>x</p>" * 100_000) == Height(900, 900)
