"""`MailUid`: a mail in a mailbox that must be remembered by what it is called there.

Of an IMAP folder only those that had to stay behind, since its UIDs rise; of a POP3 mailbox all that it lists.
"""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class MailUid(Record):
    """One mail on a server. All of it belongs to the fetcher."""

    label_field = "uid"

    server = fields.ForeignKeyField("models.IncomingMailServer", related_name="mail_uids", on_delete=fields.CASCADE)
    folder = fields.CharField(max_length=255, default="")
    uid = fields.CharField(max_length=255)
    """`UIDVALIDITY:UID`, a UIDL, or `sha256:` of a mail that its server gives no lasting name."""
    size_bytes = fields.BigIntField(default=0)
    state = fields.SelectionField(
        {"fetched": "Fetched", "passed": "Passed over", "left": "Left behind", "suspect": "Broke off"},
        default="fetched",
    )
    why = fields.TextField(default="")
    """Why it was left behind."""
    tries = fields.IntField(default=0)
    tried_at = fields.DatetimeField(null=True)

    class Meta:
        unique_together = (("server", "folder", "uid"),)
