"""Old mail is forgotten where that is asked for; what was not sent, or belongs to a record, never is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core import clock
from core.runtime import Runtime, get_model
from tests.delivery.conftest import drain, queue_mail
from tests.servers.fake_mta import FakeMta

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> dict[str, object]:
    return {"MAIL_DOMAIN": "acme.test", "MAIL_MODE": "live", "RETENTION_DAYS": 30}


async def _aged(message: Any, days: int = 31) -> None:
    at = clock.now() - timedelta(days=days)
    await get_model("Message").filter(id=message.pk).update(created_at=at)
    await get_model("Message").filter(id=message.pk, sent_at__isnull=False).update(sent_at=at)
    await get_model("Attempt").filter(delivery__message_id=message.pk).update(at=at)


async def test_only_old_sent_mail_of_no_record_goes(host: Runtime, mta: FakeMta) -> None:
    record = await get_model("Contact").create(name="Kim", email="kim@customer.test")
    entry = get_model("Message")(res_model="Contact", res_id=record.pk, kind="message")
    gone, young, of_record = await queue_mail(), await queue_mail(), await queue_mail(message=entry)
    await drain()
    waiting, failed = await queue_mail(), await queue_mail()
    await get_model("Delivery").filter(message_id=failed.pk).update(state="failed")
    await get_model("Message").filter(id=failed.pk).update(send_state="Failed")
    for message in (gone, of_record, waiting, failed):
        await _aged(message)
    await get_model("Message").cron_forget()
    left = set(await get_model("Message").all().values_list("id", flat=True))
    assert left == {young.pk, of_record.pk, waiting.pk, failed.pk}
    tried = await get_model("Attempt").all().values_list("delivery__message_id", flat=True)
    assert list(tried) == [young.pk]


async def test_a_mail_of_which_one_copy_waits_stays(host: Runtime, mta: FakeMta) -> None:
    message = await queue_mail("ann@a.test", "bob@b.test")
    await drain()
    await get_model("Delivery").filter(recipient="bob@b.test").update(state="unknown")
    await _aged(message)
    await get_model("Message").cron_forget()
    assert await get_model("Message").filter(id=message.pk).exists()


async def test_files_go_with_the_last_mail_that_carried_them(host: Runtime, mta: FakeMta) -> None:
    image = b"\x89PNG\r\n\x1a\n" + bytes(40)
    gone = await queue_mail(inline_images={"logo": image})
    shared = await get_model("Attachment").create(name="a.txt", content=b"x", size_bytes=1, sha256="0" * 64)
    old, young = await queue_mail(attachments=[shared]), await queue_mail(attachments=[shared])
    await drain()
    for message in (gone, old):
        await _aged(message)
    await get_model("Message").cron_forget()
    assert list(await get_model("Message").all().values_list("id", flat=True)) == [young.pk]
    assert list(await get_model("Attachment").all().values_list("name", flat=True)) == ["a.txt"]
