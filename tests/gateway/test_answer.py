"""Automatic answers: once, to proven senders, with none of their words, through the queue; and mostly none at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core import clock
from core.delivery.outgoing import envelope_sender
from core.errors import UserError
from core.gateway import spool
from core.gateway.explain import explain
from core.gateway.receive import process
from core.gateway.values import Account, Outcome
from core.runtime import Runtime, get_model
from core.seed.apply import apply_addon
from tests.gateway.conftest import change_settings, mail

pytestmark = pytest.mark.anyio

PROVEN = "mx.our.test; dmarc=pass header.from="
REFUSAL = {"subject": "Not delivered", "content": "<p>{{ name }} knows no such address.</p>"}


def proven(subject: str, sender: str = "ada@customer.test", to: str = "nobody@our.test", **headers: str) -> bytes:
    result = f"Authentication-Results: {PROVEN}{sender.rpartition('@')[2]}\r\n"
    return result.encode() + mail(subject, to=to, sender=sender, message_id=f"<{subject}@customer.test>", **headers)


@pytest.fixture
async def polite(routes: dict[str, Any], host: Runtime) -> None:
    """A host that refuses politely and knows who writes, with a template in two languages."""
    change_settings(host, REFUSE_POLITELY=True, TRUSTED_AUTHSERV_ID="mx.our.test", SMTP_FROM_EMAIL="desk@our.test")
    await get_model("Company").create(name="Ours")
    model = await get_model("ModelRegistry").get(identifier="Company")
    template = await get_model("EmailTemplate").create(
        identifier="inbound_refusal", name="Refuse", model=model, **REFUSAL
    )
    await get_model("EmailTemplateVariant").create(
        template=template, language="de", subject="Nicht zugestellt", content="<p>{{ name }} kennt sie nicht.</p>"
    )


async def receive(*raws: bytes, way: str = "test") -> list[Account]:
    ids = [await spool.store(raw, f"{way}:{await get_model('InboundEmail').all().count()}") for raw in raws]
    return await process([spool_id for spool_id in ids if spool_id])


async def sent() -> list[Any]:
    return list(await get_model("Message").filter(direction="Outbound").order_by("id"))


async def test_an_unknown_address_is_refused_once_and_with_none_of_the_senders_words(polite: None) -> None:
    foretold = await explain(proven("Buy <b>now</b>"))
    accounts = await receive(proven("Buy <b>now</b>"), proven("Again"))
    assert foretold.answer == accounts[0].answer == "a refusal to its sender"
    assert [account.outcome for account in accounts] == [Outcome.UNMATCHED] * 2
    assert (accounts[1].answer or "").startswith("no refusal: its sender")
    (message,) = await sent()
    assert (message.email_to, message.subject) == (["ada@customer.test"], "Not delivered")
    assert message.body == "<p>Ours knows no such address.</p>"
    assert "uy" not in message.body + message.subject
    raw = await message.eml()
    assert b"Auto-Submitted: auto-replied" in raw
    assert b"In-Reply-To: <Buy" not in raw or b"\r\n" in raw
    assert b"Reply-To" not in raw.replace(b"In-Reply-To", b"")
    row = await get_model("InboundEmail").all().order_by("id").first()
    assert row.answer == "a refusal to its sender"


async def test_i8_an_answer_has_no_envelope_sender(polite: None) -> None:
    await receive(proven("Hello"))
    (message,) = await sent()
    assert envelope_sender({"presentation": message.presentation}, None) == ""


async def test_a_refusal_is_in_the_language_of_the_mail(polite: None) -> None:
    await receive(proven("Hallo", Content_Language="de-AT"))
    (message,) = await sent()
    assert message.subject == "Nicht zugestellt"


@pytest.mark.parametrize("language", ["", "../../etc", "x" * 500, "de\x00", "{{ 7*7 }}", "tlh"])
async def test_a_language_that_is_none_is_no_matter(polite: None, language: str) -> None:
    (account,) = await receive(proven("Hello", Content_Language=language))
    assert account.answer == "a refusal to its sender"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (b"Auto-Submitted: auto-generated\r\n", None),
        (b"Precedence: list\r\n", "Precedence is list"),
        (b"X-Auto-Response-Suppress: All\r\n", "X-Auto-Response-Suppress is all"),
        (b"List-Id: <news.x.test>\r\n", ""),
        (b"Return-Path: <>\r\n", None),
    ],
)
async def test_i8_no_program_and_no_list_is_answered(polite: None, lines: bytes, why: str | None) -> None:
    (account,) = await receive(lines + proven("Hello"))
    assert await sent() == []
    assert (account.answer or "").startswith(f"no refusal: {why}" if why else "no refusal" if why == "" else "")


async def test_i7_nobody_is_answered_whose_address_may_be_forged(polite: None) -> None:
    (account,) = await receive(mail("Forged", to="nobody@our.test", sender="victim@elsewhere.test"))
    assert (account.answer or "").startswith("no refusal: its sender is not proven")
    assert await sent() == []


async def test_i7_all_the_world_gets_so_many_answers_an_hour(polite: None, host: Runtime) -> None:
    change_settings(host, AUTO_ANSWERS_PER_HOUR=3)
    accounts = await receive(*(proven(f"Hello {number}", f"user{number}@customer.test") for number in range(6)))
    assert len(await sent()) == 3
    assert accounts[5].answer == "no refusal: 3 answers went out within an hour (AUTO_ANSWERS_PER_HOUR)"


async def test_an_address_is_answered_again_when_its_time_is_over(polite: None) -> None:
    await receive(proven("First"))
    await get_model("AutomaticAnswer").all().update(answered_at=clock.now() - timedelta(days=2))
    await receive(proven("Second"))
    assert len(await sent()) == 2


async def test_what_is_brought_in_by_hand_answers_nobody(polite: None) -> None:
    (account,) = await receive(proven("Archive"), way="load")
    assert account.answer == "no refusal: a person brought it in"


async def test_a_blind_copy_is_not_told_of_the_address(polite: None) -> None:
    (account,) = await receive(b"Delivered-To: secret@our.test\r\n" + proven("Blind", to="friend@customer.test"))
    assert account.answer == "no refusal: it does not name the address in To or Cc"


async def test_a_closed_alias_refuses_like_one_that_is_not_there(polite: None) -> None:
    await get_model("EmailRoute").create(address="board", target_model="Ticket", sender_policy="staff")
    (account,) = await receive(proven("Hello", to="board@our.test"))
    assert (account.outcome, account.answer) == (Outcome.UNMATCHED, "a refusal to its sender")


async def test_a_refusal_is_off_unless_asked_for(polite: None, host: Runtime) -> None:
    change_settings(host, REFUSE_POLITELY=False)
    (account,) = await receive(proven("Hello"))
    assert (account.answer, await sent()) == (None, [])


async def test_a_template_that_fails_costs_the_answer_and_not_the_mail(polite: None) -> None:
    await get_model("EmailTemplate").all().update(content="{{ 1 / 0 }}")
    (account,) = await receive(proven("Hello"))
    assert account.outcome is Outcome.UNMATCHED
    assert (account.answer or "").startswith("no refusal: ")
    assert await get_model("AutomaticAnswer").all().count() == 0


async def test_a_route_acknowledges_where_it_is_told_to(polite: None, routes: dict[str, Any]) -> None:
    model = await get_model("ModelRegistry").get(identifier="EmailRoute")
    template = await get_model("EmailTemplate").create(
        identifier="thanks", name="Thanks", model=model, subject="Thanks", content="<p>You wrote to {{ address }}.</p>"
    )
    routes["leads"].acknowledgement = template
    await routes["leads"].save()
    first, second, other = await receive(
        proven("One", to="leads@our.test"), proven("Two", to="leads@our.test"), proven("Three", to="orders@our.test")
    )
    assert first.answer == "an acknowledgement to its sender"
    assert (second.answer or "").startswith("no acknowledgement: its sender")
    assert other.answer is None
    (message,) = await sent()
    assert (message.res_model, message.body) == ("Ticket", "<p>You wrote to leads.</p>")
    entries = await get_model("Message").filter(res_model="Ticket", res_id=message.res_id).order_by("id")
    assert [entry.direction for entry in entries] == ["Inbound", "Outbound"]


async def test_i7_an_acknowledgement_can_say_nothing_of_a_record(polite: None, routes: dict[str, Any]) -> None:
    model = await get_model("ModelRegistry").get(identifier="Ticket")
    routes["leads"].acknowledgement = await get_model("EmailTemplate").create(
        identifier="echo", name="Echo", model=model, subject="{{ name }}", content="{{ description }}"
    )
    with pytest.raises(UserError, match="is for Ticket; choose one for EmailRoute"):
        await routes["leads"].save()


@pytest.mark.parametrize("language", ["en", "de", "es", "fr", "pl"])
async def test_the_shipped_texts_render_in_every_language(host: Runtime, language: str) -> None:
    await apply_addon(host, next(addon for addon in host.addons if addon.name == "core"))
    company = await get_model("Company").all().first()
    route = await get_model("EmailRoute").create(address="leads", target_model="Ticket", company=company)
    for identifier, record in (("inbound_refusal", company), ("inbound_acknowledgement", route)):
        template = await get_model("EmailTemplate").get(identifier=identifier)
        texts = await template.render_for(record, locale=language, strict=True, only=("subject", "content"))
        assert "My Company" in texts["content"]
        assert (language == "en") == (texts["subject"] == template.subject)
