"""F39: a campaign whose workers are killed, which is paused, whose list is edited and whose server refuses on its way.

The server's ledger says who got it: exactly those who were to get it when it began and did not leave since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from addons.mass_mailing.statistics import standstills_of
from core.delivery.effects import take
from core.mail.provider_events import EventKind, ProviderEvent
from core.runtime import Runtime, get_model
from tests.faults.conftest import LANES, MakeWorkers
from tests.faults.rig import ended, finish, kill, until, use
from tests.servers.fake_mta import Act, FakeMta, Script

pytestmark = pytest.mark.anyio
AUDIENCE = 2_400


@pytest.fixture
def settings(settings: dict[str, object]) -> dict[str, object]:
    return {**settings, "ADDONS": ["core", "mass_mailing"], "BASE_URL": "https://acme.test"}


@pytest.fixture
def seeds() -> str:
    return "data"


async def campaign_to(count: int) -> Any:
    """Make a campaign to a list of so many."""
    of_list = await get_model("MailingList").create(name="News")
    people = [(f"kim{number}@b.test", f"Kim {number}") for number in range(count)]
    await get_model("MailingSubscription").subscribe(of_list, people)
    text = {"subject": "Hello {{ name }}", "body": "<p>Dear {{ name }}</p>", "from_email": "news@acme.test"}
    return await get_model("Campaign").create(name="Spring", mailing_list=of_list, **text)


def once_taken(mta: FakeMta, count: int, act: Callable[[], object]) -> Callable[[str, str], None]:
    """Return a listener that acts once, when the server has taken so many mails."""
    waiting = [act]

    def on_event(_step: str, _detail: str) -> None:
        if waiting and len(mta.ledger) >= count:
            waiting.pop()()

    return on_event


async def states_of(campaign: Any) -> Counter[str]:
    """Count the recipients by state, settled as any reader of the campaign has it."""
    await campaign.refresh_from_db()
    await campaign.catch_up()
    rows = get_model("CampaignRecipient").filter(campaign_id=campaign.pk)
    return Counter(await rows.values_list("state", flat=True))


async def says(campaign: Any, words: str) -> bool:
    """Whether a running campaign gives this for the reason that it stands still."""
    await campaign.refresh_from_db()
    return words in (await standstills_of([campaign]))[campaign.pk]


async def has_settled(campaign: Any, sent: int) -> bool:
    """Whether the campaign knows of all that were sent."""
    return (await states_of(campaign))["sent"] >= sent


async def has_only_doubtful(campaign: Any) -> bool:
    """Whether nothing waits any more but what a killed worker had in flight, which is tried again after a while."""
    states = await states_of(campaign)
    return not states["waiting"] and states["queued"] <= LANES


async def test_f39_killed_edited_paused_and_left(host: Runtime, workers: MakeWorkers) -> None:
    """Killed at half, edited while nobody works, paused and resumed under the next worker."""
    campaign = await campaign_to(AUDIENCE)
    suppressions, subscriptions = get_model("Suppression"), get_model("MailingSubscription")
    await suppressions.suppress("kim0@b.test", reason="hard_bounce")
    await suppressions.suppress("kim1@b.test", reason="unsubscribe", list="News")
    async with FakeMta(Script(), keeps_raw=False) as mta:
        crew = workers(mta)
        worker = await crew.started()
        mta.on_event = once_taken(mta, AUDIENCE // 2, lambda: kill(worker))
        assert await campaign.start() == AUDIENCE
        await ended(worker)
        mta.on_event = None
        recorded = await get_model("Delivery").filter(state="sent").count()
        assert recorded >= AUDIENCE // 2 - LANES * 4
        # The database may work off the killed one's last statement for a moment, which holds the campaign.
        await until(lambda: has_settled(campaign, recorded), "what was sent to be told of the recipients")
        half = await states_of(campaign)
        assert (sum(half.values()), campaign.state, half["skipped"]) == (AUDIENCE, "running", 2)

        reached = {one.recipient for one in mta.ledger}
        left = [f"kim{n}@b.test" for n in range(2, AUDIENCE) if f"kim{n}@b.test" not in reached][-40:]
        for address in left[:20]:
            await (await subscriptions.get(address=address)).unsubscribe()
        for address in left[20:]:
            await suppressions.suppress(address, reason="complaint")
        await subscriptions.filter(address__in=["kim5@b.test", "kim2399@b.test", "kim2000@b.test"]).delete()
        await subscriptions.subscribe(await campaign.mailing_list, [("late@b.test", "Late")])
        await _bounce(campaign)

        await campaign.pause("wrong price")
        worker = await crew.started()
        so_far = len(mta.ledger)
        assert (await states_of(campaign))["queued"] > 0
        assert (campaign.state, campaign.paused_reason, len(mta.ledger)) == ("paused", "wrong price", so_far)
        await campaign.resume()
        await until(lambda: has_only_doubtful(campaign), "all but what was in doubt", 60)
        worker.process.terminate()
        await ended(worker)
        await use(mta)
        await finish(2)

        final = await states_of(campaign)
        assert final == {"sent": AUDIENCE - 43, "skipped": 42, "bounced": 1}
        copies = Counter(one.recipient for one in mta.ledger)
        eligible = {f"kim{n}@b.test" for n in range(2, AUDIENCE)} - set(left)
        assert set(copies) == eligible
        assert sum(copies.values()) - len(eligible) <= LANES
        with_subject = Counter(
            await get_model("Message").filter(direction="Outbound").values_list("subject", flat=True)
        )
        assert set(with_subject.values()) == {1}


async def _bounce(campaign: Any) -> None:
    """One of the mails that were sent comes back."""
    row = await get_model("CampaignRecipient").filter(campaign_id=campaign.pk, state="sent").first()
    message = await get_model("Message").get(id=row.message_id)
    report = {"recipient": row.address, "message_id": message.message_id, "hard": True, "reason": "no such user"}
    await take([ProviderEvent(key="1", kind=EventKind.BOUNCED, provider="dsn", **report)])


async def test_f39_credentials_die_at_a_third(host: Runtime, workers: MakeWorkers) -> None:
    """Nobody fails: it stands still, says why, is not called finished, and goes on once they are renewed."""
    count = 300
    campaign = await campaign_to(count)
    dead = Script(steps={"mail": Act(reply="535 5.7.8 credentials expired")})
    # A new script is for new connections.
    async with FakeMta(Script(messages_per_connection=5), keeps_raw=False) as mta:
        await use(mta)

        mta.on_event = once_taken(mta, count * 3 // 10, lambda: setattr(mta, "script", dead))
        worker = await workers(mta).started()
        await campaign.start()
        await until(lambda: says(campaign, "credentials expired"), "the reason why it stands still")
        states = await states_of(campaign)
        assert campaign.state == "running"
        assert not set(states) - {"sent", "queued"}
        assert states["sent"] < count
        mta.on_event = None
        mta.script = Script()
        worker.process.terminate()
        await ended(worker)
        await finish(3)
        assert await states_of(campaign) == {"sent": count}
        assert campaign.state == "finished"
        assert Counter(one.recipient for one in mta.ledger) == {f"kim{n}@b.test": 1 for n in range(count)}
