"""A message as a draft for a desktop mail program: for whoever may read the record, blind copies for its author."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import pytest

from core.mail.guard import LOOP_HEADER
from core.runtime import Runtime, get_model
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


async def _message(world: World, author: str) -> Any:
    user = await get_model("User").get(login=author)
    return await world.ticket.post_message(
        "<p>The chair is <b>mended</b>.</p>",
        subject="Your chair: mended?",
        author=user,
        to=["Carla <carla@example.org>"],
        bcc=["blind@example.org"],
    )


async def test_the_author_saves_a_draft_with_the_blind_copies(visitor: Visitor, world: World) -> None:
    message = await _message(world, "guest")
    guest = await visitor("guest")
    assert f'href="/messages/{message.id}/draft.eml"' in (await guest.get(f"/messages/{message.id}")).text
    answer = await guest.get(f"/messages/{message.id}/draft.eml")
    assert answer.headers["content-type"] == "message/rfc822"
    assert answer.headers["content-disposition"].startswith('attachment; filename="Your chair_ mended_.eml"')
    draft = email.message_from_bytes(answer.content, policy=email.policy.default)
    assert draft["X-Unsent"] == "1"
    assert draft["Bcc"] == "blind@example.org"
    assert draft["To"] == "Carla <carla@example.org>"
    assert {"Message-ID", "Date", "DKIM-Signature", LOOP_HEADER}.isdisjoint(draft.keys())
    assert draft["Reply-To"] == message.reply_to


async def test_w14_nobody_else_sees_them(visitor: Visitor, world: World) -> None:
    message = await _message(world, "guest")
    for login in ("ann", "root"):
        answer = await (await visitor(login)).get(f"/messages/{message.id}/draft.eml")
        assert b"X-Unsent: 1" in answer.content, login
        assert b"blind" not in answer.content, login


async def test_whoever_may_not_read_the_record_gets_no_draft(visitor: Visitor, world: World) -> None:
    message = await _message(world, "guest")
    for login in ("eve", "nora"):
        answer = await (await visitor(login)).get(f"/messages/{message.id}/draft.eml")
        assert answer.status_code == 404, login
        assert "chair" not in answer.text
    stranger = await (await visitor()).get(f"/messages/{message.id}/draft.eml")
    assert b"chair" not in stranger.content


async def test_there_is_no_draft_of_what_is_no_mail(visitor: Visitor, world: World) -> None:
    note = await world.ticket.post_note("<p>private</p>")
    answer = await (await visitor("ann")).get(f"/messages/{note.id}/draft.eml")
    assert answer.status_code == 422
    assert "no outgoing mail" in answer.text


async def test_a_model_s_draft_names_blind_copies_only_where_asked(host: Runtime, world: World) -> None:
    message = await _message(world, "guest")
    assert b"blind" not in await message.draft_eml()
    assert b"Bcc: blind@example.org\r\n" in await message.draft_eml(with_bcc=True)
