"""What follows from bounces, complaints and their like, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core import clock
from core.delivery.effects import Taken, take
from core.delivery.suppression import suppressed, unsuppress
from core.mail.provider_events import EventKind, ProviderEvent
from core.mail.return_path import Origin, return_path
from core.runtime import Runtime, get_model

pytestmark = pytest.mark.anyio

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def settings() -> dict[str, object]:
    return {"MAIL_DOMAIN": "our.test", "SOFT_BOUNCES": 3}


async def sent(number: int = 1, *to: str, **values: Any) -> Any:
    message = await get_model("Message").create(
        direction="Outbound",
        subject="Your <b>invoice</b>",
        message_id=f"<{number}@our.test>",
        tracking_identifier=f"{number:032x}",
        send_state="Sent",
        **values,
    )
    for recipient in to or ("Ada@customer.test", "bob@customer.test"):
        await get_model("Delivery").create(
            message=message, recipient=recipient, state="sent", due_at=clock.now(), remote_id=f"remote-{number}"
        )
    return message


def event(kind: EventKind = EventKind.BOUNCED, key: str = "e1", **values: Any) -> ProviderEvent:
    said = {"recipient": "ada@customer.test", "reason": "550 <script>no such user</script>", "hard": True, **values}
    return ProviderEvent(kind=kind, provider="ses", key=key, **said)


async def delivery_of(message: Any, recipient: str = "Ada@customer.test") -> Any:
    return await get_model("Delivery").get(message_id=message.pk, recipient=recipient)


async def is_suppressed(address: str = "ada@customer.test", of_list: str | None = None) -> bool:
    return bool(await suppressed([(1, address, of_list)]))


async def test_a_hard_bounce_marks_the_recipient_and_suppresses_the_address(host: Runtime) -> None:
    user = await get_model("User").create(login="ann", name="Ann")
    message = await sent(author=user)
    assert await take([event(message_id="<1@our.test>")]) == Taken(1, 0, 0)
    ada, bob = await delivery_of(message), await delivery_of(message, "bob@customer.test")
    assert (ada.bounce_kind, bob.bounce_kind, bob.bounced_at) == ("hard", "", None)
    assert ada.bounced_at is not None
    await message.refresh_from_db()
    assert message.bounced_at is not None
    assert "no such user" in message.error
    assert await is_suppressed()
    assert not await is_suppressed("bob@customer.test")
    entry = await get_model("Message").get(parent_id=message.pk)
    assert "<script>" not in entry.body
    assert "could not be delivered for good" in entry.text
    assert await get_model("Notification").filter(user=user, message=entry).count() == 1


async def test_the_same_event_told_again_does_nothing(host: Runtime) -> None:
    message = await sent()
    told = [event(message_id="<1@our.test>")]
    await take(told)
    await unsuppress("ada@customer.test")
    assert await take(told * 2) == Taken(0, 1, 0)
    assert not await is_suppressed()
    assert await get_model("Message").filter(parent_id=message.pk).count() == 1


@pytest.mark.parametrize(
    "tie",
    [
        {"message_id": "<1@our.test>"},
        {"tracking_id": f"{1:032x}"},
        {"remote_id": "remote-1"},
        {"return_path": "tag"},
        {"message_id": "<unknown@our.test>", "remote_id": "remote-1"},
    ],
)
async def test_an_event_finds_its_delivery(host: Runtime, tie: dict[str, str]) -> None:
    message = await sent()
    await sent(2, "ada@customer.test")
    if tie.get("return_path"):
        tie = {"return_path": return_path(host.settings.secret_keys, "bounce", "our.test", message.pk)}
    assert (await take([event(**tie)])).unmatched == 0
    assert (await delivery_of(message)).bounce_kind == "hard"


@pytest.mark.parametrize(
    "tie",
    [
        {},
        {"message_id": "<9@our.test>"},
        {"message_id": "<1@our.test>", "recipient": "eve@customer.test"},
        {"message_id": "<1@our.test>", "recipient": ""},
        {"return_path": f"bounce+{TOKEN}@our.test"},
    ],
)
async def test_what_is_of_no_mail_of_ours_changes_nothing(host: Runtime, tie: dict[str, str]) -> None:
    await sent()
    assert await take([event(**tie)]) == Taken(1, 0, 1)
    assert not await is_suppressed()
    assert not await is_suppressed("eve@customer.test")
    assert await get_model("Delivery").filter(bounced_at__isnull=False).count() == 0


async def test_what_anybody_could_have_written_suppresses_nobody(host: Runtime) -> None:
    message = await sent()
    await take([event(message_id="<1@our.test>")], proven=False)
    ada = await delivery_of(message)
    assert (ada.bounce_kind, await is_suppressed()) == ("", False)
    assert ada.bounced_at is not None
    await take([event(EventKind.COMPLAINED, key="e2", message_id="<1@our.test>")], proven=False)
    assert (await delivery_of(message)).complained_at is None
    assert not await is_suppressed()
    entries = await get_model("Message").filter(parent_id=message.pk).values_list("text", flat=True)
    assert all("Nothing proves" in text for text in entries)


async def test_a_return_path_of_one_recipient_says_who_it_was(host: Runtime) -> None:
    message = await sent()
    ada = await delivery_of(message)
    forwarded = event(recipient="somebody@elsewhere.test")
    await take([forwarded], of=Origin(message.pk, ada.pk))
    assert await is_suppressed()
    assert not await is_suppressed("somebody@elsewhere.test")
    await take([event(key="e2", recipient="somebody@elsewhere.test")], of=Origin(message.pk))
    assert not await is_suppressed("bob@customer.test")


async def test_a_complaint_suppresses_at_once_and_an_unsubscription_for_its_list(host: Runtime) -> None:
    await sent(1, unsubscribe_list="news")
    await take([event(EventKind.UNSUBSCRIBED, key="e1", message_id="<1@our.test>")])
    assert (await is_suppressed(of_list="news"), await is_suppressed()) == (True, False)
    await take([event(EventKind.COMPLAINED, key="e2", message_id="<1@our.test>", recipient="bob@customer.test")])
    assert await is_suppressed("bob@customer.test")


async def test_soft_bounces_suppress_for_a_while_once_there_are_too_many(host: Runtime) -> None:
    for number in (1, 2):
        await sent(number)
        soft = event(key=f"e{number}", hard=False, message_id=f"<{number}@our.test>")
        await take([soft, event(key=f"again{number}", hard=False, message_id=f"<{number}@our.test>")])
    assert not await is_suppressed()
    message = await sent(3)
    await take([event(key="e3", hard=False, message_id="<3@our.test>")])
    assert (await delivery_of(message)).bounce_kind == "soft"
    entry = await get_model("Suppression").get(address="ada@customer.test")
    assert entry.reason == "soft_bounce"
    assert timedelta(days=13) < entry.expires_at - clock.now() <= timedelta(days=14)


async def test_after_an_address_is_let_go_its_old_bounces_count_no_more(host: Runtime) -> None:
    for number in (1, 2, 3):
        await sent(number)
        await take([event(key=f"e{number}", hard=False, message_id=f"<{number}@our.test>")])
    assert await unsuppress("ADA@customer.test") == 1
    await sent(4)
    await take([event(key="e4", hard=False, message_id="<4@our.test>")])
    assert not await is_suppressed()


async def test_nothing_softens_or_undoes_a_bounce(host: Runtime) -> None:
    message = await sent()
    await take([event(message_id="<1@our.test>")])
    await take([event(key="e2", hard=False, message_id="<1@our.test>")])
    await take([event(EventKind.DELIVERED, key="e3", hard=False, message_id="<1@our.test>")])
    ada = await delivery_of(message)
    assert ada.bounce_kind == "hard"
    await message.refresh_from_db()
    assert message.bounced_at is not None
    assert await get_model("MailEvent").filter(delivery_id=ada.pk).count() == 3


async def test_a_retry_clears_the_bounce_and_an_old_copy_does_not_undo_it(host: Runtime) -> None:
    message = await sent()
    await take([event(message_id="<1@our.test>")])
    message.subject = "Changed by somebody who read it before"
    await message.save()
    await message.refresh_from_db()
    assert message.bounced_at is not None
    await message.action_retry()
    ada, bob = await delivery_of(message), await delivery_of(message, "bob@customer.test")
    assert (ada.state, ada.bounced_at, ada.bounce_kind, bob.state) == ("queued", None, "", "sent")
    assert message.bounced_at is None
