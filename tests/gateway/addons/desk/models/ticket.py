from __future__ import annotations

from core.models.chatter import Chatter
from core.orm import fields
from core.orm.record import Record


class Ticket(Chatter):
    """A model that mail may create records of, with every common field."""

    name = fields.CharField(max_length=40)
    email = fields.CharField(max_length=320, default="")
    email_from = fields.CharField(max_length=512, default="")
    contact_name = fields.CharField(max_length=200, default="")
    description = fields.TextField(default="")
    priority = fields.IntField(default=0)
    state = fields.CharField(max_length=20, default="new")
    secret = fields.SecretField(default="")
    contact = fields.ForeignKeyField("models.Contact", null=True, related_name="tickets", on_delete=fields.SET_NULL)
    company = fields.ForeignKeyField("models.Company", null=True, related_name="tickets", on_delete=fields.SET_NULL)
    created_at = fields.DatetimeField(auto_now_add=True)


class Order(Chatter):
    """A second target, with hardly a field."""

    label_field = "title"
    title = fields.TextField()


class Ledger(Record):
    """A model that mail must not touch."""

    name = fields.CharField(max_length=40)
