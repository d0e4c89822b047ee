"""A job with its bytes: composed once, just before its envelope is announced."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from core.delivery.job import Claimed, Job
from core.delivery.outgoing import LARGE_BYTES, envelope_sender, mail_bytes
from core.mail.address import envelope_address, needs_smtputf8
from core.transport.smtp import Envelope


class Mail(NamedTuple):
    """What a server is given: the envelope of one job, and its content."""

    job: Job
    envelope: Envelope
    content: bytes

    @property
    def deliveries(self) -> tuple[Claimed, ...]:
        """In the order of the envelope's recipients."""
        return self.job.deliveries


async def prepare(job: Job, *, tracks: bool = True) -> Mail:
    """Compose a job's mail; raises PostroomError where it cannot be composed or signed.

    `tracks` False leaves the tracking out, whatever the message says.
    """
    if job.outgoing.row["has_field_tokens"]:
        await job.outgoing.fix()
    content = await content_of(job, tracks=tracks)
    alone = job.deliveries[0] if len(job.deliveries) == 1 else None
    sender = envelope_sender(job.message, alone.id if alone else None)
    recipients = tuple([envelope_address(delivery.recipient) for delivery in job.deliveries])
    envelope = Envelope(
        sender=sender,
        recipients=recipients,
        size=len(content),
        smtputf8=needs_smtputf8(sender) or not content.isascii(),
    )
    return Mail(job, envelope, content)


async def content_of(job: Job, *, tracks: bool = True) -> bytes:
    """Return the exact bytes that a server is given for a job, signed."""
    first = job.deliveries[0]
    if first.recipient and job.outgoing.is_personal:
        content = await mail_bytes(job.outgoing, first.recipient, first.id, tracks and job.tracks)
    else:
        content = await mail_bytes(job.outgoing)
    if len(content) > LARGE_BYTES and job.signer.keys:
        return await asyncio.to_thread(job.signer.sign, content)
    return job.signer.sign(content)
