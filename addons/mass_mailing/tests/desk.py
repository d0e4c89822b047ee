"""What the tests of campaigns share: lists of people, campaigns to them, and what became of these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from core.api import get_model
from tests.faults.rig import drain, let_time_pass


async def list_of(count: int, name: str = "News") -> Any:
    """Make a list of `kim0@b.test`, `kim1@b.test` and so on."""
    of_list = await get_model("MailingList").create(name=name)
    await get_model("MailingSubscription").subscribe(
        of_list, [(f"kim{number}@b.test", f"Kim {number}") for number in range(count)]
    )
    return of_list


async def campaign_to(of_list: Any = None, **values: Any) -> Any:
    """Make a campaign that greets each by name."""
    text = {"subject": "Hello {{ name }}", "body": "<p>Dear {{ name }}</p>", "from_email": "Acme <news@acme.test>"}
    if "template" in values:
        text = {"from_email": text["from_email"]}
    return await get_model("Campaign").create(**{"name": "Spring", "mailing_list": of_list, **text, **values})


async def feed() -> Any:
    """Feed the queue once, as cron does."""
    model = get_model("Campaign")
    return sum([await one._step() for one in await model.filter(state="running").order_by("id")])


async def run(rounds: int = 3) -> None:
    """Feed and send a few times, with all waits over between."""
    for _ in range(rounds):
        await feed()
        await let_time_pass()
        await drain()


async def states(campaign: Any) -> Mapping[str, int]:
    """Count a campaign's recipients by state, as the queue has it now."""
    await campaign.refresh_from_db()
    await campaign.catch_up()
    rows = get_model("CampaignRecipient").filter(campaign_id=campaign.pk)
    return dict(Counter(await rows.values_list("state", flat=True)))


def mails() -> Any:
    """Return the query of what was queued, without the entries of timelines."""
    return get_model("Message").filter(direction="Outbound")
