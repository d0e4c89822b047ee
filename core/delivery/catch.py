"""The end of the line in `MAIL_MODE: catch`: mail goes to the dev mailbox, and no connection is opened at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog

from core.delivery.caught_text import keep_text
from core.delivery.channel import EMAIL, each_alone, message_of
from core.delivery.job import Claimed, Job
from core.delivery.mail import Mail, prepare
from core.delivery.results import Result, tell_finished, unsendable, write_results
from core.mail.retry import Outcome, Phase
from core.orm.outage import is_outage
from core.orm.transaction import transaction
from core.runtime import get_model

log = structlog.get_logger(__name__)


async def catch(jobs: Sequence[Job], worker: str) -> None:
    """Keep each job's mail as a CaughtEmail; mail and result are stored together, so a crash repeats nothing."""
    for job in jobs:
        if job.message["channel"] != EMAIL:
            for one in each_alone([job]):
                await _keep(one, partial(keep_text, job.message["channel"], message_of(one)), worker)
            continue
        try:
            mail = await prepare(job)
        except Exception as error:  # One mail is an edge; its fault is recorded with it.
            if is_outage(error):
                raise
            log.warning("mail cannot be composed", message_id=job.message_id, error=str(error))
            words = f"The mail could not be composed: {error}"
            written = await write_results(unsendable(job, Outcome.TEMPORARY, words), worker=worker)
            await tell_finished(written.finished)
        else:
            await _keep(job, partial(_keep_mail, mail), worker)


async def _keep(job: Job, keep: Callable[[], Awaitable[object]], worker: str) -> None:
    with suppress(_LeaseLostError):
        async with transaction():
            begun = await write_results([], worker=worker, begun=[job])
            if len(begun.marked) < len(job.deliveries):
                raise _LeaseLostError
            await keep()
            written = await write_results([_caught(job, one) for one in job.deliveries], worker=worker)
            await tell_finished(written.finished)


async def _keep_mail(mail: Mail) -> None:
    await get_model("CaughtEmail").create(
        sender=mail.envelope.sender,
        recipients=list(mail.envelope.recipients),
        subject=mail.job.message["subject"],
        raw_mail=mail.content,
        message_id=mail.job.message_id,
    )


class _LeaseLostError(Exception):
    """Somebody else has the mail by now; nothing of this try is kept."""


def _caught(job: Job, delivery: Claimed) -> Result:
    words = "250 Kept in the dev mailbox (MAIL_MODE: catch)"
    return Result(delivery, job.token, Outcome.SENT, Phase.CONTENT, reply=words, server="dev mailbox")
