"""Opens and clicks in the database, on both kinds: events, roll-ups, bursts, bounds, busy rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from core import clock
from core.clock import clock_at
from core.runtime import Runtime, get_model
from core.web import tracking_ledger
from core.web.tracking_hits import Hit, Tally
from core.web.tracking_ledger import TrackingLedger
from core.web.tracking_verdict import Reason
from tests.databases import both as database_url
from tests.delivery.conftest import hook

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROLL_UPS = ("open_count", "opened_at", "click_count", "clicked_at")


@pytest.fixture
def settings() -> dict[str, object]:
    return {}


@pytest.fixture
async def delivery(host: Runtime) -> Any:
    message = await get_model("Message").create(
        direction="Outbound", subject="Offer", tracking_identifier="abc123", send_state="Sent", sent_at=AT
    )
    return await get_model("Delivery").create(
        message=message, recipient="kim@x.example", state="sent", due_at=AT, begun_at=AT
    )


def hit(delivery: Any, url: str = "", *, agent: str = FIREFOX, ip: str = "192.0.2.77", hint: Any = None) -> Hit:
    return Hit(delivery.pk, "", url, ip, agent, hint)


async def store(*seen: tuple[Hit, float] | tuple[Hit, float, int]) -> Mapping[Hit, Tally]:
    """Store hits, each with the seconds after the send, and how often it came."""
    ledger = TrackingLedger()
    tallies = {one[0]: Tally(one[2] if len(one) == 3 else 1, AT + timedelta(seconds=one[1])) for one in seen}
    left = await ledger.store(tallies)
    await ledger.aclose()
    return left


async def roll_ups(record: Any) -> tuple[Any, ...]:
    await record.refresh_from_db()
    return tuple(getattr(record, name) for name in ROLL_UPS)


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


async def test_people_are_counted_and_machines_are_kept_apart(delivery: Any) -> None:
    await store(
        (hit(delivery), 60, 3),
        (hit(delivery, hint=Reason.HEAD), 61),
        (hit(delivery, agent="Slackbot 1.0"), 62),
        (hit(delivery, "https://x.example/?a=<b>"), 90),
    )
    await store((hit(delivery), 500, 2))
    message = await delivery.message
    for record in (delivery, message):
        assert await roll_ups(record) == (5, after(60), 1, after(90))
    events = await get_model("TrackingEvent").filter(delivery_id=delivery.pk).order_by("at")
    assert [(one.kind, one.count, one.verdict, one.reason) for one in events] == [
        ("open", 3, "human", ""),
        ("open", 1, "machine", "head"),
        ("open", 1, "machine", "scanner"),
        ("click", 1, "human", ""),
        ("open", 2, "human", ""),
    ]
    assert {(one.ip, one.user_agent, one.message_id) for one in events if not one.reason} == {
        ("192.0.2.0", FIREFOX, message.pk)
    }
    assert events[3].url == "https://x.example/?a=<b>"


async def test_a_click_is_an_open_too(delivery: Any) -> None:
    await store((hit(delivery, "https://x.example/"), 30))
    assert await roll_ups(delivery) == (0, after(30), 1, after(30))


LINK, OTHER_LINK = "https://x.example/1", "https://x.example/2"


async def test_an_open_and_a_click_right_after_the_send_are_a_person_s_even_of_a_library(delivery: Any) -> None:
    await store((hit(delivery, agent="python-httpx2/2.0"), 0.1))
    await store((hit(delivery, LINK, agent="python-httpx2/2.0"), 0.2))
    for record in (delivery, await delivery.message):
        assert await roll_ups(record) == (1, after(0.1), 1, after(0.2))


@pytest.mark.parametrize("rest", [[(LINK, 1), (OTHER_LINK, 1)], [("", 2)]])
async def test_a_burst_right_after_the_send_is_taken_back(delivery: Any, rest: list[tuple[str, int]]) -> None:
    await store((hit(delivery), 0.3))
    await store((hit(delivery, LINK), 0.5))
    await store(*((hit(delivery, url), 1.7 + place / 100, count) for place, (url, count) in enumerate(rest)))
    for record in (delivery, await delivery.message):
        assert await roll_ups(record) == (0, None, 0, None)
    assert set(await get_model("TrackingEvent").all().values_list("verdict", "reason")) == {("machine", "burst")}
    await store((hit(delivery), 1.9))
    await store((hit(delivery), 2))
    assert await roll_ups(delivery) == (1, after(2), 0, None)


async def test_one_copy_s_burst_leaves_what_others_did(delivery: Any) -> None:
    message = await delivery.message
    other = await get_model("Delivery").create(message=message, recipient="b@x.example", due_at=AT, begun_at=AT)
    await store((hit(delivery), 0.3), (hit(other), 0.4))
    await store((hit(delivery), 0.6, 2))
    await store((hit(delivery), 60))
    assert await roll_ups(other) == (1, after(0.4), 0, None)
    assert await roll_ups(delivery) == (1, after(60), 0, None)
    assert await roll_ups(message) == (2, after(0.4), 0, None)


async def test_what_is_a_machine_s_by_itself_makes_no_burst(delivery: Any) -> None:
    await store((hit(delivery, hint=Reason.HEAD), 0.1, 5), (hit(delivery, agent="Slackbot 1.0"), 0.2, 5))
    await store((hit(delivery), 0.5))
    assert await roll_ups(delivery) == (1, after(0.5), 0, None)


async def test_addons_are_told_of_no_burst_that_is_known_at_once(host: Runtime, delivery: Any) -> None:
    told: list[str] = []

    async def message_opened(message: Any) -> None:
        told.append("opened")

    async def message_clicked(message: Any, url: str) -> None:
        told.append(url)

    hook(host, message_opened=message_opened, message_clicked=message_clicked)
    await store((hit(delivery), 0.1), (hit(delivery, LINK), 0.2), (hit(delivery, OTHER_LINK), 1.8))
    assert told == []
    await store((hit(delivery, LINK), 60))
    assert told == ["opened", LINK]


async def test_a_burst_is_known_when_its_second_link_comes_and_the_first_is_taken_back(delivery: Any) -> None:
    await store((hit(delivery, "https://x.example/1"), 60))
    assert await roll_ups(delivery) == (0, after(60), 1, after(60))
    await store((hit(delivery, "https://x.example/2"), 60.4), (hit(delivery, "https://x.example/3"), 61.2))
    assert await roll_ups(delivery) == (0, None, 0, None)
    assert await roll_ups(await delivery.message) == (0, None, 0, None)
    assert set(await get_model("TrackingEvent").all().values_list("verdict", "reason")) == {("machine", "burst")}
    await store((hit(delivery, "https://x.example/2"), 300))
    assert await roll_ups(delivery) == (0, after(300), 1, after(300))


async def test_a_hit_by_identifier_counts_on_the_message(delivery: Any) -> None:
    known, unknown = Hit(None, "abc123", "", "", FIREFOX, None), Hit(None, "nobody", "", "", FIREFOX, None)
    assert await store((known, 60), (unknown, 60)) == {}
    assert await roll_ups(await delivery.message) == (1, after(60), 0, None)
    assert await roll_ups(delivery) == (0, None, 0, None)
    (event,) = await get_model("TrackingEvent").all()
    assert (event.delivery_id, event.ip) == (None, "")


async def test_a_deleted_message_s_hits_are_dropped(delivery: Any) -> None:
    await get_model("Message").all().delete()
    assert await store((hit(delivery), 60)) == {}
    assert await get_model("TrackingEvent").all().count() == 0


async def test_events_are_bounded_and_sums_are_not(delivery: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_ledger, "_EVENTS_KEPT", 5)
    for start in (0, 4):
        await store(*((hit(delivery, agent=f"{FIREFOX} {number}"), 60 + number) for number in range(start, start + 4)))
    assert await get_model("TrackingEvent").all().count() == 5
    assert (await roll_ups(delivery))[0] == 8


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_rows_that_the_engine_holds_are_left_for_the_next_time(host: Runtime, delivery: Any) -> None:
    connection = await asyncpg.connect(host.database.url)
    other = await get_model("Delivery").create(message=await delivery.message, recipient="b@x.example", due_at=AT)
    try:
        async with connection.transaction():
            await connection.execute(f"UPDATE delivery SET attempts = 1 WHERE id = {delivery.pk}")
            left = await store((hit(delivery), 60), (hit(other), 60))
            assert list(left) == [hit(delivery)]
        assert (await roll_ups(other))[0] == 1
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("kept", "ip", "stored"),
    [
        ("cut", "2001:db8:1:2::3", "2001:db8:1::"),
        ("whole", "2001:db8:1:2::3", "2001:db8:1:2::3"),
        ("none", "192.0.2.1", ""),
        ("cut", "<script>", ""),
    ],
)
def test_as_much_of_an_address_is_kept_as_is_asked(kept: str, ip: str, stored: str) -> None:
    assert tracking_ledger._kept_ip(ip, kept) == stored


async def test_old_events_are_forgotten(delivery: Any) -> None:
    await store((hit(delivery), 60))
    events = get_model("TrackingEvent")
    with clock_at(AT + timedelta(days=364)):
        assert await events.cron_prune() == 0
    with clock_at(AT + timedelta(days=366)):
        assert clock.now() > AT
        assert await events.cron_prune() == 1
    assert (await roll_ups(delivery))[0] == 1
