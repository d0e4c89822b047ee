"""Blind copies after the mail left: what became of one is told to its sender alone (SECURITY W14)."""

from __future__ import annotations

from typing import Any

import pytest

from core.mail.provider_events import EventKind, ProviderEvent
from core.mail.return_path import Origin
from core.runtime import get_model
from tests.web.conftest import *  # noqa: F403 - the desk and its people
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio

BLIND = "Blind.Boss@example.org"


@pytest.fixture
async def message(world: World) -> Any:
    """A message from Guest to Carla, with a blind copy."""
    guest = await get_model("User").get(login="guest")
    return await world.ticket.post_message("<p>x</p>", author=guest, to=["carla@example.org"], bcc=[BLIND])


async def places(world: World, message: Any) -> list[str]:
    """Every address at which somebody beside the author reads of the message."""
    path = f"/records/Ticket/{world.ticket.id}"
    told = await get_model("Message").filter(parent_id=message.pk).values_list("id", flat=True)
    found = [f"{where}/{pk}" for pk in (message.pk, *told) for where in ("/messages", "/api/records/Message")]
    table = await get_model("ModelRegistry").get(identifier="Ticket")
    comments = f"/api/table/{table.pk}/record/{world.ticket.id}/comments/get"
    return [path, comments, f"/api{path}/timeline", "/outbox", "/api/records/Message", *found]


async def assert_untold(visitor: Visitor, world: World, message: Any, *, by: str = "ann") -> None:
    browser = await visitor(by)
    for place in await places(world, message):
        answer = await browser.get(place)
        assert answer.status_code == 200, place
        assert BLIND.lower() not in answer.text.lower(), place


async def test_w14_a_failed_blind_copy_is_named_to_nobody_else(visitor: Visitor, world: World, message: Any) -> None:
    while await get_model("Delivery").filter(message=message, state="queued").exists():
        await message._mark_failed("550 5.1.1 No such user")
    await assert_untold(visitor, world, message)


async def test_w14_a_bounced_blind_copy_is_named_to_nobody_else(visitor: Visitor, world: World, message: Any) -> None:
    await message.send_now()
    said = ProviderEvent(
        kind=EventKind.BOUNCED, provider="ses", key="e1", recipient=BLIND, hard=True, reason=f"{BLIND}: no such user"
    )
    await get_model("MailEvent").take([said], of=Origin(message.pk))
    await assert_untold(visitor, world, message)


async def test_w14_a_suppressed_blind_copy_is_named_to_nobody_else(
    visitor: Visitor, world: World, message: Any
) -> None:
    await get_model("Suppression").suppress(BLIND, reason="manual", note=f"{BLIND} asked for it")
    await message.send_now()
    await assert_untold(visitor, world, message)
