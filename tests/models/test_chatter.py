"""The timeline of a record: messages leave by mail, notes never do, changes are told once."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.delivery.engine import Engine
from core.errors import UserError
from core.mail.parse import parse
from core.orm.transaction import rehearsal, transaction
from core.runtime import Runtime, acting_as, get_model

pytestmark = pytest.mark.anyio

MODEL = """
from core.models.chatter import Chatter
from core.orm import fields


class Job(Chatter):
    name = fields.CharField(max_length=100)
    stage = fields.SelectionField({"new": "New", "done": "Done"}, default="new")
    price = fields.DecimalField(max_digits=10, decimal_places=2, default=0)
    contact = fields.ForeignKeyField("models.Contact", null=True, related_name="jobs")
    _track = ("stage", "price", "contact")
"""

HOOKS = """
from core.hookspecs import hookimpl
from .models.job import Job

@hookimpl
def register_models():
    return [Job]
"""


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, object]:
    addon = tmp_path / "addons" / "jobs"
    (addon / "models").mkdir(parents=True)
    (addon / "addon.yaml").write_text('name: jobs\ntitle: Jobs\nversion: "1.0"\n')
    (addon / "__init__.py").touch()
    (addon / "models" / "__init__.py").touch()
    (addon / "models" / "job.py").write_text(MODEL)
    (addon / "hooks.py").write_text(HOOKS)
    return {
        "ADDONS": ["jobs"],
        "ADDONS_PATH": [str(tmp_path / "addons")],
        "MAIL_MODE": "catch",
        "MAIL_DOMAIN": "acme.test",
        "SMTP_FROM_EMAIL": "office@acme.test",
    }


async def _job(**values: Any) -> Any:
    contact = await get_model("Contact").create(name="Kim", email="kim@customer.test")
    return await get_model("Job").create(name="Repair", contact=contact, **values)


async def _drain() -> None:
    async with Engine() as engine:
        await engine.drain()


async def test_a_message_goes_to_correspondent_and_followers_once_each(host: Runtime) -> None:
    job = await _job()
    await job.follow(await get_model("Contact").create(name="Bo", email="bo@partner.test"), "asked to")
    await job.follow(await get_model("Contact").create(name="Kim again", email="KIM@customer.test"))
    message = await job.post_message("<p>Done soon</p>")
    await _drain()
    (caught,) = await get_model("CaughtEmail").all()
    assert sorted(caught.recipients) == ["bo@partner.test", "kim@customer.test"]
    mail = parse(caught.raw_mail)
    assert mail.subject == "Repair"
    assert [one.address for one in mail.reply_to] == [f"catchall+{message.tracking_identifier}@acme.test"]


async def test_a_second_message_continues_the_thread(host: Runtime) -> None:
    job = await _job()
    first = await job.post_message("<p>One</p>")
    second = await job.post_message("<p>Two</p>")
    await _drain()
    mails = {mail.message_id: mail for mail in [parse(one.raw_mail) for one in await get_model("CaughtEmail").all()]}
    assert mails[second.message_id].in_reply_to == (first.message_id,)
    assert mails[second.message_id].references == (first.message_id,)


async def test_a_message_answers_what_it_is_told_to(host: Runtime) -> None:
    job = await _job()
    await job.post_message("<p>One</p>")
    second = await job.post_message("<p>Two</p>", in_reply_to="<theirs@customer.test>")
    assert (second.parent_id, second.in_reply_to) == (None, "<theirs@customer.test>")
    assert second.thread_references == "<theirs@customer.test>"


async def test_what_is_no_message_id_is_left_out_of_references(host: Runtime) -> None:
    job = await _job()
    first = await job.post_message("<p>One</p>")
    await get_model("Message").filter(id=first.pk).update(thread_references="odd <theirs@customer.test>")
    second = await job.post_message("<p>Two</p>")
    assert second.thread_references == f"<theirs@customer.test> {first.message_id}"


async def test_nothing_answers_what_was_taken_back(host: Runtime) -> None:
    job = await _job()
    await (await job.post_message("<p>One</p>", undo_s=60)).undo()
    await (await job.post_message("<p>Two</p>", undo_s=60)).cancel()
    third = await job.post_message("<p>Three</p>")
    assert (third.parent_id, third.in_reply_to, third.thread_references) == (None, None, "")


async def test_without_anyone_to_send_to_a_message_stays_on_the_timeline(host: Runtime) -> None:
    job = await get_model("Job").create(name="Alone")
    message = await job.post_message("<p>Hello?</p>")
    assert message.send_state is None
    assert [entry.pk for entry in await job.timeline()] == [message.pk]


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.text(max_size=200), followers=st.integers(0, 3), mention=st.booleans())
async def test_a_note_never_leaves_by_mail(host: Runtime, body: str, followers: int, mention: bool) -> None:
    """The invariant: whoever follows or is mentioned, a note makes no delivery and no caught mail."""
    job = await _job()
    users = []
    for number in range(followers):
        contact = await get_model("Contact").create(name=f"C{number}", email=f"c{number}@customer.test")
        await job.follow(contact)
        login = f"u{job.pk}.{number}@acme.test"
        users.append(await get_model("User").create(login=login, name=f"U{number}", contact=contact))
    note = await job.post_note(body.replace("\0", ""), mentions=users if mention else ())
    await _drain()
    assert await get_model("Delivery").all().count() == 0
    assert await get_model("CaughtEmail").all().count() == 0
    assert await get_model("Notification").filter(message_id=note.pk).count() == followers


@pytest.mark.parametrize("values", [{"kind": "note"}, {"kind": "tracking"}, {"direction": "Inbound"}])
async def test_no_such_entry_becomes_a_mail(host: Runtime, values: dict[str, str]) -> None:
    """Neither its words nor its files leave, and what it said is not written over."""
    job = await _job()
    entry = await get_model("Message").create(res_model="Job", res_id=job.pk, body="<p>Inside</p>", **values)
    await entry.attachments.add(await get_model("Attachment").keep("inside.txt", b"inside"))
    with pytest.raises(UserError, match="stays as it is; queue a mail of its own"):
        await get_model("Message").queue_email(None, ["c@customer.test"], "Hi", "<p>Hi</p>", message=entry)
    await _drain()
    assert not await get_model("Delivery").exists()
    assert (await get_model("Message").get(id=entry.pk)).body == "<p>Inside</p>"


async def test_no_mail_is_queued_without_deliveries(host: Runtime) -> None:
    """It would say "Queued" for ever."""
    words = {"email_to": ["c@customer.test"], "subject": "Hi", "body": "<p>Hi</p>"}
    with pytest.raises(UserError, match=r"queued by Message\.queue_email"):
        await get_model("Message").create(direction="Outbound", send_state="Queued", **words)


async def test_changes_of_one_transaction_are_one_entry(host: Runtime) -> None:
    job = await _job()
    user = await get_model("User").create(login="anna@acme.test", name="Anna")
    with acting_as(user):
        async with transaction():
            job.stage = "done"
            await job.save()
            job.price = 12
            await job.save()
    (entry,) = await job.timeline()
    assert entry.kind == "tracking"
    assert entry.author_id == user.pk
    changes = {change.field: (change.old_text, change.new_text, change.kind) for change in entry.changes}
    assert changes == {"stage": ("New", "Done", "selection"), "price": ("0", "12", "decimal")}


async def test_a_change_taken_back_leaves_no_entry(host: Runtime) -> None:
    job = await _job()
    async with transaction():
        job.stage = "done"
        await job.save()
        job.stage = "new"
        await job.save()
    await job.save()
    assert await job.timeline() == []


async def test_a_change_after_one_that_was_rolled_back_is_told(host: Runtime) -> None:
    job = await _job()
    async with transaction():
        async with rehearsal():
            job.stage = "done"
            await job.save()
        job.stage, job.price = "new", 100
        await job.save()
    ((change,),) = [list(entry.changes) for entry in await job.timeline()]
    assert (change.old_text, change.new_text) == ("0", "100")


async def test_a_changed_reference_is_told_by_name(host: Runtime) -> None:
    job = await _job()
    job.contact = await get_model("Contact").create(name="Bo", email="bo@partner.test")
    await job.save()
    ((change,),) = [list(entry.changes) for entry in await job.timeline()]
    assert (change.old_text, change.new_text, change.kind) == ("Kim", "Bo", "reference")


async def test_activities_and_deletion(host: Runtime) -> None:
    job = await _job()
    activity = await job.schedule_activity("Call", date(2026, 12, 1), summary="Ask for a date")
    await activity.finish()
    assert activity.done_at is not None
    await job.post_note("x")
    await job.delete()
    for model in ("Message", "Activity", "Follower"):
        assert await get_model(model).all().count() == 0
