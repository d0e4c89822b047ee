"""A campaign's life: started, fed, paused, stopped, tried again and finished."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from addons.mass_mailing.statistics import standstills_of
from core.api import UserError, get_model, now, transaction
from tests.faults.rig import drain, use
from tests.orm.statements import Count, counted
from tests.servers.fake_mta import Act, FakeMta, Script

from .desk import campaign_to, feed, list_of, mails, run, states

pytestmark = pytest.mark.anyio


async def test_each_gets_it_once_and_then_it_is_finished(host: Any) -> None:
    campaign = await campaign_to(await list_of(7))
    async with FakeMta(Script()) as mta:
        await use(mta)
        assert await campaign.start() == 7
        assert (campaign.state, await states(campaign)) == ("running", {"waiting": 7})
        assert (await get_model("CronJob").get(identifier="cron_campaigns")).next_run <= now()
        await run()
        assert await states(campaign) == {"sent": 7}
        assert Counter(one.recipient for one in mta.ledger) == {f"kim{n}@b.test": 1 for n in range(7)}
    assert (campaign.state, campaign.finished_at is not None) == ("finished", True)
    message = await get_model("Message").filter(subject="Hello Kim 3").get()
    assert message.email_to == ['"Kim 3" <kim3@b.test>']
    assert (message.priority, message.unsubscribe_list, message.email_from) == (20, "News", '"Acme" <news@acme.test>')
    assert await get_model("Tracking").filter(field="state").count() == 2


async def test_it_is_started_once(host: Any) -> None:
    campaign = await campaign_to(await list_of(2))
    same = await get_model("Campaign").get(id=campaign.pk)
    results = await asyncio.gather(campaign.start(), same.start(), return_exceptions=True)
    assert sorted(str(one) for one in results) == [
        '"Spring" is running; to be started it must be draft or scheduled.',
        "2",
    ]
    assert await states(campaign) == {"waiting": 2}


async def test_who_leaves_while_it_waits_gets_nothing(host: Any) -> None:
    """Before its batch is queued, and in the queue already: by the click of a mail program, and by hand."""
    of_list = await list_of(4)
    campaign = await campaign_to(of_list)
    await campaign.start()
    first, second, *_ = await get_model("MailingSubscription").filter(list_id=of_list.pk).order_by("id")
    await first.unsubscribe("asked by phone")
    await feed()
    await second.unsubscribe()
    async with FakeMta(Script()) as mta:
        await use(mta)
        await run()
        assert sorted(one.recipient for one in mta.ledger) == ["kim2@b.test", "kim3@b.test"]
    assert await states(campaign) == {"skipped": 2, "sent": 2}
    assert campaign.state == "finished"
    skipped = get_model("CampaignRecipient").filter(campaign_id=campaign.pk, state="skipped")
    assert await skipped.values_list("reason", flat=True) == ["unsubscribe"] * 2
    await get_model("MailingSubscription").note_who_left(of_list)
    await first.refresh_from_db()
    assert (first.unsubscribed_at is not None, first.reason) == (True, "asked by phone")
    await first.subscribe_again()
    await get_model("MailingSubscription").note_who_left(of_list)
    await first.refresh_from_db()
    assert (first.unsubscribed_at, first.reason) == (None, "")


async def test_a_pause_holds_what_waits_and_resume_goes_on(host: Any) -> None:
    campaign = await campaign_to(await list_of(5))
    await campaign.start()
    await feed()
    await campaign.pause("wrong price")
    assert await get_model("Delivery").filter(state="held").count() == 5
    async with FakeMta(Script()) as mta:
        await use(mta)
        await run()
        assert not mta.ledger
        assert (await states(campaign), campaign.state, campaign.paused_reason) == (
            {"queued": 5},
            "paused",
            "wrong price",
        )
        await campaign.resume()
        await run()
        assert await states(campaign) == {"sent": 5}
    assert (campaign.state, campaign.paused_reason) == ("finished", "")


async def test_a_cancelled_one_sends_no_more(host: Any) -> None:
    campaign = await campaign_to(await list_of(4))
    await campaign.start()
    ids = await get_model("CampaignRecipient").all().order_by("id").values_list("id", flat=True)
    await get_model("CampaignRecipient").filter(id=ids[-1]).update(state="failed")
    await feed()
    await get_model("CampaignRecipient").filter(id=ids[-1]).update(state="waiting")
    await campaign.cancel()
    async with FakeMta(Script()) as mta:
        await use(mta)
        await run()
        assert not mta.ledger
    assert (await states(campaign), campaign.state) == ({"cancelled": 4}, "cancelled")
    with pytest.raises(UserError, match="is cancelled"):
        await campaign.resume()


async def test_only_those_who_failed_are_written_to_again(host: Any) -> None:
    campaign = await campaign_to(await list_of(4))
    await campaign.start()
    script = Script(
        recipients={"kim1@b.test": Act(reply="550 no such user"), "kim2@b.test": (Act(reply="550 not now"),)}
    )
    async with FakeMta(script) as mta:
        await use(mta)
        await run()
        assert await states(campaign) == {"sent": 2, "failed": 2}
        assert campaign.state == "finished"
        assert await campaign.retry() == 2
        assert campaign.state == "running"
        await run()
        assert await states(campaign) == {"sent": 3, "failed": 1}
        assert Counter(one.recipient for one in mta.ledger) == {f"kim{n}@b.test": 1 for n in (0, 2, 3)}
    row = await get_model("CampaignRecipient").get(address="kim1@b.test")
    assert "no such user" in row.reason
    assert await mails().count() == 6


async def test_a_mail_that_somebody_deletes_keeps_it_open_for_nobody(host: Any) -> None:
    campaign = await campaign_to(await list_of(3))
    await campaign.start()
    await feed()
    await (await get_model("Message").get(subject="Hello Kim 1")).delete()
    async with FakeMta(Script()) as mta:
        await use(mta)
        await run()
    assert await states(campaign) == {"sent": 2, "cancelled": 1}
    assert campaign.state == "finished"
    gone = await get_model("CampaignRecipient").get(state="cancelled")
    assert (gone.address, gone.reason) == ("kim1@b.test", "mail_deleted")


async def test_a_doubtful_mail_is_not_repeated_and_keeps_it_open(host: Any) -> None:
    campaign = await campaign_to(await list_of(2))
    await campaign.start()
    await feed()
    await mails().update(on_unknown="hold")
    async with FakeMta(Script(steps={"dot": (Act(drop=True),)})) as mta:
        await use(mta)
        await drain()
        assert await states(campaign) == {"sent": 1, "unknown": 1}
        assert campaign.state == "running"
        with pytest.raises(UserError, match="Nobody"):
            await campaign.retry()
        doubted = await get_model("Message").get(send_state="Unknown")
        await doubted.cancel()
        assert await states(campaign) == {"sent": 1, "cancelled": 1}
        assert campaign.state == "finished"


async def test_two_feeders_never_take_the_same(host: Any) -> None:
    campaign = await campaign_to(await list_of(900))
    await campaign.start()
    await asyncio.gather(*(feed() for _ in range(4)))
    await feed()
    await feed()
    assert await mails().count() == 900
    assert await states(campaign) == {"queued": 900}


async def test_the_queue_holds_a_part_of_it_at_a_time(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addons.mass_mailing.models.campaign._IN_QUEUE", 30)
    campaign = await campaign_to(await list_of(50))
    await campaign.start()
    await feed()
    await feed()
    assert await states(campaign) == {"queued": 30, "waiting": 20}
    urgent = await get_model("Message").queue_email(
        None, ["boss@b.test"], "Now", "<p>Now</p>", from_email="a@acme.test"
    )
    async with FakeMta(Script()) as mta:
        await use(mta)
        await drain()
        assert "boss@b.test" in [one.recipient for one in mta.ledger[:12]]
    await urgent.refresh_from_db()
    assert urgent.send_state == "Sent"


async def test_a_batch_takes_as_many_statements_whatever_its_size(host: Any) -> None:
    counts = []
    for size in (3, 5, 100):  # The first one fills the caches.
        campaign = await campaign_to(await list_of(size, f"List {size}"))
        async with counted() as starting:
            await campaign.start()
        async with counted() as feeding:
            await feed()
        counts.append((_own(starting), _own(feeding)))
        await campaign.cancel()
    _, few, many = counts
    assert many[0] <= few[0]
    assert many[1] <= few[1]


def _own(count: Count) -> int:
    """Count without what the host tells watchers at times of its own."""
    return sum("live_event" not in text and "'live'" not in text for text in count.texts)


async def test_a_template_of_the_model_is_used(host: Any) -> None:
    model = await get_model("ModelRegistry").get(identifier="MailingSubscription")
    template = await get_model("EmailTemplate").create(
        identifier="t", name="T", model=model, subject="Hi {{ name }}", content="<p>{{ list.name }}</p>",
        from_email="{{ list.name | lower }}@acme.test",
    )  # fmt: skip
    campaign = await campaign_to(await list_of(2), template=template, from_email="")
    await campaign.start()
    await feed()
    message = await mails().order_by("id").first()
    assert (message.subject, message.body, message.email_from, message.template) == (
        *("Hi Kim 0", "<p>News</p>", "news@acme.test", "t"),
    )
    wrong = await campaign_to(audience_model="Contact", template=template)
    with pytest.raises(UserError, match="is for MailingSubscription"):
        await wrong.check()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"subject": "{{ name"}, "cannot be rendered"),
        ({"subject": "{{ 1 / 0 }}"}, "divides by zero"),
        ({"from_email": "", "reply_to": ""}, "no sender"),
        ({"server": "77"}, "gone"),
        ({"body": "{% for n in range(9000) %}" + 99 * "x" + "{% endfor %}"}, "891000 characters"),
        ({"audience_model": "Contact"}, "name one of the two"),
    ],
)
async def test_what_could_not_be_sent_is_refused_at_the_start(host: Any, values: dict[str, Any], words: str) -> None:
    campaign = await campaign_to(await list_of(2), **values)
    with pytest.raises(UserError, match=words):
        await campaign.start()
    await campaign.refresh_from_db()
    assert campaign.state == "draft"
    assert not await get_model("CampaignRecipient").exists()


async def test_what_breaks_for_all_on_the_way_pauses_it(host: Any) -> None:
    campaign = await campaign_to(await list_of(3))
    await campaign.start()
    await get_model("Campaign").filter(id=campaign.pk).update(subject="{{ 1 / 0 }}")
    await feed()
    assert await states(campaign) == {"waiting": 3}
    assert campaign.state == "paused"
    assert "divides by zero" in campaign.paused_reason


async def test_what_breaks_for_one_fails_alone(host: Any) -> None:
    campaign = await campaign_to(await list_of(3), subject="{{ 1 // (0 if name == 'Kim 1' else 1) }}")
    await campaign.start()
    await feed()
    assert await states(campaign) == {"queued": 2, "failed": 1}


async def test_it_starts_by_itself_at_its_time(host: Any) -> None:
    campaign = await campaign_to(await list_of(2))
    await campaign.schedule(now() + timedelta(hours=1))
    await get_model("Campaign")._start_due()
    assert campaign.state == "scheduled"
    await campaign.cancel()
    assert (campaign.state, campaign.scheduled_at) == ("draft", None)
    await campaign.schedule(now() + timedelta(hours=1))
    await get_model("Campaign").filter(id=campaign.pk).update(scheduled_at=now())
    await get_model("Campaign")._start_due()
    assert await states(campaign) == {"waiting": 2}
    assert campaign.state == "running"


async def test_a_time_at_which_it_cannot_start_says_so(host: Any) -> None:
    of_list = await list_of(1)
    campaign = await campaign_to(of_list)
    await campaign.schedule(now() + timedelta(hours=1))
    await get_model("MailingSubscription").all().delete()
    await get_model("Campaign").filter(id=campaign.pk).update(scheduled_at=now())
    await get_model("Campaign")._start_due()
    await campaign.refresh_from_db()
    assert (campaign.state, campaign.paused_reason) == ("draft", '"Spring" reaches nobody: its audience is empty.')


async def test_figures_outlive_the_mails(host: Any) -> None:
    campaign = await campaign_to(await list_of(2))
    await campaign.start()
    async with FakeMta(Script()) as mta:
        await use(mta)
        await run()
    assert await states(campaign) == {"sent": 2}
    await mails().delete()
    assert await states(campaign) == {"sent": 2}


async def test_a_sender_that_one_record_spoils_fails_that_one(host: Any) -> None:
    model = await get_model("ModelRegistry").get(identifier="MailingSubscription")
    sender = "{{ 'nowhere' if name == 'Kim 1' else 'news@acme.test' }}"
    template = await get_model("EmailTemplate").create(
        identifier="t", name="T", model=model, subject="Hi", content="<p>Hi</p>", from_email=sender
    )
    campaign = await campaign_to(await list_of(9), template=template, from_email="")
    await campaign.start()
    await feed()
    assert await states(campaign) == {"queued": 8, "failed": 1}
    assert (await get_model("CampaignRecipient").get(state="failed")).address == "kim1@b.test"


async def test_one_that_cannot_be_fed_stops_no_other(host: Any) -> None:
    """Its user lost their rights, or is switched off, or its model's addon is gone."""
    contacts, users = get_model("Contact"), get_model("User")
    await contacts.create(name="Kim", email="kim@b.test")
    nobody, gone = [await users.create(login=login, name=login) for login in ("nobody", "gone")]
    await gone.groups.add(*await get_model("Group").filter(identifier="user"))
    await users.filter(id=gone.pk).update(active=False)
    due = {"state": "scheduled", "scheduled_at": now() - timedelta(minutes=1)}
    late = [
        await campaign_to(audience_model=model, user=user, **due)
        for model, user in (("Contact", nobody), ("Contact", gone), ("CrmLead", gone))
    ]
    lost = await campaign_to(audience_model="CrmLead", user=gone, state="running")
    await get_model("CampaignRecipient").create(campaign=lost, address="x@b.test", record_model="CrmLead", record_id=1)
    good = await campaign_to(await list_of(2))
    await good.start()
    await get_model("Campaign")._start_due()
    await feed()
    assert await states(good) == {"queued": 2}
    for campaign, state, words in (
        (late[0], "draft", "may not read Contact"),
        (late[1], "draft", "no active user"),
        (late[2], "draft", 'no model "CrmLead"'),
        (lost, "paused", 'no model "CrmLead"'),
    ):
        await campaign.refresh_from_db()
        assert campaign.state == state
        assert words in campaign.paused_reason


async def test_a_standstill_is_of_the_servers_that_may_send_it(host: Any) -> None:
    """Another's pause, such as that of a provider of texts, stops nothing of it."""
    campaign = await campaign_to(await list_of(1))
    await campaign.start()
    servers = get_model("OutgoingMailServer")
    first, second = [await servers.create(name=name, server=f"{name}.acme.test") for name in ("one", "two")]
    pauses = get_model("ServerPause")
    for key in ("sms:1", str(first.pk)):
        await pauses.create(server=key, until_at=now() + timedelta(hours=1), failures=9, reason="credentials expired")
    assert (await standstills_of([campaign]))[campaign.pk] == ""
    await pauses.create(server=str(second.pk), until_at=now() + timedelta(hours=1), failures=9, reason="no route")
    assert "one does not" in (await standstills_of([campaign]))[campaign.pk]
    campaign.server = str(second.pk)
    assert "no route" in (await standstills_of([campaign]))[campaign.pk]


async def test_a_cancel_waits_for_no_mail_that_is_being_sent(host: Any, database_url: str) -> None:
    """Nor may a worker that writes down what it sent wait for it, which PostgreSQL would end by failing one of them."""
    if database_url.startswith("sqlite"):
        return  # It has one writer at a time.
    campaign = await campaign_to(await list_of(2))
    await campaign.start()
    await feed()
    sent, _ = ids = await mails().order_by("id").values_list("id", flat=True)
    await get_model("Delivery").filter(message_id=sent).update(state="sending")
    holding, over = asyncio.Event(), asyncio.Event()

    async def worker() -> None:
        async with transaction():
            await get_model("Message").select_for_update().get(id=sent)
            holding.set()
            await over.wait()

    at_work = asyncio.create_task(worker())
    await holding.wait()
    try:
        assert await asyncio.wait_for(get_model("Message").cancel_all(ids), 5) == 1
    finally:
        over.set()
        await at_work
