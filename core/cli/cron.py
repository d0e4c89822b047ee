"""`postroom cron`: jobs, their history, and running one now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.cli.command import EXIT_FAILED, LARGEST_LIMIT, command, host
from core.cli.output import Json, print_json, print_rows
from core.errors import UnknownName, did_you_mean
from core.runtime import get_model


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See and run scheduled jobs.", no_args_is_help=True)
    app.add_typer(group, name="cron")
    command(group, "ls")(ls)
    command(group, "run")(run)
    command(group, "history")(history)


async def ls(as_json: Json = False) -> None:
    """List the jobs with their schedule and next times.

    Example: postroom cron ls
    """
    async with host():
        jobs = await get_model("CronJob").all().order_by("identifier")
        rows = [
            {
                "identifier": job.identifier,
                "name": job.name,
                "schedule": job.schedule_in_words(),
                "active": job.active,
                "status": job.status,
                "next_run": job.next_run,
                "next_runs": job.next_runs(5),
                "last_run": job.last_run,
                "failures": job.failure_count,
            }
            for job in jobs
        ]
        columns = ("identifier", "schedule", "active", "status", "next_run", "last_run", "failures")
        print_rows(rows, columns, as_json=as_json, empty="No jobs; run `postroom init`.")


async def run(identifier: str, as_json: Json = False) -> int:
    """Run a job now, whatever its schedule; refused while it runs.

    Example: postroom cron run cron_email_queue_processor
    """
    async with host():
        done = await (await _job(identifier)).run_now()
        row = _row(done, identifier)
    if as_json:
        print_json(row)
    else:
        typer.echo(f"{identifier}: {row['outcome']}, {row['items']} items {row['error']}".rstrip())
    return 0 if row["outcome"] == "done" else EXIT_FAILED


async def history(
    identifier: str,
    limit: Annotated[int, typer.Option(min=1, max=LARGEST_LIMIT, help="How many runs.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the latest runs of a job.

    Example: postroom cron history cron_email_queue_processor
    """
    async with host():
        job = await _job(identifier)
        runs = await get_model("CronRun").filter(job_id=job.pk).order_by("-id").limit(limit)
        rows = [_row(one, identifier) for one in runs]
        columns = ("due_at", "started_at", "ended_at", "outcome", "items", "worker", "error")
        print_rows(rows, columns, as_json=as_json, empty=f"{identifier} has not run yet.")


async def _job(identifier: str) -> Any:
    job = await get_model("CronJob").get_or_none(identifier=identifier)
    if job is None:
        known = await get_model("CronJob").all().values_list("identifier", flat=True)
        raise UnknownName(f'There is no cron job "{identifier}".{did_you_mean(identifier, map(str, known))}')
    return job


def _row(run: Any, identifier: str) -> dict[str, Any]:
    names = ("id", "due_at", "started_at", "ended_at", "outcome", "worker", "items", "error")
    return {"job": identifier, **{name: getattr(run, name) for name in names}}
