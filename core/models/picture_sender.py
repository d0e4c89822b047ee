"""`PictureSender`: an address whose mail may load its pictures from elsewhere when a user reads it."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class PictureSender(Record):
    """One user's word for one sender. It counts for mail that is proven to be from that address, and for no other."""

    label_field = "address"

    user = fields.ForeignKeyField("models.User", related_name="picture_senders", on_delete=fields.CASCADE)
    address = fields.CharField(max_length=320)
    """In the form that addresses are compared in."""
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        unique_together = (("user", "address"),)
