"""`CaughtEmail`: a mail that the dev mailbox kept instead of sending it (`MAIL_MODE: catch`)."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class CaughtEmail(Record):
    """The bytes and the envelope that SMTP would have carried."""

    label_field = "subject"

    sender = fields.CharField(max_length=320, default="")
    recipients = fields.JSONField(default=list)
    subject = fields.CharField(max_length=998, default="")
    raw_mail = fields.BinaryField()
    message = fields.ForeignKeyField("models.Message", null=True, related_name="caught", on_delete=fields.SET_NULL)
    caught_at = fields.DatetimeField(auto_now_add=True)
