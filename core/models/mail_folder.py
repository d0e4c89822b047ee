"""`MailFolder`: how far a folder of a mailbox has been fetched. UIDs count only with their UIDVALIDITY (RFC 9051)."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class MailFolder(Record):
    """One folder of one IncomingMailServer. All of it belongs to the fetcher."""

    server = fields.ForeignKeyField("models.IncomingMailServer", related_name="mail_folders", on_delete=fields.CASCADE)
    name = fields.CharField(max_length=255)
    uid_validity = fields.BigIntField(default=0)
    first_uid = fields.BigIntField(default=0)
    """What has this UID or a higher one came after the first visit; 0 before that."""
    backlog = fields.TextField(default="")
    """The older mails that are wanted (`1:5,9`), as far as they are still to be fetched."""
    last_uid = fields.BigIntField(default=0)
    """Everything up to here is dealt with."""
    moved_below = fields.BigIntField(default=0)
    """Since UIDs were given anew, mails below this one may have come here before, under other UIDs."""
    is_careful = fields.BooleanField(default=False)
    """The last visit broke off in the middle of mails, so they are fetched one by one until all are here."""
    last_success_at = fields.DatetimeField(null=True)
    """When nothing was left to fetch the last time."""

    class Meta:
        unique_together = (("server", "name"),)
