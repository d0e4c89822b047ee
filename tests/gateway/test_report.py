"""What delivery reports may do: a signed return path proves one, and nothing else does (SECURITY I9)."""

from __future__ import annotations

from typing import Any

import pytest

from core.gateway.explain import explain
from core.gateway.values import Outcome
from core.mail.return_path import return_path
from core.mail.unsubscribe import unsubscribe_address
from core.runtime import Runtime, get_model
from tests.gateway.conftest import ORIGINAL, TOKEN, mail, sample
from tests.gateway.test_receive import receive

pytestmark = pytest.mark.anyio


def report_to(address: str) -> bytes:
    return sample("bounce").replace(f"bounce+{TOKEN}@our.test".encode(), address.encode())


async def suppressed_addresses() -> list[str]:
    found: list[str] = await get_model("Suppression").all().values_list("address", flat=True)
    return found


@pytest.fixture
def signed(host: Runtime, invoice: Any) -> str:
    return return_path(host.settings.secret_keys, "bounce", "our.test", invoice.sent_message.id)


async def test_a_report_to_a_signed_return_path_suppresses(invoice: Any, signed: str) -> None:
    (account,) = await receive(report_to(signed.upper()))
    assert (account.outcome, account.record) == (Outcome.BOUNCE, f"Ticket:{invoice.id}")
    assert "signed return path" in account.trace[-1].reason
    delivery = await get_model("Delivery").get(recipient="Gone@customer.test")
    assert (delivery.bounce_kind, await suppressed_addresses()) == ("hard", ["gone@customer.test"])
    event = await get_model("MailEvent").get()
    assert (event.provider, event.proven, event.delivery_id) == ("report", True, delivery.id)


async def test_i9_what_every_recipient_knows_suppresses_nobody(host: Runtime, invoice: Any, signed: str) -> None:
    other = return_path(("another key",), "bounce", "our.test", invoice.sent_message.id)
    forged = (
        f"bounce+{TOKEN}@our.test",
        f"catchall+{TOKEN}@our.test",
        other,
        f"{signed.partition('@')[0][:-1]}2@our.test",
    )
    for address in forged:
        await receive(report_to(address))
    assert await suppressed_addresses() == []
    assert await get_model("Delivery").filter(bounce_kind="hard").count() == 0


async def test_i9_a_signed_return_path_suppresses_only_who_got_that_mail(invoice: Any, signed: str) -> None:
    await receive(report_to(signed).replace(b"rfc822; gone@customer.test", b"rfc822; boss@customer.test"))
    assert await suppressed_addresses() == []


@pytest.mark.parametrize("kind", ["bounce", "complaint", "unsubscribe"])
async def test_i9_the_address_of_one_recipient_harms_no_other(host: Runtime, invoice: Any, kind: str) -> None:
    """Who got the mail knows the return path of that copy, and may write any report to it."""
    ada = await get_model("Delivery").get(recipient="ada@customer.test")
    keys, message_id = host.settings.secret_keys, invoice.sent_message.id
    path = return_path(keys, "bounce", "our.test", message_id, ada.id)
    unsubscribe = unsubscribe_address(keys, "our.test", message_id, ada.id)
    await receive({
        "bounce": report_to(path),
        "complaint": complaint("abuse", path=path, recipient="gone@customer.test"),
        "unsubscribe": complaint("abuse", unsubscribe=unsubscribe, recipient="gone@customer.test"),
    }[kind])  # fmt: skip
    assert await suppressed_addresses() == ["ada@customer.test"]


async def test_the_same_report_twice_counts_once(invoice: Any, signed: str) -> None:
    await receive(report_to(signed))
    await get_model("Suppression").all().delete()
    await receive(report_to(signed))
    assert await suppressed_addresses() == []
    assert await get_model("MailEvent").all().count() == 1


async def test_a_report_of_a_delay_is_told_and_marks_nothing(invoice: Any, signed: str) -> None:
    raw = report_to(signed).replace(b"Action: failed", b"Action: delayed").replace(b"5.1.1", b"4.4.1")
    (account,) = await receive(raw)
    entry = await get_model("Message").get(id=account.message)
    assert "is delayed" in entry.text
    assert await get_model("Delivery").filter(bounced_at__isnull=False).count() == 0


async def test_a_report_is_escaped_where_it_is_shown(invoice: Any, signed: str) -> None:
    raw = report_to(signed).replace(b"no such user\r\n", b"<img src=x onerror=1>\r\n")
    (account,) = await receive(raw)
    entry = await get_model("Message").get(id=account.message)
    assert "<img" not in entry.body
    assert "<img" in entry.text


async def test_a_mail_to_the_signed_address_takes_its_recipient_off_the_list(host: Runtime, invoice: Any) -> None:
    await get_model("Message").filter(id=invoice.sent_message.id).update(unsubscribe_list="news")
    delivery = await get_model("Delivery").get(recipient="ada@customer.test")
    keys = host.settings.secret_keys
    address = unsubscribe_address(keys, "our.test", invoice.sent_message.id, delivery.id)
    forged = unsubscribe_address(("another key",), "our.test", invoice.sent_message.id, delivery.id)
    (refused,) = await receive(mail("unsubscribe", to=forged, sender="eve@spam.test"))
    assert (refused.outcome, await suppressed_addresses()) == (Outcome.UNMATCHED, [])
    (account,) = await receive(mail("unsubscribe", to=address, Auto_Submitted="auto-generated"))
    assert account.outcome is Outcome.UNSUBSCRIBED
    entry = await get_model("Suppression").get()
    assert (entry.address, entry.list, entry.reason) == ("ada@customer.test", "news", "unsubscribe")


def complaint(feedback: str, *, path: str = "", recipient: str = "", unsubscribe: str = "") -> bytes:
    fields = [f"Feedback-Type: {feedback}", "User-Agent: SomeISP/1.0", "Version: 1"]
    fields += [f"Original-Mail-From: <{path}>"] if path else []
    fields += [f"Original-Rcpt-To: <{recipient}>"] if recipient else []
    listed = f"List-Unsubscribe: <mailto:{unsubscribe}>\r\n" if unsubscribe else ""
    body = "\r\n".join(fields)
    return (
        "From: feedback@isp.test\r\nTo: abuse@our.test\r\nSubject: Abuse report\r\nMessage-ID: <arf@isp.test>\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\r\n\r\n'
        f"--b\r\nContent-Type: message/feedback-report\r\n\r\n{body}\r\n\r\n"
        f"--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: {ORIGINAL}\r\n{listed}Subject: News\r\n\r\nHello\r\n"
        "--b--\r\n"
    ).encode()


async def test_a_proven_complaint_suppresses(invoice: Any, signed: str) -> None:
    (account,) = await receive(complaint("abuse", path=signed, recipient="Ada@customer.test"))
    assert (account.outcome, account.record) == (Outcome.COMPLAINT, f"Ticket:{invoice.id}")
    assert await suppressed_addresses() == ["ada@customer.test"]
    assert (await get_model("Delivery").get(recipient="ada@customer.test")).complained_at is not None
    entry = await get_model("Message").get(id=account.message)
    assert (entry.kind, entry.direction) == ("system", "Internal")
    assert entry.text == "ada@customer.test reported the mail as unwanted; nothing is sent there any more."


async def test_i9_a_signed_way_off_a_list_proves_no_more_than_that(host: Runtime, invoice: Any) -> None:
    delivery = await get_model("Delivery").get(recipient="ada@customer.test")
    address = unsubscribe_address(host.settings.secret_keys, "our.test", invoice.sent_message.id, delivery.id)
    await get_model("Message").filter(id=invoice.sent_message.id).update(unsubscribe_list="news")
    (account,) = await receive(complaint("abuse", unsubscribe=address, recipient="redacted@isp.test"))
    assert account.outcome is Outcome.COMPLAINT
    entry = await get_model("Suppression").get()
    assert (entry.address, entry.list, entry.reason) == ("ada@customer.test", "news", "unsubscribe")


async def test_opting_out_unsubscribes(invoice: Any, signed: str) -> None:
    await get_model("Message").filter(id=invoice.sent_message.id).update(unsubscribe_list="news")
    await receive(complaint("opt-out", path=signed, recipient="ada@customer.test"))
    entry = await get_model("Suppression").get()
    assert (entry.address, entry.list, entry.reason) == ("ada@customer.test", "news", "unsubscribe")


async def test_i9_a_complaint_that_nothing_proves_suppresses_nobody(invoice: Any) -> None:
    other = return_path(("another key",), "bounce", "our.test", invoice.sent_message.id)
    (account,) = await receive(complaint("abuse", path=other, recipient="ada@customer.test"))
    assert account.outcome is Outcome.COMPLAINT
    entry = await get_model("Message").get(id=account.message)
    assert entry.text.splitlines() == [
        "ada@customer.test reported the mail as unwanted.",
        "Nothing proves this report, so no address is suppressed for it.",
    ]
    assert await suppressed_addresses() == []
    assert await get_model("Delivery").filter(complained_at__isnull=False).count() == 0


async def test_i9_a_proven_complaint_counts_only_for_who_got_the_mail(invoice: Any, signed: str) -> None:
    await receive(complaint("abuse", path=signed, recipient="boss@customer.test"))
    assert await suppressed_addresses() == []


@pytest.mark.parametrize("feedback", ["not-spam", "auth-failure", "virus", "other"])
async def test_other_feedback_is_set_aside(invoice: Any, signed: str, feedback: str) -> None:
    (account,) = await receive(complaint(feedback, path=signed, recipient="ada@customer.test"))
    assert (account.outcome, account.record) == (Outcome.REPORT, None)
    assert await suppressed_addresses() == []


def receipt(disposition: str, message_id: str = ORIGINAL, recipient: str = "ada@customer.test") -> bytes:
    return (
        f"From: {recipient}\r\nTo: catchall@our.test\r\nSubject: Read: Your invoice\r\n"
        f"Message-ID: <{disposition}@x.test>\r\n"
        'Content-Type: multipart/report; report-type=disposition-notification; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: message/disposition-notification\r\n\r\n"
        f"Final-Recipient: rfc822; {recipient}\r\nOriginal-Message-ID: {message_id}\r\n"
        f"Disposition: manual-action/MDN-sent-manually; {disposition}\r\n\r\n--b--\r\n"
    ).encode()


async def test_a_read_receipt_marks_the_copy_as_opened_once(invoice: Any) -> None:
    (account,) = await receive(receipt("displayed"))
    assert (account.outcome, account.record) == (Outcome.RECEIPT, f"Ticket:{invoice.id}")
    delivery = await get_model("Delivery").get(recipient="ada@customer.test")
    assert (delivery.open_count, delivery.opened_at is not None) == (1, True)
    entry = await get_model("Message").get(id=account.message)
    assert entry.text == "ada@customer.test opened the mail, as a read receipt says."
    await receive(receipt("displayed").replace(b"<displayed@", b"<again@"))
    message = await get_model("Message").get(id=invoice.sent_message.id)
    assert (message.open_count, message.opened_at is not None) == (1, True)


@pytest.mark.parametrize("disposition", ["deleted", "dispatched"])
async def test_a_mail_that_was_deleted_unread_is_not_opened(invoice: Any, disposition: str) -> None:
    (account,) = await receive(receipt(disposition))
    assert account.outcome is Outcome.RECEIPT
    assert await get_model("Delivery").filter(opened_at__isnull=False).count() == 0


async def test_i9_a_receipt_of_a_stranger_marks_nothing(invoice: Any) -> None:
    await receive(receipt("displayed", recipient="eve@spam.test"))
    (other,) = await receive(receipt("displayed", message_id="<nobody@x.test>").replace(b"<displayed@", b"<other@"))
    assert (other.outcome, other.record) == (Outcome.RECEIPT, None)
    assert await get_model("Delivery").filter(opened_at__isnull=False).count() == 0


CHALLENGE = mail(
    "Re: Your invoice",
    to=f"catchall+{TOKEN}@our.test",
    Auto_Submitted="auto-replied",
    body="Your message is being held. Please click to confirm it: https://filter.test/1",
)


async def test_a_challenge_is_shown_to_the_author_and_is_no_reply(invoice: Any, routes: dict[str, Any]) -> None:
    user = await get_model("User").create(login="grace@our.test", name="Grace")
    await get_model("Message").filter(id=invoice.sent_message.id).update(author_id=user.id)
    (account,) = await receive(CHALLENGE)
    assert (account.outcome, account.record) == (Outcome.CHALLENGE, f"Ticket:{invoice.id}")
    entry = await get_model("Message").get(id=account.message)
    assert (entry.kind, entry.direction) == ("system", "Internal")
    assert "https://filter.test/1" in entry.body
    assert await get_model("Notification").filter(message_id=entry.id, user_id=user.id).count() == 1


async def test_a_challenge_to_nothing_that_is_known_waits_for_a_person(routes: dict[str, Any]) -> None:
    (account,) = await receive(CHALLENGE.replace(TOKEN.encode(), b"0" * 32))
    row = await get_model("InboundEmail").get()
    assert (account.outcome, row.state) == (Outcome.CHALLENGE, "unmatched")


async def test_an_automatic_answer_is_noted_and_is_no_reply(invoice: Any, told: list[tuple[str, Any]]) -> None:
    (account,) = await receive(
        mail("Automatic reply: Your invoice", to=f"catchall+{TOKEN}@our.test", body="I am away until Monday.")
    )
    assert (account.outcome, account.record) == (Outcome.AUTOMATIC, f"Ticket:{invoice.id}")
    entry = await get_model("Message").get(id=account.message)
    assert (entry.kind, entry.direction, entry.author_contact_id) == ("system", "Internal", None)
    assert entry.text.splitlines()[-1] == "I am away until Monday."
    assert [name for name, _ in told if name != "posted"] == []


async def test_an_automatic_answer_to_the_return_path_is_noted(invoice: Any, signed: str) -> None:
    (account,) = await receive(mail("Out of Office AutoReply: Your invoice", to=signed))
    assert (account.outcome, account.record) == (Outcome.AUTOMATIC, f"Ticket:{invoice.id}")
    assert await suppressed_addresses() == []


async def test_an_automatic_answer_to_nothing_that_is_known_is_set_aside(routes: dict[str, Any]) -> None:
    (account,) = await receive(mail("Automatic reply: Your invoice", to="leads@our.test"))
    assert (account.outcome, account.record) == (Outcome.AUTOMATIC, None)
    assert await get_model("Ticket").all().count() == 0


async def test_a_report_that_names_nobody_is_of_whom_the_signed_path_names(host: Runtime, invoice: Any) -> None:
    delivery = await get_model("Delivery").get(recipient="ada@customer.test")
    keys = host.settings.secret_keys
    personal = return_path(keys, "bounce", "our.test", invoice.sent_message.id, delivery.id)
    text = "Your message could not be delivered."
    (account,) = await receive(mail("Undeliverable", to=personal, sender="postmaster@customer.test", body=text))
    entry = await get_model("Message").get(id=account.message)
    assert entry.text.startswith("The mail to ada@customer.test could not be delivered:")
    assert (await get_model("Delivery").get(id=delivery.id)).bounce_kind == "soft"


async def test_a_report_that_gives_back_our_return_path_is_proven_by_it(invoice: Any, signed: str) -> None:
    raw = report_to("postmaster@our.test").replace(
        b"Message-ID: " + ORIGINAL.encode(), b"Return-Path: <" + signed.encode() + b">"
    )
    assert signed.encode() in raw
    foretold = await explain(raw)
    (account,) = await receive(raw)
    assert (account.outcome, foretold.outcome) == (Outcome.BOUNCE, Outcome.BOUNCE)
    assert await suppressed_addresses() == ["gone@customer.test"]
