from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from core.api import UserError, get_model
from core.gateway.load import load

pytestmark = pytest.mark.anyio
Receive = Callable[..., Awaitable[Any]]


@pytest.fixture
def receive(host: Any, tmp_path: Path) -> Receive:
    """Return a function that brings a mail in and returns the account of it."""
    count = 0

    async def bring_in(to: str, subject: str, text: str, **headers: str) -> Any:
        nonlocal count
        count += 1
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "Mei Tanaka <mei@tanaka.example>", to, subject
        mail["Message-ID"] = f"<{count}@tanaka.example>"
        mail["Date"] = "Mon, 05 Jan 2026 10:00:00 +0000"
        for name, value in headers.items():
            mail[name.replace("_", "-")] = value
        mail.set_content(text)
        file = tmp_path / f"{count}.eml"
        file.write_bytes(mail.as_bytes())
        (account,) = [one async for one in load([file])]
        return account

    return bring_in


async def make_user(name: str) -> Any:
    contact = await get_model("Contact").create(name=name, email=f"{name.lower()}@lakeside.example")
    return await get_model("User").create(login=contact.email, name=name, contact=contact)


async def test_a_mail_to_leads_becomes_a_lead(receive: Receive) -> None:
    account = await receive("leads@localhost", "A worktop", "How much is oak?\n\n-- \nMei\nTel. +81 3 1234 5678\n")
    assert account.outcome == "record"
    lead = await get_model("CrmLead").get(id=int(account.record.partition(":")[2])).prefetch_related("contact")
    assert (lead.name, lead.stage, lead.source) == ("A worktop", "new", "E-mail")
    assert (lead.contact_name, lead.email_from) == ("Mei Tanaka", "Mei Tanaka <mei@tanaka.example>")
    assert lead.phone == "+81 3 1234 5678"
    assert lead.contact.email == "mei@tanaka.example"
    (entry,) = await lead.timeline()
    assert (entry.direction, entry.subject) == ("Inbound", "A worktop")
    assert "How much is oak?" in entry.text


@pytest.mark.parametrize("alias", ["sales", "info"])
async def test_other_usual_aliases_make_leads_too(receive: Receive, alias: str) -> None:
    assert (await receive(f"{alias}@localhost", "A worktop", "How much?\n")).record.startswith("CrmLead:")


async def test_who_answers_first_takes_the_lead_up_and_hears_the_reply(receive: Receive) -> None:
    account = await receive("leads@localhost", "A worktop", "How much is oak?\n")
    lead = await get_model("CrmLead").get(id=int(account.record.partition(":")[2]))
    tom, eve = await make_user("Tom"), await make_user("Eve")
    message = await lead.post_message("<p>120 a metre.</p>", author=tom)
    await lead.post_message("<p>I may add something.</p>", author=eve)
    await lead.refresh_from_db()
    assert lead.user_id == tom.pk
    assert [one.name for one in await lead.followers()] == ["Tom"]
    assert message.email_to == ["mei@tanaka.example"] or "mei@tanaka.example" in message.email_to[0]

    lead.stage = "lost"
    await lead.save()
    answer = await receive("office@localhost", "Re: A worktop", "I take it.\n", In_Reply_To=message.message_id)
    assert (answer.outcome, answer.record) == ("reply", f"CrmLead:{lead.pk}")
    await lead.refresh_from_db()
    assert lead.stage == "qualified"
    (activity,) = await get_model("Activity").filter(res_model="CrmLead", res_id=lead.pk)
    assert (activity.kind, activity.assignee_id, activity.summary) == ("Answer", tom.pk, "Answer: A worktop")


async def test_the_salesperson_follows_a_new_lead(host: Any) -> None:
    user = await make_user("Tom")
    lead = await get_model("CrmLead").create(name="Stairs", user=user)
    assert [one.name for one in await lead.followers()] == ["Tom"]


async def test_a_lead_becomes_a_contact_once(host: Any) -> None:
    lead = await get_model("CrmLead").create(
        name="Stairs", contact_name="Zoe", email_from="Zoe <zoe@new.example>", phone="+1 212 555 0101", source="Fair"
    )
    contact = await lead.convert_to_contact()
    assert (contact.name, contact.email, contact.phone) == ("Zoe", "zoe@new.example", "+1 212 555 0101")
    assert contact.lead_source == "Fair"
    assert (await lead.convert_to_contact()).pk == contact.pk
    again = await get_model("CrmLead").create(name="A door", email_from="ZOE@new.example")
    assert (await again.convert_to_contact()).pk == contact.pk
    with pytest.raises(UserError, match="names nobody"):
        await (await get_model("CrmLead").create(name="Anonymous")).convert_to_contact()


async def test_a_contact_stays_while_a_lead_with_it_is_open(host: Any) -> None:
    contact = await get_model("Contact").create(name="Zoe")
    lead = await get_model("CrmLead").create(name="Stairs", contact=contact)
    with pytest.raises(UserError, match="has open leads"):
        await contact.delete()
    lead.stage = "won"
    await lead.save()
    await contact.delete()
    await lead.refresh_from_db()
    assert lead.contact_id is None


async def test_the_pipeline_counts_each_stage(host: Any) -> None:
    (command,) = [one for addon, one in host.contributions.commands if (addon, one.name) == ("crm", "pipeline")]
    assert [tuple(row.values()) for row in await command.run([])] == [
        ("New", 1, "9800.00"),
        ("Qualified", 1, "14500.00"),
        ("Won", 0, "0.00"),
        ("Lost", 1, "2300.00"),
    ]


async def test_the_acknowledgement_goes_to_the_sender_and_only_when_asked(host: Any) -> None:
    lead = await get_model("CrmLead").create(name="A door", contact_name="Zoe", email_from="Zoe <zoe@new.example>")
    assert await get_model("Delivery").all().count() == 0
    message = await lead.send_template("lead_acknowledgement", author=await make_user("Tom"))
    assert message.subject == "Re: A door"
    assert [one.recipient async for one in get_model("Delivery").filter(message_id=message.pk)] == ["zoe@new.example"]
    assert "Dear Zoe," in message.body


async def test_a_followed_link_asks_for_a_call_once(host: Any) -> None:
    seller = await make_user("Anna")
    lead = await get_model("CrmLead").create(name="Oak tables", user=seller)
    message = await lead.post_note("<p>stands for a mail</p>")
    for _ in range(2):
        await host.hooks.emit("message_clicked", message=message, url="https://oak.example/<offer>")
    (activity,) = await get_model("Activity").filter(res_model="CrmLead", res_id=lead.pk)
    assert (activity.kind, activity.assignee_id) == ("Call", seller.pk)
    assert activity.note == "They followed https://oak.example/<offer>"
    await activity.finish()
    await get_model("CrmLead").filter(id=lead.pk).update(stage="lost")
    await host.hooks.emit("message_clicked", message=message, url="https://oak.example/")
    assert await get_model("Activity").filter(res_model="CrmLead", res_id=lead.pk).count() == 1


async def test_a_lead_is_won_with_its_contact(host: Any) -> None:
    leads = get_model("CrmLead")
    lead = await leads.create(name="Shelves", email_from="Mei Tanaka <mei@tanaka.example>")
    contact = await lead.mark_won()
    assert (lead.stage, lead.contact_id, contact.email) == ("won", contact.pk, "mei@tanaka.example")
    lost = await leads.create(name="Doors", stage="lost")
    with pytest.raises(UserError, match="take it up again"):
        await lost.mark_won()
