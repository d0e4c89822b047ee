"""A bounce where people look: at the recipient, as text (SECURITY H8)."""

from __future__ import annotations

import pytest

from core.mail.provider_events import EventKind, ProviderEvent
from core.mail.return_path import Origin
from core.runtime import get_model
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("kind", "word"),
    [(EventKind.BOUNCED, "Bounced"), (EventKind.DROPPED, "Bounced"), (EventKind.COMPLAINED, "Complained")],
)
async def test_h8_the_timeline_says_at_the_recipient_what_came_back(
    visitor: Visitor, world: World, kind: EventKind, word: str
) -> None:
    message = await world.ticket.post_message("<p>Hello</p>")
    await message.send_now()
    said = ProviderEvent(
        kind=kind,
        provider="ses",
        key="e1",
        recipient="carla@example.org",
        hard=True,
        status="5.1.1",
        reason="550 <script>alert(1)</script>",
    )
    await get_model("MailEvent").take([said], of=Origin(message.pk))
    ann = await visitor("ann")
    for path in (f"/records/Ticket/{world.ticket.pk}", f"/messages/{message.pk}"):
        page = (await ann.get(path)).text
        assert word in page
        assert "550 &lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "<script>alert" not in page


async def test_after_a_bounce_the_next_mail_is_dropped_and_says_why(visitor: Visitor, world: World) -> None:
    first = await world.ticket.post_message("<p>Hello</p>")
    await first.send_now()
    caught = await get_model("CaughtEmail").get()
    assert caught.sender.startswith("bounce+")
    root = await visitor("root")
    answer = await root.client.post(f"/api/dev/mail/{caught.pk}/bounce", json={})
    assert answer.json()["outcome"] == "bounce"
    entry = await get_model("Suppression").get()
    assert (entry.address, entry.reason, entry.source) == ("carla@example.org", "hard_bounce", "report")
    second = await world.ticket.post_message("<p>Hello again</p>")
    await second.send_now()
    assert await get_model("CaughtEmail").all().count() == 1
    page = (await root.get(f"/messages/{second.pk}")).text
    assert "The address is suppressed: bounced" in page
