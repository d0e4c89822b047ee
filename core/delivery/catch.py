"""The end of the line in `MAIL_MODE: catch`: mail goes to the dev mailbox, and no connection is opened at all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import structlog

from core.delivery.job import Claimed, Job
from core.delivery.mail import Mail, prepare
from core.delivery.results import Result, tell_finished, unsendable, write_results
from core.mail.retry import Outcome, Phase
from core.orm.outage import outage_errors
from core.orm.transaction import transaction
from core.runtime import get_model

log = structlog.get_logger(__name__)


async def catch(jobs: Sequence[Job], worker: str) -> None:
    """Keep each job's mail as a CaughtEmail; mail and result are stored together, so a crash repeats nothing."""
    for job in jobs:
        try:
            mail = await prepare(job)
        except outage_errors():
            raise
        except Exception as error:  # One mail is an edge; its fault is recorded with it.
            log.warning("mail cannot be composed", message_id=job.message_id, error=str(error))
            words = f"The mail could not be composed: {error}"
            written = await write_results(unsendable(job, Outcome.TEMPORARY, words), worker=worker)
            await tell_finished(written.finished)
        else:
            await _keep(mail, worker)


async def _keep(mail: Mail, worker: str) -> None:
    job = mail.job
    with suppress(_LeaseLostError):
        async with transaction():
            begun = await write_results([], worker=worker, begun=[job])
            if len(begun.marked) < len(job.deliveries):
                raise _LeaseLostError
            await get_model("CaughtEmail").create(
                sender=mail.envelope.sender,
                recipients=list(mail.envelope.recipients),
                subject=job.message["subject"],
                raw_mail=mail.content,
                message_id=job.message_id,
            )
            written = await write_results([_caught(job, one) for one in job.deliveries], worker=worker)
            await tell_finished(written.finished)


class _LeaseLostError(Exception):
    """Somebody else has the mail by now; nothing of this try is kept."""


def _caught(job: Job, delivery: Claimed) -> Result:
    words = "250 Kept in the dev mailbox (MAIL_MODE: catch)"
    return Result(delivery, job.token, Outcome.SENT, Phase.CONTENT, reply=words, server="dev mailbox")
