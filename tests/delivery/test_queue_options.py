"""What a mail can be asked to be and do: copies of their own, expiry, undo, keys, lists, priorities."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from core import clock
from core.delivery.engine import Engine
from core.delivery.request import QueueRequest
from core.delivery.suppression import suppress
from core.errors import AddressError, PostroomError, UserError
from core.idempotency import KeyMismatch
from core.mail.invite import Attendee, Invite
from core.mail.values import Mailbox
from core.runtime import Runtime, get_model
from tests.delivery.conftest import drain, queue_mail, states
from tests.servers.fake_mta import Act, FakeMta, Script

pytestmark = pytest.mark.anyio
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


def _read(raw: bytes) -> EmailMessage:
    read = message_from_bytes(raw, policy=policy.default)
    assert isinstance(read, EmailMessage)
    return read


@pytest.mark.parametrize("count", [1, 4, 5, 40])
async def test_a_message_is_stored_with_all_of_its_recipients(host: Runtime, mta: FakeMta, count: int) -> None:
    before = await queue_mail("first@a.test")
    at = clock.now() + timedelta(hours=1)
    message = await queue_mail(*(f"to{number}@a.test" for number in range(count)), scheduled_at=at)
    rows = await get_model("Delivery").filter(message_id=message.pk).values_list("recipient", "state", "due_at")
    assert {row[0] for row in rows} == {f"to{number}@a.test" for number in range(count)}
    assert {(row[1], row[2]) for row in rows} == {("queued", at)}
    assert await get_model("Delivery").filter(message_id=before.pk).count() == 1
    await drain()
    assert [accepted.recipient for accepted in mta.ledger] == ["first@a.test"]


async def test_individual_copies_name_no_one_else(host: Runtime, mta: FakeMta) -> None:
    await queue_mail("Ann <ann@a.test>", "bob@b.test", individual=True)
    await drain()
    seen = {accepted.recipient: str(_read(accepted.raw)["To"]) for accepted in mta.ledger}
    assert seen == {"ann@a.test": "Ann <ann@a.test>", "bob@b.test": "bob@b.test"}
    with pytest.raises(UserError, match="no Cc"):
        await queue_mail("ann@a.test", individual=True, cc=["c@c.test"])


async def test_a_mail_says_what_it_answers(host: Runtime, mta: FakeMta) -> None:
    first, second = "<first@x.test>", "<second@x.test>"
    for thread, shown in (
        ({"in_reply_to": second, "references": [first, second]}, (second, f"{first} {second}")),
        ({"in_reply_to": second}, (second, second)),
        ({"references": [first]}, (None, first)),
    ):
        mail = _read(await (await queue_mail("ann@a.test", **thread)).eml())
        assert (mail["In-Reply-To"], mail["References"]) == shown
    with pytest.raises(AddressError, match="write it as <unique@domain>"):
        await queue_mail("ann@a.test", in_reply_to="second@x.test")


async def test_a_list_mail_carries_each_recipients_own_way_out(host: Runtime, mta: FakeMta) -> None:
    await queue_mail(
        "ann@a.test", "bob@b.test", unsubscribe_list="Our news", body='<p><a href="%unsubscribe_url%">Leave</a></p>'
    )
    await drain()
    urls = []
    for accepted in mta.ledger:
        mail = _read(accepted.raw)
        header = str(mail["List-Unsubscribe"])
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert mail["List-Id"] == "<our-news.acme.test>"
        assert header.startswith("<https://acme.test/unsubscribe/")
        url = header[1:].partition(">")[0]
        html = mail.get_body(("html",))
        assert html is not None
        assert url in html.get_content()
        urls.append(url)
    assert len(set(urls)) == 2


async def test_tracked_copies_differ_and_stay_the_same_on_every_try(host: Runtime, mta: FakeMta) -> None:
    _acts(mta, steps={"dot": (Act(reply="450 4.2.0 later"), Act(reply="450 4.2.0 later"))})
    message = await queue_mail("ann@a.test", "bob@b.test", track=True, body='<p><a href="https://x.test/1">x</a></p>')
    first = {one: await message.eml(one) for one in ("ann@a.test", "bob@b.test")}
    await drain()
    await get_model("Delivery").filter(state="queued").update(due_at=clock.now() - timedelta(seconds=1))
    await drain()
    assert {accepted.recipient: accepted.raw for accepted in mta.ledger} == first
    assert first["ann@a.test"] != first["bob@b.test"]
    assert b"/api/email/track/open/" in first["ann@a.test"].replace(b"=\r\n", b"")


async def test_an_expired_mail_is_not_sent_and_says_why(host: Runtime, mta: FakeMta) -> None:
    message = await queue_mail(expires_at=clock.now() + timedelta(milliseconds=20))
    await asyncio.sleep(0.03)
    await drain()
    await message.refresh_from_db()
    assert (message.send_state, mta.ledger) == ("Cancelled", [])
    assert "time was over" in message.error
    with pytest.raises(UserError, match="time zone"):
        await queue_mail(expires_at=datetime(2030, 1, 1))  # noqa: DTZ001
    now = clock.now()
    with pytest.raises(UserError, match="never be sent"):
        await queue_mail(scheduled_at=now + timedelta(hours=2), expires_at=now + timedelta(hours=1))


async def test_undo_takes_a_mail_back_until_it_leaves(host: Runtime, mta: FakeMta) -> None:
    message = await queue_mail(undo_s=60)
    await drain()
    assert not mta.ledger
    await message.undo()
    assert message.send_state == "Draft"
    assert await states(message) == {}
    again = await get_model("Message").queue_email(
        None, ["kim@customer.test"], "Invoice", "<p>Right now</p>", message=message, from_email="office@acme.test"
    )
    await drain()
    await again.refresh_from_db()
    assert (again.pk, again.send_state, len(mta.ledger)) == (message.pk, "Sent", 1)
    with pytest.raises(UserError, match="on its way"):
        await again.undo()


async def test_the_same_key_gives_the_same_mail(host: Runtime, mta: FakeMta) -> None:
    async def once() -> int:
        message = await queue_mail(idempotency_key="invoice-7")
        return int(message.pk)

    assert len(set(await asyncio.gather(*(once() for _ in range(20))))) == 1
    await drain()
    assert len(mta.ledger) == 1
    with pytest.raises(KeyMismatch, match="another request"):
        await queue_mail(idempotency_key="invoice-7", subject="Other")
    await get_model("IdempotencyKey").all().update(created_at=clock.now() - timedelta(hours=25))
    await queue_mail(idempotency_key="invoice-7", subject="Other")
    assert await get_model("Message").all().count() == 2


async def test_a_key_among_many_requests(host: Runtime, mta: FakeMta) -> None:
    request = QueueRequest(
        author=None, to=("a@b.test",), subject="One", body="", from_email="o@acme.test", idempotency_key="k"
    )
    one, two = await get_model("Message").queue_many([request, request])
    assert one.pk == two.pk


async def test_named_priorities_reach_the_reader(host: Runtime, mta: FakeMta) -> None:
    await queue_mail(priority="low", subject="late")
    await queue_mail(priority=3, subject="first")
    await queue_mail(priority="high", subject="second")
    host.configuration = _with(host, SMTP_CONCURRENCY=1)
    await drain()
    mails = [_read(accepted.raw) for accepted in mta.ledger]
    assert [(mail["Subject"], mail["Importance"]) for mail in mails] == [
        ("first", None),
        ("second", "high"),
        ("late", "low"),
    ]
    with pytest.raises(UserError, match="high, normal, low"):
        await queue_mail(priority="urgent")


async def test_an_image_an_invitation_and_a_file_travel_together(host: Runtime, mta: FakeMta) -> None:
    starts_at = datetime(2026, 12, 1, 9, tzinfo=UTC)
    invite = Invite(
        uid="1@acme.test",
        summary="Review",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=1),
        organizer=Mailbox("Postroom", "office@acme.test"),
        attendees=(Attendee(Mailbox("", "kim@customer.test")),),
    )
    await queue_mail(body='<p>Hi <img src="cid:logo"></p>', inline_images={"logo": PNG}, invite=invite)
    await drain()
    mail = _read(mta.ledger[0].raw)
    kinds = [part.get_content_type() for part in mail.walk()]
    assert {"multipart/related", "text/calendar", "image/png"} <= set(kinds)
    image = next(part for part in mail.walk() if part.get_content_type() == "image/png")
    assert (image["Content-ID"], image.get_filename(), image.get_content()) == ("<logo>", "logo.png", PNG)
    with pytest.raises(UserError, match="PNG"):
        await queue_mail(inline_images={"logo": b"<svg/>"})


async def test_a_dry_run_gives_the_bytes_and_keeps_nothing(host: Runtime, mta: FakeMta) -> None:
    raw = await get_model("Message").dry_run(None, ["kim@customer.test"], "Hi", "<p>x</p>", from_email="o@acme.test")
    assert _read(raw)["Subject"] == "Hi"
    assert await get_model("Message").all().count() == 0
    await drain()
    assert not mta.ledger


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Feedback-ID": "a:b"}, "feedback_id": "c:d"},
        {"headers": {"List-Unsubscribe": "<mailto:x@y.test>"}, "unsubscribe_list": "news"},
        {"feedback_id": "not : an id"},
        {"headers": {"Received": "from nowhere"}},
    ],
)
async def test_what_cannot_be_composed_is_refused_at_once(host: Runtime, options: dict[str, Any]) -> None:
    with pytest.raises(PostroomError):
        await queue_mail(**options)
    assert await get_model("Message").all().count() == 0


async def test_a_suppressed_recipient_is_dropped_alone(host: Runtime, mta: FakeMta) -> None:
    await suppress("bob@b.test", reason="hard_bounce")
    message = await queue_mail("ann@a.test", "Bob@b.test")
    await drain()
    assert await states(message) == {"ann@a.test": "sent", "Bob@b.test": "cancelled"}
    assert [accepted.recipient for accepted in mta.ledger] == ["ann@a.test"]
    attempt = await get_model("Attempt").get(outcome="dropped")
    assert "suppressed" in attempt.reply


async def test_who_leaves_a_list_between_claim_and_content_gets_nothing(host: Runtime) -> None:
    """The recipient unsubscribes while the server thinks about the first mail."""

    async def leaves(*_: Any) -> None:
        await suppress("bob@b.test", reason="unsubscribe", list="news")

    async with FakeMta(Script()) as server:
        await get_model("OutgoingMailServer").create(name="fake", server="127.0.0.1", port=server.port, use_ssl=False)
        message = await queue_mail("bob@b.test", unsubscribe_list="news")
        async with Engine() as engine:
            before = engine.ledger.begin

            async def begin(job: Any) -> bool:
                await leaves()
                return await before(job)

            engine.ledger.begin = begin  # type: ignore[method-assign]
            await engine.drain()
    assert (await states(message), server.ledger) == ({"bob@b.test": "cancelled"}, [])


async def test_a_from_domain_that_no_server_may_use_is_refused_at_once(host: Runtime, mta: FakeMta) -> None:
    await get_model("OutgoingMailServer").all().update(from_domains=["acme.test"])
    await queue_mail()
    with pytest.raises(UserError, match=r"no|No outgoing mail server may send as x@evil\.test"):
        await queue_mail(from_email="x@evil.test")


async def test_the_final_failure_is_told_once_on_the_timeline(host: Runtime, mta: FakeMta) -> None:
    _acts(
        mta,
        recipients={"no@b.test": Act(reply="550 5.1.1 no such user"), "nor@b.test": Act(reply="550 5.1.1 nor you")},
    )
    record = await get_model("Contact").create(name="Kim", email="kim@customer.test")
    message = get_model("Message")(res_model="Contact", res_id=record.pk, kind="message")
    message = await queue_mail("no@b.test", "nor@b.test", "kim@customer.test", message=message)
    await drain()
    (entry,) = await get_model("Message").filter(kind="system", parent_id=message.pk)
    assert entry.res_id == record.pk
    assert "no@b.test did not get it" in entry.text
    assert "nor you" in entry.text


async def test_a_mail_is_given_up_at_the_end_of_its_life(host: Runtime, mta: FakeMta) -> None:
    host.configuration = _with(host, RETRY_LIFETIME_HOURS=1, RETRY_SCHEDULE="exponential", RETRY_JITTER=0.2)
    _acts(mta, steps={"dot": Act(reply="450 4.2.0 later")})
    message = await queue_mail()
    await get_model("Message").filter(id=message.pk).update(date_at=clock.now() - timedelta(minutes=58), max_retries=99)
    await drain()
    await message.refresh_from_db()
    assert (message.send_state, message.next_retry_at) == ("Failed", None)


def _acts(mta: FakeMta, **behaviour: Any) -> None:
    mta.script = replace(mta.script, **behaviour)


def _with(host: Runtime, **values: Any) -> Any:
    return replace(host.configuration, settings=host.configuration.settings.model_copy(update=values))
