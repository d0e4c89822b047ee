"""The end of the line in `MAIL_MODE: catch`: mail goes to the dev mailbox, and no connection is opened at all."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from core.delivery.job import Job
from core.delivery.mail import Mail, prepare
from core.delivery.results import Result, write_results
from core.mail.retry import Outcome, Phase
from core.orm.transaction import transaction
from core.runtime import get_model

log = structlog.get_logger(__name__)


async def catch(jobs: Sequence[Job], worker: str) -> None:
    """Keep each job's mail as a CaughtEmail; mail and result are stored together, so a crash repeats nothing."""
    for job in jobs:
        try:
            mail = await prepare(job)
        except Exception as error:  # One mail is an edge; its fault is recorded with it.
            log.warning("mail cannot be composed", message_id=job.message_id, error=str(error))
            words = f"The mail could not be composed: {error}"
            await write_results(
                [_result(job, index, Outcome.TEMPORARY, words) for index in _indices(job)], worker=worker
            )
        else:
            await _keep(mail, worker)


async def _keep(mail: Mail, worker: str) -> None:
    job = mail.job
    async with transaction():
        ours = await write_results([], worker=worker, begun=[job])
        if len(ours) < len(job.deliveries):
            return
        await get_model("CaughtEmail").create(
            sender=mail.envelope.sender,
            recipients=list(mail.envelope.recipients),
            subject=job.message["subject"],
            raw_mail=mail.content,
            message_id=job.message_id,
        )
        caught = "250 Kept in the dev mailbox (MAIL_MODE: catch)"
        await write_results([_result(job, index, Outcome.SENT, caught) for index in _indices(job)], worker=worker)


def _indices(job: Job) -> range:
    return range(len(job.deliveries))


def _result(job: Job, index: int, outcome: Outcome, words: str) -> Result:
    phase = Phase.CONTENT if outcome is Outcome.SENT else "compose"
    return Result(job.deliveries[index], job.token, outcome, phase, reply=words, server="dev mailbox")
