"""kill -9 in the middle of a call: nothing is lost, and what comes twice has the same id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.runtime import Runtime, get_model
from tests.faults.rig import Workers, ended, kill
from tests.servers.http_provider import Answer, HttpProvider
from tests.webhooks.conftest import drain, let_time_pass, states, verified

pytestmark = pytest.mark.anyio


async def test_a_worker_that_is_killed_loses_no_call(
    host: Runtime, webhook: Any, receiver: HttpProvider, tmp_path: Path
) -> None:
    workers = Workers(host, tmp_path / "workers", 1, PRIVATE_HOSTS_ALLOWED=["127.0.0.0/8"])
    try:
        worker = await workers.started()
        receiver.plan(Answer(after_s=30))
        await get_model("CrmLead").create(name="Ann")
        await receiver.until(1)
        kill(worker)
        await ended(worker)
    finally:
        workers.end()
    assert await states() == ["sending"]
    await let_time_pass()
    await drain()
    assert await states() == ["delivered"]
    first, second = receiver.asked
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert verified(first, webhook.secret) == verified(second, webhook.secret)
    assert (await get_model("WebhookCall").first()).attempts == 2
