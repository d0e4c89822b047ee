"""The cron jobs: when each runs in words, how it went, and running one now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from core import clock
from core.access import Right
from core.errors import PostroomError
from core.runtime import get_model
from core.web.guard import Allowed
from core.web.parameters import RecordId
from core.web.view import render

router = APIRouter(prefix="/cron")

_LATE = timedelta(minutes=1)
_MOST_RUNS = 50


@router.get("")
async def cron_list(request: Request, access: Allowed) -> Response:
    """List the jobs with their last run."""
    jobs = await access.records("CronJob").order_by("name")
    return render(
        request,
        "cron.html",
        jobs=[(job, _schedule(job), await _last_run(job), _state(job)) for job in jobs],
        may_run=access.may("CronJob", Right.WRITE),
    )


@router.get("/{job_id}")
async def cron_job(request: Request, job_id: RecordId, access: Allowed) -> Response:
    """Show one job with its next and its latest runs."""
    job = await access.find("CronJob", job_id)
    runs = await get_model("CronRun").filter(job_id=job.pk).order_by("-id").limit(_MOST_RUNS)
    return render(
        request,
        "cron_job.html",
        job=job,
        schedule=_schedule(job),
        state=_state(job),
        next_runs=_next_runs(job),
        runs=runs,
        may_run=access.may("CronJob", Right.WRITE),
    )


@router.post("/{job_id}/run")
async def run_now(job_id: RecordId, access: Allowed) -> Response:
    """Run a job and come back when it has ended; refused where it is running."""
    job = await access.find("CronJob", job_id, Right.WRITE)
    await job.run_now()
    return RedirectResponse(f"/cron/{job_id}", 303)


def _schedule(job: Any) -> str:
    try:
        return str(job.schedule_in_words())
    except PostroomError as error:
        return f"No schedule: {error}"


def _next_runs(job: Any) -> list[Any]:
    try:
        return list(job.next_runs(5)) if job.active else []
    except PostroomError:
        return []


def _state(job: Any) -> str:
    if not job.active:
        return "off"
    is_late = job.status == "idle" and job.next_run is not None and job.next_run < clock.now() - _LATE
    return "late" if is_late else str(job.status)


async def _last_run(job: Any) -> Any:
    return await get_model("CronRun").filter(job_id=job.pk).order_by("-id").first()
