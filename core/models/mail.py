"""`Mail`: mail storage, the rows that programs write and read mail by.

A row that is put here, in whatever way, leaves by its account's push; each mail that is fetched for an account is a row
too. It sends and parses nothing itself: what leaves is a `Message`, what came in is an `InboundEmail`, and this row
names them. Every column may be empty, so that a plain INSERT need only say what it knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.access import access_of
from core.cron.method import cron_method
from core.cron.runner import Progress
from core.delivery.stored_mail import require_files, roll_up
from core.errors import UserError
from core.gateway.stored_mail import deal_with_arrivals, note_arrivals
from core.mail.file_list import listed_uuids
from core.models.chatter import Chatter
from core.orm import fields
from core.runtime import acting_user, get_model
from core.web.attached import visible_files

_OF_THE_STORE = frozenset({"account_id", "direction", "state", "error", "message_id", "inbound_id", "remote_key"})
"""What nobody sets by hand: another account's mail could be read by it, or mail be sent twice."""


class Mail(Chatter):
    """One incoming or outgoing mail of an account; its timeline shows what it became, and what answered it."""

    _accepts_email = False
    label_field = "mail_subject"
    _title = "Mail storage"
    _private = ("remote_key",)

    mail_account = fields.CharField(max_length=100, null=True)
    """The name of the MailAccount that sends it, or that it was fetched for."""
    account = fields.ForeignKeyField("models.MailAccount", null=True, related_name="mails", on_delete=fields.SET_NULL)
    account_id: int | None
    """The same as a link; set when the row is pushed."""
    direction = fields.SelectionField({"outgoing": "Outgoing", "incoming": "Incoming"}, null=True)
    """None is outgoing."""
    state = fields.SelectionField(
        {
            "new": "New",
            "queued": "Queued",
            "held": "Held",
            "sent": "Sent",
            "failed": "Failed",
            "cancelled": "Cancelled",
            "unknown": "Unknown",
            "fetched": "Fetched",
            "received": "Received",
        },
        null=True,
    )
    """None is new: it leaves with the next push."""
    error = fields.TextField(null=True)
    mail_subject = fields.TextField(null=True)
    mail_to = fields.TextField(null=True)
    """Addresses, or `Name <address>`, separated by commas or semicolons; `mail_cc` and `mail_bcc` likewise."""
    mail_cc = fields.TextField(null=True)
    mail_bcc = fields.TextField(null=True)
    mail_from = fields.TextField(null=True)
    """Of an outgoing mail it is the account's, whatever was put here."""
    mail_body_text = fields.TextField(null=True)
    mail_body_html = fields.TextField(null=True)
    """Safe to show, once the mail was queued or received."""
    mail_date = fields.DatetimeField(null=True)
    """The Date header."""
    mail_remote_id = fields.CharField(max_length=255, null=True, db_index=True)
    """What another program calls the document that the mail is about; `mail_remote_source` is where it is kept."""
    mail_remote_source = fields.CharField(max_length=255, null=True)
    mail_attachments = fields.TextField(null=True)
    """uuids of files with commas; once it was queued or received, `<ArrayOfFile>` with name, bytes, hash, extension."""
    message = fields.ForeignKeyField("models.Message", null=True, related_name="mails", on_delete=fields.SET_NULL)
    message_id: int | None
    inbound = fields.ForeignKeyField("models.InboundEmail", null=True, related_name="mails", on_delete=fields.SET_NULL)
    inbound_id: int | None
    remote_key = fields.CharField(max_length=64, null=True, unique=True)
    """What a second request for the same mail is known by."""
    created_at = fields.DatetimeField(auto_now_add=True, null=True)

    class Meta:
        indexes = (("mail_account", "state"), ("state", "id"))

    async def save(
        self,
        using_db: Any = None,
        update_fields: Iterable[str] | None = None,
        force_create: bool = False,
        force_update: bool = False,
    ) -> None:
        """Store the row. Somebody who acts here must be a member of the account's team and may read the files; what
        became of the mail is not theirs to say. Raises UnknownName and UserError.
        """
        user = acting_user()
        if user is not None:
            await self._require_new()
            await self._require_own(user)
            update_fields = self._settable(update_fields)
        await super().save(using_db, update_fields, force_create, force_update)

    async def _require_new(self) -> None:
        """Raise UserError for a mail that was queued or received: the row tells what left, and is safe to show."""
        stored = await type(self).get_or_none(id=self.pk) if self._saved_in_db else None
        if stored is not None and stored.state not in (None, "", "new"):
            raise UserError(f"Mail {self.pk} is {stored.state}, so it stays as it is; put another one into storage.")

    async def _require_own(self, user: Any) -> None:
        account = await get_model("MailAccount").of(user, self.mail_account or "")
        wanted = listed_uuids(self.mail_attachments)
        if wanted:
            files = await get_model("Attachment").without_content().filter(uuid__in=list(wanted))
            found = await visible_files(await access_of(user), files)
            require_files(wanted, {one.uuid for one in found})
        if not self._saved_in_db:
            self.account_id, self.direction, self.state = account.pk, "outgoing", "new"
            for name in ("message_id", "inbound_id", "remote_key", "error"):
                setattr(self, name, None)

    def _settable(self, update_fields: Iterable[str] | None) -> set[str] | None:
        if not self._saved_in_db:
            return None
        named = self._meta.db_fields if update_fields is None else update_fields
        return set(named) - _OF_THE_STORE - {"id", "account", "message", "inbound"}

    @classmethod
    async def note_arrivals(cls, account_id: int, spool_ids: Iterable[int]) -> None:
        """Within the transaction that stores fetched mails in the spool, make a row of each."""
        await note_arrivals(account_id, spool_ids)

    @classmethod
    async def deal_with_arrivals(cls) -> int:
        """Let the rows of fetched mails say what they hold; return how many."""
        return await deal_with_arrivals()

    @classmethod
    @cron_method
    async def cron_roll_up(cls) -> Progress:
        """Let each row say what became of its message, and read what was fetched meanwhile."""
        return Progress(await roll_up() + await deal_with_arrivals())
