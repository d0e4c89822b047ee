"""`MailEvent`: what a provider, or a delivery report, told of one recipient's copy after a server had taken it."""

from __future__ import annotations

from core.delivery.effects import take, take_once
from core.mail.provider_events import EventKind
from core.orm import fields
from core.orm.record import Record


class MailEvent(Record):
    """One event, stored once however often it is told; `core.delivery.effects` makes of it what follows."""

    label_field = "kind"
    _title = "Mail events"

    key = fields.CharField(max_length=64, unique=True)
    """The same whenever the same event is told again."""
    kind = fields.SelectionField({one.value: one.value.capitalize() for one in EventKind})
    provider = fields.CharField(max_length=32)
    """Who told it; `report` for a delivery report that came by mail."""
    recipient = fields.CharField(max_length=320)
    """Normalised, as the teller names it."""
    delivery = fields.ForeignKeyField("models.Delivery", null=True, related_name="events", on_delete=fields.SET_NULL)
    """None where it is told of no mail of ours."""
    hard = fields.BooleanField(default=False)
    proven = fields.BooleanField(default=False)
    """Whether somebody who must know told it: an authenticated webhook, or whoever got the mail's return path."""
    status = fields.CharField(max_length=16, default="")
    reason = fields.TextField(default="")
    url = fields.TextField(default="")
    told_at = fields.DatetimeField(null=True)
    """When it happened, as the teller says."""
    created_at = fields.DatetimeField(auto_now_add=True)
    settled = fields.BooleanField(default=False)
    """Does not count any more towards a suppression, since somebody let the address be written to again."""

    class Meta:
        indexes = (("delivery_id",), ("recipient", "created_at"))

    # Whoever may not import the delivery room finds its functions here.

    take = staticmethod(take)
    take_once = staticmethod(take_once)
