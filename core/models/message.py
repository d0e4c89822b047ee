"""`Message`: an entry on a timeline and, when it is outbound, the send job. One row is both.

The narrow `Delivery` rows under it are what the queue works on; the columns here that tell of sending are roll-ups of
them, kept true by `core.delivery.results`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from copy import copy
from datetime import datetime
from typing import Any, Unpack, cast

from core.access import Access
from core.access.method import api_method
from core.cron.method import cron_method
from core.cron.runner import Progress
from core.delivery.claim import is_due
from core.delivery.draft import draft_bytes
from core.delivery.engine import Engine
from core.delivery.job import Claimed
from core.delivery.load import load_jobs
from core.delivery.mail import content_of
from core.delivery.queue import queue, queue_many
from core.delivery.queue_text import TextOptions, TextRequest, queue_text
from core.delivery.request import QueueOptions, QueueRequest, as_tuple, with_tuples
from core.delivery.retention import forget_old_mail
from core.delivery.state import fail_once, is_in_hand, make_due, move_waiting, requeue, take_back
from core.delivery.system_mail import queue_system_mail
from core.errors import UserError
from core.models import field_values
from core.orm import fields
from core.orm.record import Record
from core.orm.transaction import rehearsal
from core.runtime import get_model, runtime

_FLUSH_S = 60
_LOOK_AGAIN_S = 0.05
_OF_THE_ENGINE = {
    *("send_state", "sent_at", "retry_count", "next_retry_at", "error"),
    *("open_count", "opened_at", "click_count", "clicked_at", "bounced_at"),
}

SEND_STATES = {
    "Draft": "Draft",
    "Held": "Held",
    "Queued": "Queued",
    "Sending": "Sending",
    "Sent": "Sent",
    "Failed": "Failed",
    "Cancelled": "Cancelled",
    "Unknown": "Unknown",
}


class Message(Record):
    """A message, a note, a tracked change or a system entry; of a record, or of none."""

    label_field = "subject"
    # Whoever knows the token, of which the reply address is made, may write to this thread: no template tells it.
    _private = ("tracking_identifier", "reply_to")
    _written_over_http = False

    res_model = fields.CharField(max_length=100, null=True)
    res_id = fields.BigIntField(null=True)
    kind = fields.SelectionField(
        {"message": "Message", "note": "Note", "tracking": "Change", "system": "System"}, default="message"
    )
    direction = fields.SelectionField(
        {"Outbound": "Outbound", "Inbound": "Inbound", "Internal": "Internal"}, default="Internal"
    )
    channel = fields.CharField(max_length=32, default="email")
    author = fields.ForeignKeyField("models.User", null=True, related_name="messages", on_delete=fields.SET_NULL)
    author_contact = fields.ForeignKeyField(
        "models.Contact", null=True, related_name="messages", on_delete=fields.SET_NULL
    )
    company = fields.ForeignKeyField("models.Company", null=True, related_name="messages", on_delete=fields.SET_NULL)
    parent = fields.ForeignKeyField("models.Message", null=True, related_name="replies", on_delete=fields.SET_NULL)
    created_at = fields.DatetimeField(auto_now_add=True)

    email_from = fields.CharField(max_length=512, default="")
    """Header form: `Name <address>`."""
    email_to = fields.JSONField(default=list)
    """Header forms of the To addresses; `email_cc` likewise. Bcc recipients are only in `Delivery`."""
    email_cc = fields.JSONField(default=list)
    reply_to = fields.CharField(max_length=512, default="")
    subject = fields.CharField(max_length=998, default="")
    body = fields.TextField(default="")
    """HTML, as written or received; sanitised when it is shown."""
    text = fields.TextField(null=True)
    """The plain text part; None means that it is made from `body`."""
    headers = fields.JSONField(default=dict)
    message_id = fields.CharField(max_length=998, null=True, db_index=True)
    """With angle brackets, fixed when the message is queued (RFC 5322, 3.6.4)."""
    in_reply_to = fields.CharField(max_length=998, null=True)
    thread_references = fields.TextField(default="")
    date_at = fields.DatetimeField(null=True)
    """The Date header, fixed when the message is queued."""
    attachments = fields.ManyToManyField("models.Attachment", related_name="messages", through="message_attachment")

    send_state = fields.SelectionField(SEND_STATES, null=True)
    """None for what is never sent."""
    scheduled_at = fields.DatetimeField(null=True)
    expires_at = fields.DatetimeField(null=True)
    """Not sent any more from then on; what is left is cancelled, and says so."""
    sent_at = fields.DatetimeField(null=True)
    retry_count = fields.IntField(default=0)
    max_retries = fields.IntField(default=3)
    next_retry_at = fields.DatetimeField(null=True)
    error = fields.TextField(default="")
    priority = fields.IntField(default=10)
    on_unknown = fields.SelectionField({"retry": "Retry", "hold": "Hold"}, null=True)
    """None means ON_UNKNOWN of the configuration."""
    server = fields.CharField(max_length=32, null=True)
    """The key of the one server that may send it (`core.delivery.servers`); None leaves the choice to the host."""
    template = fields.CharField(max_length=128, null=True)
    """The identifier of the EmailTemplate that it was made from."""
    individual = fields.BooleanField(default=False)
    """Each recipient gets a copy that names no one else."""
    unsubscribe_list = fields.CharField(max_length=100, null=True)
    """The list that a recipient may leave with one click (RFC 8058); None for mail that is no list's."""
    track = fields.BooleanField(default=False)
    """Count opens and clicks, each recipient's own."""
    importance = fields.SelectionField({"": "Normal", "high": "High", "low": "Low"}, default="")
    calendar = fields.TextField(null=True)
    """An invitation as iCalendar text (RFC 5546)."""
    use_company_branding = fields.BooleanField(default=False)
    include_signature = fields.BooleanField(default=False)
    presentation = fields.JSONField(default=dict)
    """Branding and signature as they were when the message was queued, so that each try sends the same bytes."""
    has_field_tokens = fields.BooleanField(default=False)
    """Whether `{{field:slug}}` in subject and body is still to be filled in, which its first try does."""

    authenticity = fields.CharField(max_length=8, null=True)
    """Of an inbound mail: whether it is proven to be from its From address (pass, fail, none, unknown)."""
    authenticity_reason = fields.CharField(max_length=500, null=True)

    tracking_identifier = fields.CharField(max_length=64, null=True, db_index=True)
    """The token in the reply address; also what opens and clicks are counted by."""
    open_count = fields.IntField(default=0)
    opened_at = fields.DatetimeField(null=True)
    click_count = fields.IntField(default=0)
    clicked_at = fields.DatetimeField(null=True)
    bounced_at = fields.DatetimeField(null=True)

    class Meta:
        indexes = (("res_model", "res_id", "id"), ("send_state", "id", "company_id"))

    async def save(
        self,
        using_db: Any = None,
        update_fields: Iterable[str] | None = None,
        force_create: bool = False,
        force_update: bool = False,
    ) -> None:
        """Store the message. Of a stored one the engine's columns are left alone, since a copy that was read a while
        ago must not undo what was sent meanwhile; whoever means them names them in `update_fields`. Raises UserError
        for a new mail that says it is queued, but has no delivery that anybody could send.
        """
        if (self._saved_in_db, self.channel, self.send_state, self.message_id) == (False, "email", "Queued", None):
            raise UserError("A mail is queued by Message.queue_email, which makes a delivery for each recipient.")
        if self._saved_in_db and update_fields is None:
            update_fields = set(self._meta.db_fields) - _OF_THE_ENGINE - {"id"}
        await super().save(using_db, update_fields, force_create, force_update)

    # Queueing.

    @classmethod
    async def queue_email(
        cls,
        author: Any,
        contact_emails: Sequence[str],
        subject: str,
        body: str,
        attachments: Sequence[Any] | None = None,
        tracking_identifier: str | None = None,
        use_company_branding: bool = True,
        include_signature: bool = True,
        company: Any = None,
        message: Message | None = None,
        scheduled_at: datetime | None = None,
        **options: Unpack[QueueOptions],
    ) -> Message:
        """Queue a mail in the caller's transaction: its rollback is no mail, its commit is one mail per recipient.

        `author` is the User that sends, or its Contact; the contact's address becomes From, or `from_email`
        ("Name <address>") where that is given. With `message`, that timeline entry becomes the send job; otherwise one
        of its own is made. Times are aware. The further keywords are those of `QueueOptions`, which explains them.
        Raises AddressError for an address that must not be used, UserError for no recipient, too many, no sender, or
        options at odds.
        """
        request = QueueRequest(
            author=author,
            to=as_tuple("contact_emails", contact_emails),
            subject=subject,
            body=body,
            attachments=as_tuple("attachments", attachments or ()),
            tracking_identifier=tracking_identifier,
            use_company_branding=use_company_branding,
            include_signature=include_signature,
            company=company,
            message=message,
            scheduled_at=scheduled_at,
            **with_tuples(options),
        )
        return cast("Message", await queue(request))

    @classmethod
    async def queue_many(cls, requests: Iterable[QueueRequest]) -> list[Message]:
        """Queue many mails in the caller's transaction, all or none, with the checks of `queue_email`.

        Several times as fast as one by one; what the requests share, such as an author's company, is asked once.
        """
        return await queue_many(requests)

    @classmethod
    async def queue_system_email(
        cls, to: str, subject: str, body: str, *, expires_at: datetime | None = None
    ) -> Message:
        """Queue what the host itself has to say to one address, in HTML, from its own account (SYSTEM_MAIL_*).

        Nothing of it is counted, and nobody's signature is under it. UserError where the host has no From address.
        """
        return cast("Message", await queue_system_mail(to, subject, body, expires_at=expires_at))

    @classmethod
    async def queue_message(
        cls, channel: str, author: Any, recipients: Sequence[str], text: str, **options: Unpack[TextOptions]
    ) -> Message:
        """Queue a text for a channel beside e-mail, such as "sms", in the caller's transaction: one for each recipient.

        `recipients` are addresses as people write them. The further keywords are those of `TextOptions`. Raises
        UnknownName for a channel that no addon brings, AddressError or UserError for what cannot be sent.
        """
        request = TextRequest(channel=channel, author=author, to=tuple(recipients), text=text, **options)
        return cast("Message", await queue_text(request))

    @classmethod
    async def dry_run(cls, *args: Any, **options: Any) -> bytes:
        """Take what `queue_email` takes and return the exact bytes of the mail; nothing is stored or sent.

        Where recipients get copies of their own, it is the first one's. A draft that is given stays as it is.
        """
        given = [_own_copy(one) for one in args]
        async with rehearsal():
            message = await cls.queue_email(*given, **{name: _own_copy(one) for name, one in options.items()})
            first = await get_model("Delivery").filter(message_id=message.pk).order_by("id").first()
            return await message.eml(first.recipient)

    # Fields in a mail's texts.

    @classmethod
    def field_choices(cls, model: str, access: Access) -> dict[str, str]:
        """Return the titles of the fields that `{{field:slug}}` may stand for in this user's mail, by slug."""
        return field_values.field_choices(model, access)

    @classmethod
    def check_field_tokens(cls, model: str, access: Access, *texts: str) -> None:
        """Raise UserError for a `{{field:slug}}` in the texts that stands for no such field."""
        field_values.check_slugs(model, access, *texts)

    @classmethod
    async def filled_texts(cls, message_id: int) -> dict[str, Any]:
        """Return subject, body and text of a message with the present values of its record's fields; stores nothing."""
        return await field_values.filled_texts(message_id)

    @classmethod
    async def fix_field_tokens(cls, message_id: int) -> dict[str, Any]:
        """Fill a message's field tokens in for good, once; returns its subject, body and text."""
        return await field_values.fix_field_tokens(message_id)

    # Sending.

    @classmethod
    @cron_method
    async def cron_flush(cls) -> Progress:
        """Send queued messages that are due, and retry failed ones whose wait is over, for a minute at a time.

        Returns how many deliveries were tried, and whether more are due. This is what sends where only the scheduler
        runs: a worker's engine does the same at once, and two would have more in flight than SMTP_CONCURRENCY.
        """
        if runtime().is_sending:
            return Progress()
        async with Engine() as engine:
            tried = await engine.drain(at_most_s=_FLUSH_S)
        return Progress(tried, more=tried > 0 and await is_due())

    @classmethod
    @cron_method
    async def cron_forget(cls) -> Progress:
        """Delete sent mail of no record, tries and keys whose time is over (RETENTION_DAYS); unsent mail never."""
        forgotten, more = await forget_old_mail()
        return Progress(forgotten, more=more)

    @api_method(scope="mail", title="Send now")
    async def send_now(self) -> None:
        """Send this message at once, also one that is scheduled for later or waits for a retry.

        Returns when each of its recipients was tried, also those that a worker had in hand already; `send_state` then
        says how it went. UserError where nothing is left to send.
        """
        await make_due(self.pk)
        async with Engine() as engine:
            while await engine.flush(message_id=self.pk) or await is_in_hand(self.pk):  # noqa: ASYNC110 - another process
                await asyncio.sleep(_LOOK_AGAIN_S)
        await self.refresh_from_db()

    async def hurry(self) -> None:
        """Make this message due at once, for a worker to send; UserError where nothing is left to send."""
        await make_due(self.pk, wake=True)
        await self.refresh_from_db()

    @api_method(scope="mail", title="Send again to whom it did not reach")
    async def action_retry(self) -> None:
        """Queue the recipients that failed or are in doubt again, with all their retries."""
        await requeue(self.pk)
        await self.refresh_from_db()

    async def _mark_failed(self, error: str) -> None:
        """Count a failed try: the next one is due in 5 x retry_count minutes, until max_retries is reached."""
        await fail_once(self.pk, error)
        await self.refresh_from_db()

    @api_method(scope="mail", title="Take back")
    async def undo(self) -> None:
        """Take the message back before any of it was sent: it is a draft again, with its recipients to be given anew.

        UserError where it is too late.
        """
        await take_back(self.pk)
        await self.refresh_from_db()

    @api_method(scope="mail", title="Cancel")
    async def cancel(self) -> None:
        """Stop what was not sent yet; UserError where nothing is left to stop."""
        if not await move_waiting([self.pk], ("queued", "claimed", "held", "unknown"), "cancelled"):
            raise UserError(f"Message {self.pk} has no recipient left that could be cancelled.")
        await self.refresh_from_db()

    @api_method(scope="mail", title="Hold")
    async def hold(self) -> None:
        """Keep what was not sent yet until `release`."""
        if not await self.hold_all([self.pk]):
            raise UserError(f"Message {self.pk} is not waiting to be sent, so there is nothing to hold.")
        await self.refresh_from_db()

    @api_method(scope="mail", title="Release")
    async def release(self) -> None:
        """Let a held message go."""
        if not await self.release_all([self.pk]):
            raise UserError(f"Message {self.pk} is not held.")
        await self.refresh_from_db()

    # Many at once; each returns how many copies it moved.

    @classmethod
    async def hold_all(cls, message_ids: Sequence[int]) -> int:
        """Keep what was not sent yet of many messages until `release_all`."""
        return await move_waiting(message_ids, ("queued", "claimed"), "held")

    @classmethod
    async def release_all(cls, message_ids: Sequence[int]) -> int:
        """Let many held messages go."""
        return await move_waiting(message_ids, ("held",), "queued")

    @classmethod
    async def cancel_all(cls, message_ids: Sequence[int]) -> int:
        """Stop what was not sent yet of many messages; what is in doubt stays so."""
        return await move_waiting(message_ids, ("queued", "claimed", "held"), "cancelled")

    async def eml(self, recipient: str | None = None) -> bytes:
        """Return the exact bytes that a server is given (or was), signed where the sender's domain has a key.

        `recipient` is an address of the message, where each gets a copy of its own; without it they are those that no
        copy differs from.
        """
        row = await get_model("Delivery").filter(message_id=self.pk, recipient=recipient or "").first()
        if recipient is not None and row is None:
            raise UserError(f"{recipient} is no recipient of message {self.pk}.")
        claimed = Claimed(row.pk, self.pk, row.recipient, row.attempts) if row else Claimed(0, self.pk, "", 0)
        (job,) = await load_jobs("", [claimed])
        return await content_of(job)

    async def draft_eml(self, *, with_bcc: bool = False) -> bytes:
        """Return the mail as an unsent draft that desktop mail programs open for editing.

        `with_bcc` names the blind copies in it: for the author and the operator alone.
        """
        return await draft_bytes(self.pk, with_bcc=with_bcc)


def _own_copy(value: Any) -> Any:
    """Return a message that may be changed at will in the place of the caller's, and anything else as it is."""
    return copy(value) if isinstance(value, Message) else value
