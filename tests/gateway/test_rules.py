"""Aliases, forwards, circles, copies and what is left: one question each, with the answer in words."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from core import clock
from core.gateway import spool
from core.gateway.receive import process
from core.gateway.values import Account, Outcome
from core.mail.return_path import return_path
from core.runtime import Runtime, get_model
from core.runtime import settings as values
from tests.gateway.conftest import ORIGINAL, TOKEN, change_settings, mail, sample

pytestmark = pytest.mark.anyio


async def receive(*raws: bytes, way: str = "test") -> list[Account]:
    ids = [await spool.store(raw, f"{way}:{await get_model('InboundEmail').all().count()}") for raw in raws]
    return await process([spool_id for spool_id in ids if spool_id])


def written_now() -> str:
    return format_datetime(clock.now())


def models(account: Account) -> list[str]:
    """The models of all that a mail became, in order."""
    return [name.partition(":")[0] for name in account.records or ([account.record] if account.record else [])]


# Aliases.


async def test_a_mail_to_several_aliases_becomes_a_record_of_each(routes: dict[str, Any]) -> None:
    (account,) = await receive(mail("Both", to="leads@our.test, orders@our.test", Cc="support@our.test"))
    assert models(account) == ["Ticket", "Order", "Ticket"]
    assert account.record == account.records[0]
    assert await get_model("Message").filter(direction="Inbound").count() == 3


async def test_one_alias_named_often_is_one_record_and_the_tag_is_data(
    routes: dict[str, Any], host: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags: list[str] = []
    filtered = host.hooks.filter

    async def noting(name: str, value: Any, **given: Any) -> Any:
        tags.extend([given["route"].tag] if name == "filter_route_values" else [])
        return await filtered(name, value, **given)

    monkeypatch.setattr(host.hooks, "filter", noting)
    (account,) = await receive(mail("Tagged", to="leads+fair.2025@our.test, LEADS@our.test, leads+b@our.test"))
    assert models(account) == ["Ticket"]
    assert tags == ["fair.2025"]


@pytest.mark.parametrize("written", ["anfragen@bücher.test", "Anfragen@xn--bcher-kva.TEST", "anfragen@BÜCHER.test"])
async def test_an_alias_at_a_domain_of_any_script(host: Runtime, written: str) -> None:
    await get_model("EmailRoute").create(address="anfragen", domain="bücher.test", target_model="Ticket")
    (account,) = await receive(mail("IDN", to=written))
    assert account.outcome is Outcome.RECORD


@pytest.mark.parametrize("header", ["Delivered-To", "X-Original-To", "Envelope-To", "Resent-To", "X-Envelope-To"])
async def test_a_blind_copy_is_known_by_what_the_server_wrote(routes: dict[str, Any], header: str) -> None:
    (account,) = await receive(f"{header}: leads@our.test\r\n".encode() + mail("Blind", to="friend@customer.test"))
    assert models(account) == ["Ticket"]


async def test_the_mailbox_that_is_fetched_is_no_recipient_unless_it_was_written_to(routes: dict[str, Any]) -> None:
    await get_model("IncomingMailServer").create(name="All", server="imap.our.test", username="Support@our.test")
    through = b"Delivered-To: support@our.test\r\n"
    order, ticket, alone = await receive(
        through + mail("Order", to="orders@our.test"),
        through + mail("Both", to="orders@our.test, support@our.test"),
        through + mail("Blind", to="friend@customer.test"),
    )
    assert [models(one) for one in (order, ticket, alone)] == [["Order"], ["Ticket", "Order"], ["Ticket"]]


async def test_the_fallback_takes_what_nothing_else_did(routes: dict[str, Any], host: Runtime) -> None:
    change_settings(host, FALLBACK_ALIAS="support")
    (account,) = await receive(mail("Lost", to="nobody@elsewhere.test"))
    assert (models(account), account.trace[-1].rule) == (["Ticket"], "fallback")
    change_settings(host, FALLBACK_ALIAS="suport@our.test")
    (account,) = await receive(mail("Lost again", to="nobody@elsewhere.test"))
    assert account.outcome is Outcome.UNMATCHED
    assert "no active route has that alias" in account.trace[-2].reason


async def test_i1_a_guessed_reply_address_goes_nowhere_be_there_what_may(routes: dict[str, Any], host: Runtime) -> None:
    change_settings(host, FALLBACK_ALIAS="support", REFUSE_POLITELY=True)
    await get_model("EmailRoute").create(address="*", target_model="Ticket")
    accounts = await receive(
        mail("1", to=f"catchall+{'f' * 32}@our.test"),
        mail("2", to="catchall+x@our.test"),
        mail("3", to="bounce@our.test"),
    )
    assert [account.outcome for account in accounts[:1]] == [Outcome.UNMATCHED]
    assert accounts[0].answer is None
    assert "fallback" not in [step.rule for step in accounts[0].trace if step.hit]


async def test_an_alias_that_is_nearly_spelt_right_is_named(routes: dict[str, Any]) -> None:
    (account,) = await receive(mail("Typo", to="leeds@our.test"))
    assert account.trace[-1].reason == (
        "no alias and no message is known for leeds@our.test; leads is spelt much like it"
    )


# Replies and forwards.


async def test_a_reply_that_goes_to_another_models_alias_too_is_both(routes: dict[str, Any], invoice: Any) -> None:
    own = f"catchall+{TOKEN}@our.test"
    (account,) = await receive(mail("Re: invoice", to=own, Cc="orders@our.test"))
    assert account.outcome is Outcome.REPLY
    assert models(account) == ["Ticket", "Order"]
    assert account.record == f"Ticket:{invoice.id}"
    assert "and it goes to orders@our.test too" in account.trace[-1].reason
    told = await get_model("Message").filter(kind="system").order_by("id").values_list("res_model", "text")
    assert told == [
        ("Ticket", f"A mail about this was forwarded and became {account.records[1]}."),
        ("Order", f"The mail refers to a message of Ticket:{invoice.id}."),
    ]


async def test_a_forward_by_cc_creates_there_and_is_linked(routes: dict[str, Any], invoice: Any) -> None:
    (account,) = await receive(mail("Fwd", to="bob@customer.test", Cc="orders@our.test", In_Reply_To=ORIGINAL))
    assert models(account) == ["Order"]
    assert f"it refers to Ticket:{invoice.id}" in account.trace[-1].reason
    assert await get_model("Message").filter(res_model="Ticket", res_id=invoice.id, kind="system").count() == 1


async def test_a_reply_is_no_forward_to_an_alias_that_would_not_have_it(invoice: Any, host: Runtime) -> None:
    route = get_model("EmailRoute")
    await route.create(address="board", target_model="Order", target_name_field="title", sender_policy="staff")
    (account,) = await receive(mail("Re: invoice", to="board@our.test", In_Reply_To=ORIGINAL))
    assert (account.outcome, account.record) == (Outcome.REPLY, f"Ticket:{invoice.id}")


async def test_the_newest_known_reference_counts_and_in_reply_to_before_all(
    routes: dict[str, Any], invoice: Any
) -> None:
    other = await get_model("Ticket").create(name="Other")
    await get_model("Message").create(res_model="Ticket", res_id=other.id, message_id="<other@our.test>")
    newest, answered = await receive(
        mail("1", to="x@x.test", References=f"{ORIGINAL} <other@our.test> <unknown@x.test>"),
        mail("2", to="x@x.test", References=f"{ORIGINAL} <other@our.test>", In_Reply_To=ORIGINAL),
    )
    assert newest.record == f"Ticket:{other.id}"
    assert answered.record == f"Ticket:{invoice.id}"


async def test_outlooks_thread_index_leads_nowhere(invoice: Any) -> None:
    (account,) = await receive(
        mail("RE: Your invoice", to="x@our.test", Thread_Topic="Your invoice", Thread_Index="AdXyz+1234567890abcdefg==")
    )
    assert account.outcome is Outcome.UNMATCHED


async def test_the_token_of_a_deleted_record_falls_to_what_else_is_named(routes: dict[str, Any], invoice: Any) -> None:
    await get_model("Ticket").filter(id=invoice.id).delete()
    alone, beside = await receive(
        mail("Re: 1", to=f"catchall+{TOKEN}@our.test"), mail("Re: 2", to=f"catchall+{TOKEN}@our.test, leads@our.test")
    )
    assert alone.outcome is Outcome.UNMATCHED
    assert models(beside) == ["Ticket"]


# Own mail and circles.


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b"X-Loop: leads@our.test\r\n", "its X-Loop says that it passed our leads@our.test"),
        (
            b"Delivered-To: leads@our.test\r\nReceived: by b.test\r\nDelivered-To: leads@our.test\r\n",
            "it was delivered to leads@our.test before, and came round again",
        ),
        (b"Return-Path: <catchall@our.test>\r\n", "its envelope sender is our own catchall@our.test"),
        (b"Received: by x.test\r\n" * 31, "it has passed 31 servers, more than 30"),
    ],
)
async def test_i8_what_goes_round_goes_no_further(routes: dict[str, Any], lines: bytes, reason: str) -> None:
    (account,) = await receive(lines + mail("Round"))
    assert (account.outcome, account.trace[-1].reason) == (Outcome.LOOP, reason)


async def test_what_only_looks_like_a_circle_passes(routes: dict[str, Any], host: Runtime) -> None:
    change_settings(host, LOOP_HOPS=40)
    accounts = await receive(
        b"X-Loop: list@elsewhere.test\r\n" + mail("1"),
        b"Delivered-To: leads@our.test\r\nDelivered-To: leads@our.test\r\n" + mail("2"),
        b"Received: by x.test\r\n" * 39 + mail("3"),
        b"Return-Path: <orders@our.test>\r\n" + mail("4"),
    )
    assert [account.outcome for account in accounts] == [Outcome.RECORD] * 4


async def test_our_own_return_path_as_envelope_sender_is_our_own_mail(invoice: Any) -> None:
    ours = return_path(values().secret_keys, "bounce", "our.test", invoice.sent_message.id)
    (account,) = await receive(f"Return-Path: <{ours}>\r\n".encode() + mail("Back", to="x@our.test"))
    assert account.outcome is Outcome.LOOP


async def test_who_writes_too_often_waits_for_a_person_and_nothing_is_lost(
    routes: dict[str, Any], host: Runtime
) -> None:
    change_settings(host, LOOP_MAILS_PER_HOUR=3)
    accounts = [(await receive(mail(f"Away {number}", Date=written_now())))[0] for number in range(5)]
    accounts += await receive(mail("Other alias", to="orders@our.test"), mail("Other", sender="bob@customer.test"))
    assert [account.outcome for account in accounts] == [
        *([Outcome.RECORD] * 3 + [Outcome.LOOP] * 2),
        *([Outcome.RECORD] * 2),
    ]
    assert "ada@customer.test wrote 3 times to leads@our.test within an hour" in accounts[3].trace[-1].reason
    states = await get_model("InboundEmail").filter(outcome="loop").values_list("state", flat=True)
    assert states == ["unmatched", "unmatched"]


async def test_a_batch_counts_its_own_mails(routes: dict[str, Any], host: Runtime) -> None:
    change_settings(host, LOOP_MAILS_PER_HOUR=3)
    accounts = await receive(*(mail(f"Away {number}", Date=written_now()) for number in range(6)))
    assert [account.outcome for account in accounts] == [Outcome.RECORD] * 3 + [Outcome.LOOP] * 3


async def test_an_old_mailbox_and_an_archive_are_no_flood(routes: dict[str, Any], host: Runtime) -> None:
    change_settings(host, LOOP_MAILS_PER_HOUR=2)
    old = format_datetime(clock.now() - timedelta(days=30))
    fetched = await receive(*(mail(f"Old {number}", Date=old) for number in range(5)))
    loaded = await receive(*(mail(f"Loaded {number}", Date=written_now()) for number in range(5)), way="load")
    assert {account.outcome for account in (*fetched, *loaded)} == {Outcome.RECORD}
    change_settings(host, LOOP_MAILS_PER_HOUR=0)
    assert {
        one.outcome for one in await receive(*(mail(f"New {number}", Date=written_now()) for number in range(5)))
    } == {Outcome.RECORD}


# Copies.


async def test_a_mail_that_came_by_webhook_and_by_imap_is_one_record_and_two_deliveries(
    routes: dict[str, Any],
) -> None:
    await get_model("IncomingMailServer").create(name="All", server="imap.our.test", username="box@our.test")
    raw = sample("plain")
    (first,) = await receive(raw, way="webhook")
    (second,) = await receive(
        b"Delivered-To: box@our.test\r\nReceived: by imap.our.test\r\n" + raw, way="imap:1:INBOX:1"
    )
    assert (first.outcome, second.outcome) == (Outcome.RECORD, Outcome.DUPLICATE)
    assert second.record == first.record
    one, two = await get_model("InboundEmail").all().order_by("id")
    assert (two.original_id, two.res_id, two.message_id) == (one.id, one.res_id, None)
    assert f"which led to {first.record}" in second.trace[-1].reason
    assert await get_model("Ticket").all().count() == 1


async def test_i4_another_mail_with_the_same_message_id_is_another_mail(routes: dict[str, Any]) -> None:
    wanted = {"message_id": "<wanted@customer.test>"}
    accounts = await receive(mail("Squat", **wanted), mail("Wanted", **wanted), mail("Wanted", **wanted, body="Other."))
    assert [account.outcome for account in accounts] == [Outcome.RECORD] * 3


# Whose it is.


async def test_a_mail_is_its_companys_or_the_administrators_alone(host: Runtime) -> None:
    company = await get_model("Company").create(name="Ours")
    await get_model("Company").create(name="Theirs")
    route = get_model("EmailRoute")
    await route.create(address="leads", domain="ours.test", target_model="Ticket", company=company)
    await route.create(address="info", target_model="Ticket")
    matched, at_domain, nobody = await receive(
        mail("1", to="leads@ours.test"), mail("2", to="typo@ours.test"), mail("3", to="typo@our.test")
    )
    assert [one.company_id for one in (matched, at_domain, nobody)] == [company.id, company.id, None]
    rows = await get_model("InboundEmail").all().order_by("id").values_list("company_id", "recipient")
    assert rows == [(company.id, "leads@ours.test"), (company.id, ""), (None, "")]
