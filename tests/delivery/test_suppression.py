"""Who must not be mailed, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core import clock
from core.delivery.suppression import suppress, suppressed, unsuppress
from core.errors import AddressError, UserError
from core.mail.suppression import Reason
from core.runtime import Runtime, get_model

pytestmark = pytest.mark.anyio


async def test_an_entry_without_a_list_blocks_all_mail_and_one_with_a_list_blocks_that_list(host: Runtime) -> None:
    await suppress("Ada@Customer.test", reason="hard_bounce", source="dsn", note="550 no such user")
    await suppress("bob@customer.test", reason="unsubscribe", list="news")
    found = await suppressed([
        (1, "ada@customer.TEST", None),
        (2, "ADA@customer.test", "news"),
        (3, "bob@customer.test", "news"),
        (4, "bob@customer.test", "offers"),
        (5, "bob@customer.test", None),
        (6, "kim@customer.test", "news"),
    ])  # fmt: skip
    assert set(found) == {1, 2, 3}
    assert "bounced" in found[1]
    assert "550 no such user" in found[1]
    assert "from the list news" in found[3]


async def test_nothing_is_asked_of_an_empty_list(host: Runtime) -> None:
    assert await suppressed([]) == {}


async def test_an_entry_ends_at_its_time(host: Runtime) -> None:
    await suppress("ada@customer.test", reason="soft_bounce", expires_at=clock.now() - timedelta(seconds=1))
    assert await suppressed([(1, "ada@customer.test", None)]) == {}
    await suppress("ada@customer.test", reason="soft_bounce", expires_at=clock.now() + timedelta(days=1))
    assert set(await suppressed([(1, "ada@customer.test", None)])) == {1}


async def test_the_later_end_counts_and_the_newer_words(host: Runtime) -> None:
    await suppress("ada@customer.test", reason="manual", note="first")
    await suppress("Ada@customer.test", reason="manual", note="second", expires_at=clock.now())
    (entry,) = await get_model("Suppression").all()
    assert (entry.address, entry.note, entry.expires_at) == ("ada@customer.test", "second", None)


async def test_an_address_is_written_to_again(host: Runtime) -> None:
    for reason in Reason:
        await suppress("ada@customer.test", reason=reason)
    await suppress("ada@customer.test", reason="unsubscribe", list="news")
    assert await unsuppress("ADA@customer.test", reason="complaint") == 1
    assert await unsuppress("ADA@customer.test") == len(Reason) - 1
    assert await unsuppress("ada@customer.test", list=None) == 1
    assert await suppressed([(1, "ada@customer.test", "news")]) == {}


@pytest.mark.parametrize("wrong", ["", "nobody", "a b@customer.test", "x" * 320 + "@customer.test", "ada@"])
async def test_what_is_no_address_is_refused(host: Runtime, wrong: str) -> None:
    with pytest.raises(AddressError):
        await suppress(wrong, reason="manual")


async def test_a_record_is_stored_under_the_address_that_is_compared(host: Runtime) -> None:
    await get_model("Suppression").create(address=" Ada@BÜCHER.example ", reason="manual")
    assert set(await suppressed([(1, "ada@xn--bcher-kva.example", None)])) == {1}


async def test_the_list_of_all_lists_leaves_alone_what_is_no_lists_mail(host: Runtime) -> None:
    await suppress("ada@customer.test", reason="unsubscribe", list="*")
    found = await suppressed([(1, "ada@customer.test", None), (2, "ada@customer.test", "news")])
    assert set(found) == {2}
    assert "from every list" in found[2]


@pytest.mark.parametrize("address", ["a\0@b.test", "a\x1b[2J@b.test", "a@b.test,c@d.test", "A <a@b.test>", "a@b.test;"])
async def test_what_no_mail_could_be_for_is_no_address(host: Runtime, address: str) -> None:
    with pytest.raises(AddressError, match="is not an address"):
        await suppress(address, reason="manual")


async def test_words_that_no_database_keeps_are_kept_without_that(host: Runtime) -> None:
    await suppress("ada@customer.test", reason="manual", list="ne\0ws", note="asked\0", source="page\0")
    (entry,) = await get_model("Suppression").all()
    assert (entry.list, entry.note, entry.source) == ("news", "asked", "page")


async def test_an_end_that_not_every_zone_has_is_refused(host: Runtime) -> None:
    with pytest.raises(UserError, match="9999"):
        await suppress("ada@customer.test", reason="manual", expires_at=datetime.max.replace(tzinfo=UTC))
