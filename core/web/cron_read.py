"""Cron jobs as pages and programs read them: how each stands, how it went last, and when it is due."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from core import clock
from core.errors import PostroomError
from core.runtime import get_model, runtime

_LATE = timedelta(minutes=1)


async def last_runs(job_ids: Iterable[int]) -> dict[int, Any]:
    """Return the latest CronRun of each job that ever ran, by job, in two statements."""
    database = runtime().database
    dialect = database.dialect
    rows = await database.fetch(
        f"""SELECT (SELECT cron_run.id FROM cron_run WHERE cron_run.job_id = cron_job.id
                    ORDER BY cron_run.started_at DESC, cron_run.id DESC LIMIT 1) AS run_id
            FROM cron_job WHERE {dialect.among("id", dialect.param(1))}""",
        [dialect.ids(list(job_ids))],
    )
    runs = await get_model("CronRun").filter(id__in=[row["run_id"] for row in rows if row["run_id"] is not None])
    return {run.job_id: run for run in runs}


def schedule_in_words(job: Any) -> str:
    """Return when a job runs, for a person; also where its schedule is none."""
    try:
        return str(job.schedule_in_words())
    except PostroomError as error:
        return f"No schedule: {error}"


def next_runs(job: Any, count: int = 5) -> list[datetime]:
    """Return the next instants at which a job is due; none of one that is off."""
    try:
        return list(job.next_runs(count)) if job.active else []
    except PostroomError:
        return []


def state_of(job: Any) -> str:
    """Return how a job stands: off, late, running or idle."""
    if not job.active:
        return "off"
    is_late = job.status == "idle" and job.next_run is not None and job.next_run < clock.now() - _LATE
    return "late" if is_late else str(job.status)
