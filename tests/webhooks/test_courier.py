"""Calls to a receiver that misbehaves in every way: at least once, signed, with one id, and never for a rollback."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from email.message import EmailMessage
from types import SimpleNamespace
from typing import Any

import pytest

from core import clock
from core.delivery.engine import Engine
from core.errors import UnknownName, UserError
from core.gateway import spool
from core.gateway.receive import process
from core.mail.provider_events import EventKind, ProviderEvent
from core.orm.transaction import rehearsal, transaction
from core.runtime import Runtime, get_model, runtime
from core.webhooks import claim as claiming
from core.webhooks.courier import deliver_webhooks
from core.webhooks.note import note
from core.webhooks.retry import MOST_ATTEMPTS
from tests.faults.rig import until
from tests.servers.http_provider import Answer, HttpProvider
from tests.webhooks.conftest import drain, let_time_pass, listen, states, verified

pytestmark = pytest.mark.anyio


async def make_lead(name: str = "Ann", **values: Any) -> Any:
    return await get_model("CrmLead").create(name=name, **values)


async def queue_mail(**options: Any) -> Any:
    return await get_model("Message").queue_email(
        None, ["kim@customer.test"], "Invoice", "<p>Hello</p>", from_email="office@acme.test", **options
    )


async def test_a_record_s_life_is_told(webhook: Any, receiver: HttpProvider) -> None:
    lead = await make_lead("Ann")
    lead_id = lead.pk
    await lead.delete()
    assert await drain() == 2
    created, deleted = sorted((verified(one, webhook.secret) for one in receiver.asked), key=lambda one: one["type"])
    assert (created["type"], deleted["type"]) == ("record.created", "record.deleted")
    assert created["data"] == {"model": "CrmLead", "id": lead_id, "name": "Ann"}
    assert created["timestamp"].endswith("+00:00")
    assert await states() == ["delivered", "delivered"]
    assert {one.headers["content-type"] for one in receiver.asked} == {"application/json"}
    call = await get_model("WebhookCall").first()
    assert (call.attempts, call.last_status, call.last_error) == (1, 200, "")
    assert call.duration_ms is not None


async def test_a_rollback_tells_nobody(webhook: Any) -> None:
    with pytest.raises(UserError):
        await fail_after_all(await make_lead("Bob"))
    assert await states() == ["queued"]


async def fail_after_all(lead: Any) -> None:
    async with transaction() as running:
        await make_lead()
        lead.stage = "won"
        await lead.save()

        async def fail() -> None:
            assert len(await states()) >= 2  # They are written down by now, and go with the rest.
            raise UserError("no")

        running.before_commit(fail)


async def test_what_no_transaction_keeps_is_not_told(webhook: Any) -> None:
    async with rehearsal():
        await make_lead()
    assert await states() == []


async def test_what_becomes_of_a_mail_is_told(webhook: Any, receiver: HttpProvider) -> None:
    message = await queue_mail(track=True)
    async with Engine() as engine:
        await engine.drain()
    event = ProviderEvent(key="1", kind=EventKind.COMPLAINED, provider="x", recipient="kim@customer.test", remote_id="")
    delivery = await get_model("Delivery").get(message_id=message.pk)
    origin = SimpleNamespace(message_id=message.pk, delivery_id=delivery.pk)
    await get_model("MailEvent").take([event], of=origin)
    await drain()
    told = {one["type"]: one["data"] for one in (verified(asked, webhook.secret) for asked in receiver.asked)}
    assert set(told) == {"message.sent", "message.complained"}
    assert told["message.sent"]["message"]["message_id"] == message.message_id
    assert told["message.complained"]["recipient"] == "kim@customer.test"
    assert "Hello" not in str(told)


async def test_what_comes_in_is_told(webhook: Any, receiver: HttpProvider) -> None:
    await get_model("EmailRoute").create(address="leads", target_model="CrmLead")
    about_it = [
        mail("Two chairs", to="leads@acme.test"),
        mail("Re: Two chairs", to="leads@acme.test", In_Reply_To="<two-chairs@customer.test>"),
        mail("What?", to="nobody@acme.test"),
    ]
    for number, raw in enumerate(about_it):
        spooled = await spool.store(raw, f"test:{number}")
        assert spooled is not None
        await process([spooled])
    lead = await get_model("CrmLead").get()
    lead.stage = "qualified"
    await lead.save()
    await drain()
    told = [verified(one, webhook.secret) for one in receiver.asked]
    assert sorted(one["type"] for one in told) == [
        *("email.routed", "email.routed", "email.unmatched", "record.created", "record.updated")
    ]
    routed = [one["data"] for one in told if one["type"] == "email.routed"]
    assert {(one["message"]["model"], one["message"]["record_id"]) for one in routed} == {("CrmLead", lead.pk)}
    assert all(one["message"]["id"] and one["email"]["id"] for one in routed)
    (updated,) = [one["data"] for one in told if one["type"] == "record.updated"]
    assert updated["changed"] == ["stage"]


def mail(subject: str, to: str, **headers: str) -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Ada <ada@customer.test>", to, subject
    made["Message-ID"] = f"<{subject.lower().replace(' ', '-').strip('?')}@customer.test>"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content("Hello.")
    return made.as_bytes()


async def test_each_hears_of_what_it_asked_for(host: Runtime, receiver: HttpProvider) -> None:
    ours, theirs = [await get_model("Company").create(name=name) for name in ("Ours", "Theirs")]
    await listen(receiver, name="deleted", events=["record.deleted"])
    await listen(receiver, name="contacts", models=["Contact"])
    await listen(receiver, name="theirs", company=theirs)
    await listen(receiver, name="off", active=False)
    wanted = await listen(receiver, name="ours", company=ours, models=["CrmLead"])
    await make_lead(company=ours)
    assert [one.webhook_id for one in await get_model("WebhookCall").all()] == [wanted.pk]


async def test_one_event_has_one_id_for_all_and_for_every_try(webhook: Any, receiver: HttpProvider) -> None:
    other = await listen(receiver, name="other")
    receiver.plan(Answer(500), Answer(drops=True))
    await make_lead()
    await drain()
    assert await states() == ["queued", "queued"]
    await let_time_pass()
    await drain()
    assert await states() == ["delivered", "delivered"]
    assert len({one.headers["webhook-id"] for one in receiver.asked}) == 1
    assert len({one.body for one in receiver.asked}) == 1
    assert len(receiver.asked) == 4
    assert webhook.secret != other.secret


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, b"x" * 100_000),
        Answer(302, headers=("Location: http://127.0.0.1:1/inside",)),
        Answer(drops=True),
        Answer(404),
    ],
)
async def test_what_is_no_success_is_tried_again(webhook: Any, receiver: HttpProvider, answer: Answer) -> None:
    receiver.plan(answer)
    await make_lead()
    await drain()
    call = await get_model("WebhookCall").first()
    assert (call.state, call.attempts) == ("queued", 1)
    assert timedelta(seconds=2) < call.due_at - clock.now() < timedelta(seconds=7)
    assert "xxx" not in call.last_error  # W8: nobody reads with it what answers inside.
    assert len(receiver.asked) == 1
    failing = await get_model("Webhook").get(id=webhook.pk)
    assert failing.failure_count == 1
    assert failing.failing_since_at is not None
    await let_time_pass()
    await drain()
    assert await states() == ["delivered"]
    assert (await get_model("Webhook").get(id=webhook.pk)).failing_since_at is None


async def test_a_failing_webhook_rests_and_others_do_not(webhook: Any, receiver: HttpProvider) -> None:
    for number in range(10):
        await make_lead(str(number))
    receiver.make = lambda asked: Answer(503)
    assert await drain() == 4
    assert await drain() == 0
    receiver.make = None
    healthy = await listen(receiver, name="healthy")
    await make_lead("new")
    assert await drain() == 1
    (call,) = await get_model("WebhookCall").filter(webhook_id=healthy.pk)
    assert call.state == "delivered"


async def test_gone_means_no_more_and_the_operator_is_told(webhook: Any, receiver: HttpProvider) -> None:
    await get_model("User").create(login="root", name="Root", password_hash="x", is_admin=True)
    receiver.plan(Answer(410))
    await make_lead()
    await drain()
    off = await get_model("Webhook").get(id=webhook.pk)
    assert not off.active
    assert "410" in off.disabled_reason
    assert "was switched off" in (await get_model("Message").get(kind="system")).subject
    await make_lead("unheard")
    assert await states() == ["queued"]
    assert await drain() == 0
    off.active = True
    await off.save()
    assert (await get_model("Webhook").get(id=webhook.pk)).disabled_reason == ""
    await let_time_pass()
    assert await drain() == 1
    assert await states() == ["delivered"]


async def test_days_of_nothing_switch_it_off(webhook: Any, receiver: HttpProvider) -> None:
    receiver.make = lambda asked: Answer(500)
    await make_lead()
    await drain()
    await get_model("Webhook").all().update(failing_since_at=clock.now() - timedelta(days=6))
    await let_time_pass()
    await drain()
    off = await get_model("Webhook").get(id=webhook.pk)
    assert not off.active
    assert "5 days" in off.disabled_reason


async def test_after_the_last_try_it_has_failed_and_can_be_made_anew(webhook: Any, receiver: HttpProvider) -> None:
    receiver.make = lambda asked: Answer(500)
    await make_lead()
    for _ in range(12):
        await let_time_pass()
        await drain()
    assert await states() == ["failed"]
    assert len(receiver.asked) == 10
    call = await get_model("WebhookCall").first()
    receiver.make = None
    await call.retry()
    with pytest.raises(UserError):
        await call.retry()
    await let_time_pass()
    await drain()
    assert await states() == ["delivered"]


async def test_a_secret_is_changed_without_a_gap(webhook: Any, receiver: HttpProvider) -> None:
    old = webhook.secret
    new = await webhook.rotate_secret()
    assert new != old
    await webhook.test()
    await drain()
    (asked,) = receiver.asked
    assert verified(asked, old)["type"] == verified(asked, new)["type"] == "webhook.test"
    await get_model("Webhook").filter(id=webhook.pk).update(old_secret_until=clock.now())
    await webhook.test()
    await drain()
    assert len(receiver.asked[1].headers["webhook-signature"].split()) == 1
    assert verified(receiver.asked[1], new)


async def test_a_lease_that_was_lost_changes_nothing_any_more(webhook: Any, receiver: HttpProvider) -> None:
    await make_lead()
    (lost,) = await claiming.claim(10)
    assert await claiming.claim(10) == []
    await let_time_pass()
    assert await claiming.sweep() == 1
    (again,) = await claiming.claim(10)
    assert not await claiming.settle(lost, "delivered", 0, {})
    assert await claiming.settle(again, "queued", 0, {})
    assert (await get_model("WebhookCall").first()).attempts == 2


async def test_several_workers_make_each_call_once(webhook: Any, receiver: HttpProvider) -> None:
    for number in range(30):
        await make_lead(str(number))
    stop = asyncio.Event()
    workers = [asyncio.create_task(deliver_webhooks(stop)) for _ in range(3)]
    await receiver.until(30)

    async def is_over() -> bool:
        return set(await states()) == {"delivered"}

    await until(is_over, "every call's end")
    stop.set()
    await asyncio.gather(*workers)
    assert len({one.headers["webhook-id"] for one in receiver.asked}) == len(receiver.asked) == 30


async def test_a_worker_hears_of_a_call_at_once_and_stops_with_grace(webhook: Any, receiver: HttpProvider) -> None:
    stop = asyncio.Event()
    worker = asyncio.create_task(deliver_webhooks(stop))
    await asyncio.sleep(0.05)
    receiver.plan(Answer(after_s=0.3))
    begun_at = clock.now()
    await make_lead()
    async with asyncio.timeout(5):
        await receiver.until(1)
    assert clock.now() - begun_at < timedelta(seconds=2)
    stop.set()
    await worker
    assert await states() == ["delivered"]


async def test_a_webhook_that_is_deleted_takes_nothing_along(webhook: Any, receiver: HttpProvider) -> None:
    await make_lead("before")
    await get_model("Webhook").filter(id=webhook.pk).delete()
    lead = await make_lead("after")  # Its listener is still remembered here.
    assert await get_model("CrmLead").filter(id=lead.pk).exists()
    assert await states() == []
    assert await drain() == 0


async def test_nobody_listening_costs_no_statement(host: Runtime) -> None:
    assert not await get_model("WebhookCall").heard("message_sent")
    await note("message_sent", {})  # What it is about is not even looked at.
    await note("cron_finished", {})


async def test_old_calls_are_forgotten(webhook: Any, receiver: HttpProvider) -> None:
    receiver.plan(Answer(200), Answer(500))
    await make_lead("a")
    await drain()
    await make_lead("b")
    await get_model("WebhookCall").all().update(created_at=clock.now() - timedelta(days=40))
    assert await get_model("WebhookCall").cron_prune() == 1
    assert await states() == ["queued"]
    await get_model("Webhook").all().update(active=False)
    assert await get_model("WebhookCall").cron_prune() == 1


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"url": "ftp://a.test/"}, UserError),
        ({"url": "https://"}, UserError),
        ({"url": "https://user:word@a.test/"}, UserError),
        ({"url": "https://a.test/#part"}, UserError),
        ({"url": "https://a.test/\r\nX: y"}, UserError),
        ({"url": "https://a.test:99999/"}, UserError),
        ({"url": "https://[::1/"}, UserError),
        ({"events": []}, UserError),
        ({"events": ["message.snet"]}, UnknownName),
        ({"models": ["Leda"]}, UnknownName),
        ({"models": {"CrmLead": 1}}, UserError),
        ({"secret": "short"}, UserError),
    ],
)
async def test_what_cannot_be_a_webhook(receiver: HttpProvider, host: Runtime, values: Any, error: Any) -> None:
    with pytest.raises(error):
        await listen(receiver, **values)


async def test_however_many_calls_wait_few_are_looked_at(webhook: Any, receiver: HttpProvider) -> None:
    other = await listen(receiver, name="other")
    database = runtime().database
    wait = f"'record.created', '{{}}', 'queued', 0, {database.dialect.now(-60)}, '', {database.dialect.now()}"
    for one in (webhook, other):
        await database.script(
            f"""WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 2000)
                INSERT INTO webhook_call (webhook_id, event_id, event, payload, state, attempts, due_at, last_error,
                                          created_at) SELECT {one.pk}, n, {wait} FROM number"""
        )
    async with asyncio.timeout(1):
        calls = [call for _ in range(20) for call in await claiming.claim(2)]
    assert [calls.count(one) for one in calls] == [1] * 8
    assert {one.webhook_id for one in calls} == {webhook.pk, other.pk}


async def test_one_that_failed_last_time_is_tried_by_one_call(webhook: Any, receiver: HttpProvider) -> None:
    for _ in range(5):
        await make_lead()
    assert len(await claiming.claim(8)) == 4
    await let_time_pass()
    await claiming.sweep()
    await webhook.note_failure("no answer")
    await let_time_pass()
    assert len(await claiming.claim(8)) == 1


async def test_what_kills_its_worker_each_time_ends_as_failed(webhook: Any) -> None:
    await make_lead()
    for _ in range(MOST_ATTEMPTS):
        assert len(await claiming.claim(1)) == 1
        await let_time_pass()
        await claiming.sweep()
    assert await states() == ["failed"]


async def test_the_bell_rings_once_for_a_transaction(webhook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rung = []

    async def ring(topic: str) -> None:
        rung.append(topic)

    monkeypatch.setattr(runtime().bell, "ring", ring)
    for _ in range(2):
        async with transaction():
            for _ in range(3):
                await make_lead()
    assert rung.count("webhook") == 2
    assert len(await states()) == 6
