"""`MailFolder`: a folder that mail is fetched from. UIDs count only with their UIDVALIDITY (RFC 9051, 2.3.1.1)."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class MailFolder(Record):
    """One folder of one IncomingMailServer."""

    server = fields.ForeignKeyField("models.IncomingMailServer", related_name="mail_folders", on_delete=fields.CASCADE)
    name = fields.CharField(max_length=255)
    uid_validity = fields.BigIntField(default=0)
    last_success_at = fields.DatetimeField(null=True)

    class Meta:
        unique_together = (("server", "name"),)
