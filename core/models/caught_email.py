"""`CaughtEmail`: a mail that the dev mailbox kept instead of sending it (`MAIL_MODE: catch`).

Its methods play the people who would have got it: what they answer comes in through the spool like any mail.
"""

from __future__ import annotations

import secrets
from typing import Any

from core import clock
from core.delivery.receipts import ReceiptNews, ReceivedText, receive_text, take_receipts
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
    message_id: int | None
    caught_at = fields.DatetimeField(auto_now_add=True)

    async def reply(self, text: str, recipient: str | None = None) -> Any:
        """Let a recipient (the first one, where none is named) answer; returns the InboundEmail, dealt with."""
        return await _receive(compose_reply(self.raw_mail, self._played(recipient), text, _stamp()))

    async def text_back(self, text: str, recipient: str | None = None) -> Any:
        """Let a recipient of a text answer; returns the Message that came in."""
        _needs_catch()
        told = ReceivedText(sender=self._played(recipient), text=text, remote_id=secrets.token_hex(12))
        return await receive_text(f"{self.channel}:0", told)

    async def receipt(self, state: str, recipient: str | None = None) -> None:
        """Let the provider of a text tell that it was `delivered`, `read` or `failed`."""
        _needs_catch()
        delivery = await self._delivery(recipient)
        words = "Played in the dev mailbox: no such number" if state == "failed" else ""
        news = ReceiptNews(state=state, reference=str(delivery.pk), words=words)
        await take_receipts(f"{self.channel}:0", [news])

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

    async def _delivery(self, recipient: str | None) -> Any:
        deliveries = get_model("Delivery").filter(message_id=self.message_id, recipient=self._played(recipient))
        delivery = await deliveries.first()
        if delivery is None:
            raise UserError("The message of this text was deleted, so nothing can be told of it.")
        return delivery

    def _played(self, recipient: str | None) -> str:
        """Return whom to play; UserError for somebody who did not get this mail."""
        chosen = recipient or next(iter(self.recipients), "")
        if chosen not in self.recipients:
            raise UserError(f'"{chosen}" did not get this mail; choose one of {", ".join(self.recipients)}.')
        return str(chosen)


def _stamp() -> Stamp:
    return Stamp(secrets.token_hex(12), clock.now().replace(microsecond=0))


def _needs_catch() -> None:
    if settings().MAIL_MODE != "catch":
        raise UserError("Nobody is played outside of the dev mailbox; set MAIL_MODE to catch.")


async def _receive(raw: bytes) -> Any:
    _needs_catch()
    return await get_model("InboundEmail").receive(raw, f"dev:{secrets.token_hex(16)}")
