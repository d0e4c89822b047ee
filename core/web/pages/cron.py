"""The cron jobs: when each runs in words, how it went, and running one now."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from core.access import Right
from core.runtime import get_model
from core.web.cron_read import last_runs, next_runs, schedule_in_words, state_of
from core.web.guard import Allowed
from core.web.live_page import live_page
from core.web.parameters import RecordId
from core.web.view import render

router = APIRouter(prefix="/cron")

_MOST_RUNS = 50


@router.get("")
async def cron_list(request: Request, access: Allowed) -> Response:
    """List the jobs with their last run."""
    live = await live_page(access, "cron")
    jobs = await access.records("CronJob").order_by("name")
    last = await last_runs(job.pk for job in jobs)
    return render(
        request,
        "cron.html",
        live=live,
        jobs=[(job, schedule_in_words(job), last.get(job.pk), state_of(job)) for job in jobs],
        may_run=access.may("CronJob", Right.WRITE),
    )


@router.get("/{job_id}")
async def cron_job(request: Request, job_id: RecordId, access: Allowed) -> Response:
    """Show one job with its next and its latest runs."""
    live = await live_page(access, "cron")
    job = await access.find("CronJob", job_id)
    runs = await get_model("CronRun").filter(job_id=job.pk).order_by("-id").limit(_MOST_RUNS)
    return render(
        request,
        "cron_job.html",
        live=live,
        job=job,
        schedule=schedule_in_words(job),
        state=state_of(job),
        next_runs=next_runs(job),
        runs=runs,
        may_run=access.may("CronJob", Right.WRITE),
    )


@router.post("/{job_id}/run")
async def run_now(job_id: RecordId, access: Allowed) -> Response:
    """Run a job and come back when it has ended; refused where it is running."""
    job = await access.find("CronJob", job_id, Right.WRITE)
    await job.run_now()
    return RedirectResponse(f"/cron/{job_id}", 303)
