"""`EmailRoute`: an alias whose mail becomes records."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class EmailRoute(Record):
    """Mail to `address`@`domain` creates a record of `target_model`."""

    label_field = "address"

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    address = fields.CharField(max_length=64, db_index=True)
    """The local part, e.g. `leads`."""
    domain = fields.CharField(max_length=255, default="")
    """Empty means MAIL_DOMAIN."""
    target_model = fields.CharField(max_length=100)
    target_name_field = fields.CharField(max_length=100, default="name")
    """The field that takes the subject."""
    defaults = fields.JSONField(default=dict)
    sender_policy = fields.SelectionField(
        {"everyone": "Everyone", "known": "Known contacts", "followers": "Followers", "staff": "Users"},
        default="everyone",
    )
    company = fields.ForeignKeyField("models.Company", null=True, related_name="routes", on_delete=fields.SET_NULL)
    active = fields.BooleanField(default=True)
