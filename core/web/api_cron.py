"""JSON about the cron jobs: when each is due, how its runs went, running one now, and switching it on and off."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query
from pydantic import BaseModel, ConfigDict

from core.access import Access, Right
from core.audit import audit
from core.errors import UnknownName
from core.orm.transaction import transaction
from core.runtime import get_model
from core.web.cron_read import last_runs, next_runs, schedule_in_words, state_of
from core.web.cursor import cursor_behind, last_id_of
from core.web.guard import Inside, scope
from core.web.idempotency import keyed
from core.web.parameters import LARGEST, NO_NUL
from core.web.route import ApiRoute

router = APIRouter(prefix="/api/cron", tags=["cron"], route_class=ApiRoute)

_RUNS = "runs of a job"
_JobId = Annotated[str, Path(max_length=128, pattern=NO_NUL, description="Its identifier, or its id.")]


class Run(BaseModel):
    """One start of a job. `due_at` is null where a person asked for it, `items` is what the method says it did."""

    id: int
    due_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    outcome: str
    items: int
    worker: str
    error: str


class Job(BaseModel):
    """A job: `state` is off, late, running or idle; `next_runs` are the next times of its schedule.

    `next_run` is when it is due, which a retry after a failure may move.
    """

    id: int
    identifier: str
    name: str
    model: str
    method: str
    schedule: str
    state: str
    active: bool
    priority: int
    timeout_s: int
    next_run: datetime | None
    next_runs: list[datetime]
    failure_count: int
    failing_since: datetime | None
    last: Run | None


class Jobs(BaseModel):
    """All jobs that the caller may see."""

    items: list[Job]


class Runs(BaseModel):
    """A page of runs, the latest first; the last page where `next_cursor` is null."""

    items: list[Run]
    next_cursor: str | None


class Switch(BaseModel):
    """Whether the scheduler starts the job by itself."""

    model_config = ConfigDict(extra="forbid")

    active: bool


@router.get("/jobs", summary="List the cron jobs")
async def jobs(access: Inside) -> Jobs:
    """Return the jobs by name, each with its latest run and its next times."""
    rows = await access.records("CronJob").order_by("name", "id")
    last = await last_runs(job.pk for job in rows)
    return Jobs(items=[_job(row, last.get(row.pk)) for row in rows])


@router.get("/jobs/{job_id}", summary="Read a cron job")
async def job(job_id: _JobId, access: Inside) -> Job:
    """Return a job by its identifier or its id."""
    found = await _found(access, job_id, Right.READ)
    return _job(found, (await last_runs([found.pk])).get(found.pk))


@router.get("/jobs/{job_id}/runs", summary="How did a job go?")
async def runs(
    job_id: _JobId,
    access: Inside,
    cursor: Annotated[str | None, Query(max_length=1_000, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Runs:
    """Return the runs of a job, the latest first."""
    found = await _found(access, job_id, Right.READ)
    rows = get_model("CronRun").filter(job_id=found.pk)
    last_id = last_id_of(_RUNS, cursor)
    if last_id is not None:
        rows = rows.filter(id__lt=last_id)
    page = await rows.order_by("-id").limit(limit + 1)
    behind = page[limit - 1].pk if len(page) > limit else None
    return Runs(items=list(map(_run, page[:limit])), next_cursor=cursor_behind(_RUNS, behind))


@router.post(
    "/jobs/{job_id}/run",
    summary="Run a job now",
    # What it does may take minutes and is its own affair, so it is in no transaction of ours.
    dependencies=[Depends(scope("admin")), Depends(keyed("alone"))],
)
async def run_now(job_id: _JobId, access: Inside) -> Run:
    """Run a job, active or not, and answer once it has ended; refused while it runs anywhere.

    It takes the claim that the scheduler takes, and moves no due time.
    """
    found = await _found(access, job_id, Right.WRITE)
    await audit("cron_run", found)
    return _run(await found.run_now())


@router.patch("/jobs/{job_id}", summary="Switch a job on or off", dependencies=[Depends(scope("admin"))])
async def switch(job_id: _JobId, access: Inside, asked: Annotated[Switch, Body(examples=[{"active": True}])]) -> Job:
    """Let the scheduler start a job, or no longer; a run that is under way goes on."""
    found = await _found(access, job_id, Right.WRITE)
    if found.active != asked.active:
        async with transaction():
            found.active = asked.active
            await found.save()
            await audit("cron_switched", found, active=asked.active)
    return _job(found, (await last_runs([found.pk])).get(found.pk))


async def _found(access: Access, name: str, right: Right) -> Any:
    """Return the job with this identifier, or with this id."""
    rows = access.records("CronJob", right)
    found = await rows.get_or_none(identifier=name)
    if found is None and name.isascii() and name.isdecimal() and int(name) <= LARGEST:
        found = await rows.get_or_none(id=int(name))
    if found is None:
        raise UnknownName("There is no such cron job; `GET /api/cron/jobs` names all of them.")
    return found


def _job(row: Any, last: Any) -> Job:
    own = ("id", "identifier", "name", "model", "method", "active", "priority", "timeout_s")
    standing = ("next_run", "failure_count", "failing_since")
    return Job(
        **{name: getattr(row, name) for name in (*own, *standing)},
        schedule=schedule_in_words(row),
        state=state_of(row),
        next_runs=next_runs(row),
        last=None if last is None else _run(last),
    )


def _run(row: Any) -> Run:
    return Run(**{name: getattr(row, name) for name in Run.model_fields})
