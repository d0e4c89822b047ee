"""Whom a campaign is for: lists, records that its user may read, and who must not be written to."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from core.api import UserError, get_model, now
from tests.faults.rig import use
from tests.servers.fake_mta import FakeMta, Script

from .desk import campaign_to, feed, list_of, mails, run, states

pytestmark = pytest.mark.anyio


async def test_who_may_not_be_written_to_is_named_and_counted(host: Any) -> None:
    of_list = await list_of(6)
    suppressions = get_model("Suppression")
    await suppressions.suppress("kim0@b.test", reason="hard_bounce")
    await suppressions.suppress("KIM1@b.test", reason="unsubscribe", list="News")
    await suppressions.suppress("kim2@b.test", reason="unsubscribe", list="Other")
    await suppressions.suppress("kim3@b.test", reason="unsubscribe", list="*")
    await suppressions.suppress("kim4@b.test", reason="manual", expires_at=now() - timedelta(seconds=1))
    campaign = await campaign_to(of_list)
    assert await campaign.start() == 6
    assert await states(campaign) == {"skipped": 3, "waiting": 3}
    reasons = dict(await get_model("CampaignRecipient").filter(state="skipped").values_list("address", "reason"))
    assert reasons == {"kim0@b.test": "hard_bounce", "kim1@b.test": "unsubscribe", "kim3@b.test": "unsubscribe"}


async def test_the_audience_of_records_is_what_its_user_may_read(host: Any) -> None:
    contacts = get_model("Contact")
    ours, theirs = [await get_model("Company").create(name=name) for name in ("Ours", "Theirs")]
    me = await get_model("User").create(
        login="me@acme.test", name="Me", company=ours, contact=await contacts.create(name="Me", email="me@acme.test")
    )
    await me.groups.add(*await get_model("Group").filter(identifier="user"))
    for number in range(3):
        await contacts.create(name=f"Kim {number}", email=f"kim{number}@b.test", company=ours, organisation="B")
    await contacts.create(name="Kim again", email="KIM1@B.test", company=ours, organisation="B")
    await contacts.create(name="Nobody", company=ours, organisation="B")
    await contacts.create(name="Odd", email="not an address", company=ours, organisation="B")
    await contacts.create(name="Eve", email="eve@b.test", company=theirs, organisation="B")
    await contacts.create(name="Zoe", email="zoe@c.test", company=ours, organisation="C")
    campaign = await campaign_to(
        audience_model="Contact",
        audience_filter={"field": "organisation", "op": "eq", "value": "B"},
        name_field="name",
        user=me,
        company=ours,
    )
    assert await campaign.start() == 4
    assert await states(campaign) == {"waiting": 3, "skipped": 1}
    await feed()
    told = await mails().order_by("id").values_list("subject", "author_id", "unsubscribe_list")
    assert told == [(f"Hello Kim {n}", me.pk, "Mailings") for n in range(3)]


async def test_an_empty_audience_is_refused(host: Any) -> None:
    with pytest.raises(UserError, match="reaches nobody"):
        await (await campaign_to(await list_of(0))).start()


async def test_a_list_that_is_edited_on_the_way_changes_nothing(host: Any) -> None:
    of_list = await list_of(3)
    campaign = await campaign_to(of_list)
    await campaign.start()
    await get_model("MailingSubscription").filter(address="kim0@b.test").delete()
    await get_model("MailingSubscription").subscribe(of_list, [("late@b.test", "Late")])
    await feed()
    assert sorted(await mails().values_list("subject", flat=True)) == [f"Hello Kim {n}" for n in range(3)]


async def test_a_list_keeps_its_name(host: Any) -> None:
    of_list = await list_of(0)
    of_list.name = "Other"
    with pytest.raises(UserError, match="keeps its name"):
        await of_list.save()


async def test_odd_names_and_addresses_stop_nobody(host: Any) -> None:
    of_list = await list_of(2)
    odd = [
        ("ida@b.test", '=?utf-8?q?x?= "Ida" <eve@b.test>, \\'),
        ("zoë@bücher.test", "Zoë"),
        ("a@b.test", "A\r\nBcc: x"),
    ]
    await get_model("MailingSubscription").subscribe(of_list, odd)
    campaign = await campaign_to(of_list)
    await campaign.start()
    async with FakeMta(Script()) as mta:
        await use(mta)
        await run()
        assert await states(campaign) == {"sent": 5}
        assert not any("eve" in one.recipient for one in mta.ledger)


async def test_who_left_every_list_is_brought_back_by_none(host: Any) -> None:
    of_list = await list_of(1)
    await get_model("Suppression").suppress("kim0@b.test", reason="unsubscribe", list="*")
    with pytest.raises(UserError):
        await (await get_model("MailingSubscription").get(list_id=of_list.pk)).subscribe_again()
    assert await get_model("Suppression").filter(address="kim0@b.test", list="*").exists()
    with pytest.raises(UserError, match="choose another name"):
        await get_model("MailingList").create(name="Mailings")


async def test_many_put_the_same_people_on_a_list_at_once(host: Any) -> None:
    of_list, people = await list_of(0), [(f"kim{n}@b.test", "") for n in range(3_000)]
    subscribe = get_model("MailingSubscription").subscribe
    counts = await asyncio.gather(*(subscribe(of_list, given) for given in (people, people[::-1], people)))
    assert sorted(counts) == [0, 0, 3_000]


async def test_its_own_text_reads_what_its_user_may(host: Any) -> None:
    """Fields behind a gate, and records of others, are not there, as where that user looks at them."""
    contacts, groups = get_model("Contact"), get_model("Group")
    ours, theirs = [await get_model("Company").create(name=name) for name in ("Ours", "Theirs")]
    me = await get_model("User").create(
        login="me@acme.test", name="Me", company=ours, contact=await contacts.create(name="Me", email="me@acme.test")
    )
    await me.groups.add(*await groups.filter(identifier="user"))
    gate = {"model": await get_model("ModelRegistry").get(identifier="Contact"), "field": "phone"}
    await get_model("FieldAccess").create(**gate, group=await groups.get(identifier="admin"))
    stranger = await contacts.create(name="Stranger", email="s@c.test", company=theirs)
    await contacts.create(name="Kim", email="kim@b.test", phone="555", company=ours)
    of_list = await get_model("MailingList").create(name="News", company=ours)
    await get_model("MailingSubscription").create(list=of_list, contact=stranger)
    to_records = await campaign_to(
        audience_model="Contact",
        audience_filter={"field": "name", "op": "eq", "value": "Kim"},
        body="<p>{{ name }}{{ phone }}{{ object.phone }}{{ company.name }}</p>",
        user=me,
    )
    to_list = await campaign_to(of_list, body="<p>{{ list.name }}{{ contact.name }}</p>", user=me)
    for campaign, text in ((to_records, "<p>KimOurs</p>"), (to_list, "<p>News</p>")):
        assert (await campaign.send_test("me@acme.test")).body == text
        await campaign.start()
    await feed()
    assert set(await mails().values_list("body", flat=True)) == {"<p>KimOurs</p>", "<p>News</p>"}
