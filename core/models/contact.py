"""`Contact`: a person or an organisation that mail is exchanged with."""

from __future__ import annotations

from tortoise.indexes import PartialIndex

from core.orm import fields
from core.orm.record import Record


class Contact(Record):
    """Somebody with an address. Users have one too."""

    _title = "Contacts"

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=200)
    email = fields.CharField(max_length=320, default="", db_index=True)
    phone = fields.CharField(max_length=64, default="")
    mobile = fields.CharField(max_length=64, default="")
    organisation = fields.CharField(max_length=200, default="")
    parent = fields.ForeignKeyField("models.Contact", null=True, on_delete=fields.SET_NULL, related_name="children")
    """That of the organisation which this person is of: in the portal, what is the organisation's is theirs too."""
    address = fields.TextField(default="")
    locale = fields.CharField(max_length=32, default="")
    timezone = fields.CharField(max_length=64, default="")
    company = fields.ForeignKeyField("models.Company", null=True, on_delete=fields.SET_NULL, related_name="contacts")
    no_tracking = fields.BooleanField(default=False)
    """True: this contact's mail carries no pixel and no counted links."""
    active = fields.BooleanField(default=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        indexes = (PartialIndex(fields=("email",), condition={"no_tracking": True}),)
