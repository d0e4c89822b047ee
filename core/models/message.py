"""`Message`: an entry on a timeline and, when it is outbound, the send job. One row is both.

The narrow `Delivery` rows under it are what the queue works on; the columns here that tell of sending are roll-ups of
them, kept true by `core.delivery.results`.
"""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record

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
    message_id = fields.CharField(max_length=998, null=True, index=True)
    """With angle brackets, fixed when the message is queued (RFC 5322, 3.6.4)."""
    in_reply_to = fields.CharField(max_length=998, null=True)
    thread_references = fields.TextField(default="")
    date_at = fields.DatetimeField(null=True)
    """The Date header, fixed when the message is queued."""
    attachments = fields.ManyToManyField("models.Attachment", related_name="messages", through="message_attachment")

    send_state = fields.SelectionField(SEND_STATES, null=True)
    """None for what is never sent."""
    scheduled_at = fields.DatetimeField(null=True)
    sent_at = fields.DatetimeField(null=True)
    retry_count = fields.IntField(default=0)
    max_retries = fields.IntField(default=3)
    next_retry_at = fields.DatetimeField(null=True)
    error = fields.TextField(default="")
    priority = fields.IntField(default=10)
    on_unknown = fields.SelectionField({"retry": "Retry", "hold": "Hold"}, null=True)
    """None means ON_UNKNOWN of the configuration."""
    use_company_branding = fields.BooleanField(default=False)
    include_signature = fields.BooleanField(default=False)
    presentation = fields.JSONField(default=dict)
    """Branding and signature as they were when the message was queued, so that each try sends the same bytes."""

    tracking_identifier = fields.CharField(max_length=64, null=True, index=True)
    """The token in the reply address; also what opens and clicks are counted by."""
    open_count = fields.IntField(default=0)
    opened_at = fields.DatetimeField(null=True)
    click_count = fields.IntField(default=0)
    clicked_at = fields.DatetimeField(null=True)
    bounced_at = fields.DatetimeField(null=True)

    class Meta:
        indexes = (("res_model", "res_id", "id"), ("send_state", "id"))
