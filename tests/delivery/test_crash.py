"""A mail that kills its worker is found out among innocent ones, and set aside; the rest flows (C9, F26)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core import clock
from core.delivery.claim import claim, sweep
from core.delivery.crash import on_record
from core.delivery.load import load_jobs
from core.runtime import Runtime, get_model
from tests.delivery.conftest import drain, queue_mail, states
from tests.servers.fake_mta import FakeMta

pytestmark = pytest.mark.anyio


class _Death(BaseException):
    """The worker is gone: nothing that it would still do is done."""


async def _die(of: Any = None) -> None:
    """Claim all there is and die, while composing a suspect if one is named; the lease runs out."""
    token, rows = await claim(100)
    jobs = [job for job in await load_jobs(token, rows) if of is not None and job.message_id == of.pk]
    for job in jobs:
        if job.is_suspect:
            with pytest.raises(_Death):
                async with on_record(job):
                    raise _Death
    past = clock.now() - timedelta(seconds=5)
    await get_model("Delivery").filter(state="claimed").update(lease_until=past)
    await sweep()


async def test_the_third_death_sets_a_mail_aside(host: Runtime, mta: FakeMta) -> None:
    poison, innocent = await queue_mail("poison@b.test"), await queue_mail("kim@b.test")
    for _ in range(2):
        await _die(poison)
        assert set((await states(poison)).values()) == {"queued"}
    await _die(poison)
    await poison.refresh_from_db()
    assert poison.send_state == "Held"
    assert "3 workers died" in poison.error
    await drain()
    assert [one.recipient for one in mta.ledger] == ["kim@b.test"]
    await innocent.refresh_from_db()
    assert innocent.send_state == "Sent"
    await poison.release()
    await drain()
    assert len(mta.ledger) == 2


async def test_workers_that_die_of_something_else_set_nothing_aside(host: Runtime, mta: FakeMta) -> None:
    message = await queue_mail()
    for _ in range(5):
        await _die()
    assert set((await states(message)).values()) == {"queued"}
    await drain()
    assert len(mta.ledger) == 1
