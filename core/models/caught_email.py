"""`CaughtEmail`: a mail that the dev mailbox kept instead of sending it (`MAIL_MODE: catch`).

Its methods play the people who would have got it: what they answer comes in through the spool like any mail.
"""

from __future__ import annotations

import secrets
from typing import Any

from core import clock
from core.devmail.play import Stamp, compose_auto_reply, compose_bounce, compose_new, compose_reply
from core.errors import UserError
from core.orm import fields
from core.orm.record import Record
from core.runtime import get_model, settings


class CaughtEmail(Record):
    """The bytes and the envelope that SMTP would have carried."""

    label_field = "subject"

    channel = fields.CharField(max_length=32, default="email")
    sender = fields.CharField(max_length=320, default="")
    recipients = fields.JSONField(default=list)
    subject = fields.CharField(max_length=998, default="")
    raw_mail = fields.BinaryField()
    message = fields.ForeignKeyField("models.Message", null=True, related_name="caught", on_delete=fields.SET_NULL)
    caught_at = fields.DatetimeField(auto_now_add=True)

    async def reply(self, text: str, recipient: str | None = None) -> Any:
        """Let a recipient (the first one, where none is named) answer; returns the InboundEmail, dealt with."""
        return await _receive(compose_reply(self.raw_mail, self._played(recipient), text, _stamp()))

    async def auto_reply(self, recipient: str | None = None) -> Any:
        """Let a recipient's machine answer that nobody is there."""
        return await _receive(compose_auto_reply(self.raw_mail, self._played(recipient), _stamp()))

    async def bounce(self, recipient: str | None = None) -> Any:
        """Let a recipient's server report that it could not deliver the mail."""
        return await _receive(compose_bounce(self.raw_mail, self.sender, self._played(recipient), _stamp()))

    @classmethod
    async def write_to_us(cls, sender: str, to: str, subject: str, text: str) -> Any:
        """Let somebody write a new mail to an address of ours; returns the InboundEmail, dealt with."""
        return await _receive(compose_new(sender, to, subject, text, _stamp()))

    def _played(self, recipient: str | None) -> str:
        """Return whom to play; UserError for somebody who did not get this mail."""
        chosen = recipient or next(iter(self.recipients), "")
        if chosen not in self.recipients:
            raise UserError(f'"{chosen}" did not get this mail; choose one of {", ".join(self.recipients)}.')
        return str(chosen)


def _stamp() -> Stamp:
    return Stamp(secrets.token_hex(12), clock.now().replace(microsecond=0))


async def _receive(raw: bytes) -> Any:
    if settings().MAIL_MODE != "catch":
        raise UserError("Nobody is played outside of the dev mailbox; set MAIL_MODE to catch.")
    return await get_model("InboundEmail").receive(raw, f"dev:{secrets.token_hex(16)}")
