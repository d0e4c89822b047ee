from __future__ import annotations

import re
from datetime import timedelta

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from core import clock
from core.delivery.claim import claim
from core.runtime import Runtime, get_model
from core.web.app import create_app
from core.web.metrics import Metrics, Requests
from tests.databases import both as database_url
from tests.web.conftest import World
from tests.web.program import program_of

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio


async def read() -> dict[str, dict[tuple[str, ...], float]]:
    """The numbers of the host, by name and labels."""
    text = (await Metrics(Requests()).text()).decode()
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


async def test_the_database_tells_of_the_whole_host(host: Runtime, world: World) -> None:
    now = clock.now()
    await get_model("Message").queue_email(None, ["a@example.org", "b@example.org"], "Hi", "<p>x</p>")
    await get_model("Delivery").filter(recipient="a@example.org").update(due_at=now - timedelta(minutes=5))
    await get_model("Delivery").filter(recipient="b@example.org").update(due_at=now + timedelta(hours=1))
    await get_model("CronJob").create(
        identifier="prune", name="Prune", model="CronRun", method="cron_prune", failure_count=3, last_run=now
    )
    box = await get_model("IncomingMailServer").create(name="Box", server="127.0.0.1", port=1, failing_since_at=now)
    await get_model("WebhookRefusal").note("receive", "no secret", 7)
    await get_model("QueueSuspension").suspend("stop")
    told = await read()
    assert told["postroom_messages"] == {("queued",): 1}
    assert told["postroom_deliveries"] == {("queued",): 2, ("claimed",): 0, ("sending",): 0, ("due",): 1}
    assert 299 < told["postroom_oldest_due_seconds"][()] < 330
    assert told["postroom_queue_suspended"] == {(): 1}
    assert told["postroom_mailbox_up"] == {(str(box.id),): 0}
    assert told["postroom_cron_failures"][("prune",)] == 3
    assert told["postroom_cron_run_age_seconds"][("prune",)] < 30
    assert told["postroom_webhook_refusals"] == {("receive",): 7}


async def test_what_workers_have_is_told_apart(host: Runtime, world: World) -> None:
    await get_model("Message").queue_email(None, ["a@example.org", "b@example.org", "c@example.org"], "Hi", "<p>x</p>")
    _, (first, _) = await claim(2)
    await get_model("Delivery").filter(id=first.id).update(state="sending")
    told = await read()
    assert told["postroom_deliveries"] == {("queued",): 1, ("claimed",): 1, ("sending",): 1, ("due",): 1}


async def test_requests_are_counted_by_route(address: str, world: World) -> None:
    async with httpx2.AsyncClient(base_url=address, verify=False) as scraper:
        for path in ("/unsubscribe/secret-1", "/unsubscribe/secret-2", "/nowhere/secret-3"):
            await scraper.get(path)
        await scraper.request("PROPFIND", "/nowhere")
        answer = await scraper.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'postroom_http_requests_total{method="GET",route="/unsubscribe/{token}",status="404"} 2.0' in answer.text
    assert 'method="OTHER",route="unmatched"' in answer.text
    assert "secret" not in answer.text
    helped = set(re.findall(r"^# HELP (\w+)", answer.text, re.MULTILINE))
    assert set(re.findall(r"^# TYPE (\w+)", answer.text, re.MULTILINE)) == helped


async def test_they_are_read_once_in_some_seconds(host: Runtime, world: World) -> None:
    metrics = Metrics(Requests())
    first = await metrics.text()
    await get_model("Message").queue_email(None, ["a@example.org"], "Hi", "<p>x</p>")
    assert await metrics.text() == first


async def test_who_may_see_them(address: str, host: Runtime, world: World) -> None:
    async with httpx2.AsyncClient(base_url=address, verify=False) as here:
        assert (await here.get("/metrics")).status_code == 200
        assert (await here.get("/metrics", headers={"X-Forwarded-For": "198.51.100.7"})).status_code == 401
        object.__setattr__(
            host.configuration, "settings", host.settings.model_copy(update={"METRICS_TOKEN": SecretStr("scrape-me")})
        )
        assert (await here.get("/metrics")).status_code == 401
        for text, status in (("scrape-me", 200), ("scrape-you", 401), ("x", 401), ("\xe4", 401)):
            headers = {"Authorization": f"Bearer {text}".encode("latin-1")}
            assert (await here.get("/metrics", headers=headers)).status_code == status, text
    async with program_of(address, "ann") as ann, program_of(address, "root") as root:
        assert (await ann.get("/metrics")).status_code == 403
        assert (await root.get("/metrics")).status_code == 200


async def test_a_stranger_from_elsewhere_may_not(world: World) -> None:
    transport = httpx2.ASGITransport(app=create_app(), client=("198.51.100.7", 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://desk.example") as there:
        assert (await there.get("/metrics")).status_code == 401
