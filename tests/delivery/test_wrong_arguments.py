"""What an addon's author hears who passes something else than is asked for: which option, and what it should be."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from core.delivery.request import QueueRequest
from core.errors import UserError
from core.runtime import Runtime, get_model
from tests.delivery.conftest import queue_mail

pytestmark = pytest.mark.anyio

WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"cc": "kim@b.test"}, "cc is a list, not str"),
    ({"subject": None}, "subject is a text, not NoneType"),
    ({"body": b"x"}, "body is a text, not bytes"),
    ({"text": 5}, "text is a text, not int"),
    ({"scheduled_at": "2026-01-01"}, "scheduled_at is an aware datetime, not str"),
    ({"scheduled_at": datetime(2026, 1, 1)}, "scheduled_at needs a time zone"),  # noqa: DTZ001 - what is refused
    ({"attachments": ["a.txt"]}, "A file is an Attachment record"),
    ({"inline_images": [b"x"]}, "inline_images is a mapping"),
    ({"headers": [("X-A", "b")]}, "headers is a mapping"),
    ({"author": "kim"}, "author is a record or None, not str"),
    ({"company": 5}, "company is a record or None, not int"),
    ({"message": 5}, "message is a record or None, not int"),
    ({"undo_s": -5}, "undo_s is a number of seconds"),
    ({"undo_s": float("nan")}, "undo_s is a number of seconds"),
    ({"undo_s": "soon"}, "undo_s is a number of seconds, not str"),
    ({"priority": 2**40}, "priority is at most"),
    ({"references": "<a@b.test>"}, "references is a list, not str"),
    ({"in_reply_to": ["<a@b.test>"]}, "in_reply_to is a text, not list"),
    ({"reply_to": ["a@b.test"]}, "reply_to is a text, not list"),
    ({"invite": "BEGIN:VCALENDAR"}, "invite is an Invite or a Calendar, not str"),
    ({"idempotency_key": 5}, "idempotency_key is a text, not int"),
    ({"individual": "no"}, "individual is True or False, not str"),
    ({"track": "no"}, "track is True or False, not str"),
)


async def test_the_option_is_named(host: Runtime) -> None:
    for options, words in WRONG:
        asked = {"author": None, "subject": "Hi", "body": "<p>Hi</p>", "from_email": "a@acme.test", **options}
        with pytest.raises(UserError, match=words):
            await get_model("Message").queue_email(contact_emails=["kim@b.test"], **asked)
    assert not await get_model("Message").exists()


async def test_one_recipient_or_file_is_put_into_brackets(host: Runtime) -> None:
    file = await get_model("Attachment").create(name="a.txt", content=b"x", size_bytes=1, sha256="0" * 64)
    with pytest.raises(UserError, match="contact_emails is a list, not str"):
        await get_model("Message").queue_email(None, "kim@b.test", "Hi", "<p>Hi</p>")
    with pytest.raises(UserError, match="attachments is a list, not Attachment"):
        await queue_mail(attachments=file)


async def test_many_are_requests_with_lists(host: Runtime) -> None:
    with pytest.raises(UserError, match="QueueRequests, not dict"):
        await get_model("Message").queue_many([{"to": ["kim@b.test"]}])
    with pytest.raises(UserError, match="to is a list, not str"):
        QueueRequest(author=None, to="kim@b.test", subject="Hi", body="")  # type: ignore[arg-type]
