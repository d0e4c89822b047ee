from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from core.cron.lease import claim_now
from core.runtime import get_model
from tests.orm.statements import counted
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio

Api = httpx2.AsyncClient


@pytest.fixture
async def job(world: World) -> Any:
    return await get_model("CronJob").create(
        identifier="prune_runs", name="Prune runs", model="CronRun", method="cron_prune", frequency=1
    )


@pytest.fixture
async def admin(visitor: Visitor) -> Api:
    return await program(visitor, "root", "read", "admin")


async def program(visitor: Visitor, login: str, *scopes: str) -> Api:
    """A program of a user."""
    user = await get_model("User").get(login=login)
    _, text = await get_model("ApiToken").issue(user, "cron", scopes)
    client = (await visitor()).client
    client.headers["Authorization"] = f"Bearer {text}"
    return client


async def test_jobs_say_when_they_run_and_how_it_went(admin: Api, job: Any) -> None:
    await job.run_now()
    (told,) = (await admin.get("/api/cron/jobs")).json()["items"]
    assert (told["identifier"], told["schedule"], told["state"]) == ("prune_runs", job.schedule_in_words(), "idle")
    assert len(told["next_runs"]) == 5
    assert told["last"]["outcome"] == "done"
    assert (await admin.get("/api/cron/jobs/prune_runs")).json() == told
    assert (await admin.get(f"/api/cron/jobs/{job.pk}")).json()["id"] == job.pk


async def test_a_longer_list_takes_no_more_statements(admin: Api, job: Any) -> None:
    await admin.get("/api/cron/jobs")
    counts = []
    for more in range(2):
        for number in range(more * 8):
            other = await get_model("CronJob").create(
                identifier=f"job{number}", name="Other", model="CronRun", method="cron_prune"
            )
            await other.run_now()
        await asyncio.sleep(0.05)
        async with counted() as count:
            assert len((await admin.get("/api/cron/jobs")).json()["items"]) == 1 + more * 8
        counts.append(count.statements)
    assert counts[1] - counts[0] <= 1  # No run, then some.


async def test_runs_come_page_by_page(admin: Api, job: Any) -> None:
    made = [(await job.run_now()).pk for _ in range(5)]
    seen: list[int] = []
    cursor: str | None = None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await admin.get("/api/cron/jobs/prune_runs/runs", params=params)).json()
        seen += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]


async def test_a_job_is_run_now_with_the_claim_of_all(admin: Api, job: Any) -> None:
    due = (await admin.get("/api/cron/jobs/prune_runs")).json()["next_run"]
    run = (await admin.post("/api/cron/jobs/prune_runs/run")).json()
    assert (run["outcome"], run["due_at"]) == ("done", None)
    assert (await admin.get("/api/cron/jobs/prune_runs")).json()["next_run"] == due
    claim = await claim_now(job.pk, "another")
    assert claim is not None
    refused = await admin.post("/api/cron/jobs/prune_runs/run")
    assert refused.status_code == 422
    assert (await admin.get("/api/cron/jobs/prune_runs")).json()["state"] == "running"


async def test_a_job_is_switched_off_and_on(admin: Api, job: Any) -> None:
    told = (await admin.patch("/api/cron/jobs/prune_runs", json={"active": False})).json()
    assert (told["state"], told["active"], told["next_runs"]) == ("off", False, [])
    told = (await admin.patch("/api/cron/jobs/prune_runs", json={"active": True})).json()
    assert told["active"] is True
    assert len(told["next_runs"]) == 5
    entries = await get_model("AuditEntry").filter(action="cron_switched").order_by("id")
    assert [one.detail["active"] for one in entries] == [False, True]


async def test_changes_need_the_scope_and_the_right(visitor: Visitor, admin: Api, job: Any) -> None:
    reader = await program(visitor, "ann", "read", "write", "mail")
    assert (await reader.get("/api/cron/jobs")).status_code == 200
    assert (await reader.post("/api/cron/jobs/prune_runs/run")).status_code == 403
    assert (await reader.patch("/api/cron/jobs/prune_runs", json={"active": False})).status_code == 403
    nora = await visitor("nora")
    assert (await nora.client.get("/api/cron/jobs")).status_code == 403
    guest = await visitor("guest")
    assert (await guest.client.get("/api/cron/jobs")).status_code == 403


@pytest.mark.parametrize("name", ["nothing", "9" * 30, "0", "a%00b", "%F0%9F", "x" * 500])
async def test_an_unknown_job_is_told(admin: Api, job: Any, name: str) -> None:
    assert (await admin.get(f"/api/cron/jobs/{name}")).status_code in (404, 422)
