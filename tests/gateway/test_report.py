"""What delivery reports may do: a signed return path proves one, and nothing else does (SECURITY I9)."""

from __future__ import annotations

from typing import Any

import pytest

from core.gateway.values import Outcome
from core.mail.return_path import return_path
from core.mail.unsubscribe import unsubscribe_address
from core.runtime import Runtime, get_model
from tests.gateway.conftest import TOKEN, mail, sample
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
