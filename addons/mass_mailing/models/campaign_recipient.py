"""`CampaignRecipient`: one address of a campaign's audience, frozen when it started, and what became of its mail."""

from __future__ import annotations

from typing import Any

from core.api import Record, fields

STATES = {
    "waiting": "Waiting",
    "queued": "In the queue",
    "unknown": "In doubt",
    "sent": "Sent",
    "bounced": "Bounced",
    "failed": "Failed",
    "skipped": "Skipped",
    "cancelled": "Cancelled",
}
OPEN = ("waiting", "queued", "unknown")
"""The states that something is still to come of; `unknown` waits for a person."""


class CampaignRecipient(Record):
    """Who gets a campaign once. Sending and reading are copied from its delivery, and outlive that."""

    _title = "Campaign recipients"
    label_field = "address"
    _written_over_http = False

    campaign: Any = fields.ForeignKeyField("models.Campaign", related_name="recipients", on_delete=fields.CASCADE)
    campaign_id: int
    address = fields.CharField(max_length=320)
    name = fields.CharField(max_length=200, default="")
    record_model = fields.CharField(max_length=100)
    record_id = fields.BigIntField()
    """What the mail is rendered for: a subscription, or the record that was chosen."""
    message: Any = fields.ForeignKeyField(
        "models.Message", null=True, related_name="campaign_recipients", on_delete=fields.SET_NULL
    )
    message_id: int | None
    state = fields.SelectionField(STATES, default="waiting")
    reason = fields.CharField(max_length=500, default="")
    """Why it got nothing: a word of `Suppression`, `no_address`, `record_gone`, `mail_deleted`, or a server's words."""
    sent_at = fields.DatetimeField(null=True)
    opened_at = fields.DatetimeField(null=True)
    """When a person first opened it, as far as that can be told."""
    fetched_at = fields.DatetimeField(null=True)
    """When its pixel was first fetched, by whomever."""
    clicked_at = fields.DatetimeField(null=True)
    bounced_at = fields.DatetimeField(null=True)
    complained_at = fields.DatetimeField(null=True)
    unsubscribed_at = fields.DatetimeField(null=True)

    class Meta:
        unique_together = (("campaign", "address"),)
        indexes = (("campaign_id", "state", "id"), ("message_id",), ("address", "sent_at"))
