"""What mails have in common is read once, and each is still what it would be alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.delivery.outgoing import load_outgoing
from core.delivery.request import QueueRequest
from core.runtime import Runtime, get_model
from tests.delivery.conftest import drain
from tests.delivery.test_resilience import _hook
from tests.servers.fake_mta import FakeMta

pytestmark = pytest.mark.anyio

_MAIL = QueueRequest(
    author=None, to=("kim@b.test",), subject="News", body="<p>All the news</p>", from_email="Desk <desk@acme.test>"
)


async def _mailing() -> list[QueueRequest]:
    """Two that are alike but for their recipient stand between others; one of them has a file."""
    file = await get_model("Attachment").create(name="a.txt", content=b"x", size_bytes=1, sha256="0" * 64)
    alike = [replace(_MAIL, to=(f"{name}@b.test",)) for name in ("ada", "bob")]
    filed = replace(_MAIL, to=("file@b.test",), attachments=(file,))
    named = replace(_MAIL, to=("Last One <last@b.test>", "other@b.test"), cc=("copy@b.test",))
    listed = replace(_MAIL, to=("list@b.test",), unsubscribe_list="news")
    return [_MAIL, replace(_MAIL, subject="Olds"), *alike, filed, named, listed]


async def test_mails_that_are_read_together_are_what_each_is_alone(host: Runtime, mta: FakeMta) -> None:
    queued = await get_model("Message").queue_many(await _mailing())
    alone = {message.pk: await message.eml() for message in queued}
    together = await load_outgoing(list(alone))
    assert len({id(one.row) for one in together.values()}) < len(together), "nothing was shared"
    await drain()
    sent = {one.message_id: one.raw for one in mta.ledger}
    for message in queued:
        if not message.unsubscribe_list:
            assert sent[message.message_id] == alone[message.pk]
    assert b"https://acme.test/unsubscribe/" in next(raw for raw in sent.values() if b"To: list@b.test" in raw)
    assert [one.recipient for one in mta.ledger if b'name="a.txt"' in one.raw] == ["file@b.test"]


async def test_what_an_addon_makes_of_one_mail_is_in_no_other(host: Runtime, mta: FakeMta) -> None:
    async def mark(email: Any, message: Any) -> Any:
        if email.to[0].address == "ada@b.test":
            return email._replace(subject="For Ada", headers=(*email.headers, ("X-Ada", str(message["id"]))))
        return None

    _hook(host, filter_outgoing_email=mark)
    queued = await get_model("Message").queue_many(await _mailing())
    await drain()
    ada = next(message for message in queued if "ada@b.test" in message.email_to)
    marked = [one for one in mta.ledger if b"X-Ada" in one.raw or b"For Ada" in one.raw]
    assert [one.recipient for one in marked] == ["ada@b.test"]
    assert f"X-Ada: {ada.pk}\r\n".encode() in marked[0].raw
