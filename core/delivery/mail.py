"""A job with its bytes: composed once, just before its envelope is announced."""

from __future__ import annotations

from dataclasses import dataclass

from core.delivery.job import Claimed, Job
from core.delivery.outgoing import envelope_sender, mail_bytes
from core.mail.address import envelope_address, needs_smtputf8
from core.transport.smtp import Envelope


@dataclass(frozen=True, slots=True)
class Mail:
    """What a server is given: the envelope of one job, and its content."""

    job: Job
    envelope: Envelope
    content: bytes

    @property
    def deliveries(self) -> tuple[Claimed, ...]:
        """In the order of the envelope's recipients."""
        return self.job.deliveries


async def prepare(job: Job) -> Mail:
    """Compose a job's mail; raises PostroomError where it cannot be composed."""
    content = await mail_bytes(job.message)
    sender = envelope_sender(job.message)
    recipients = tuple(envelope_address(delivery.recipient) for delivery in job.deliveries)
    envelope = Envelope(
        sender=sender,
        recipients=recipients,
        size=len(content),
        smtputf8=any(map(needs_smtputf8, (sender, *recipients))) or not content.isascii(),
    )
    return Mail(job, envelope, content)
