"""`Follower`: somebody who is told what happens on a record."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class Follower(Record):
    """A contact that follows a record: it gets the messages by mail, and never the notes."""

    res_model = fields.CharField(max_length=100)
    res_id = fields.BigIntField()
    contact = fields.ForeignKeyField("models.Contact", related_name="follows", on_delete=fields.CASCADE)
    reason = fields.CharField(max_length=200, default="")
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        unique_together = (("res_model", "res_id", "contact"),)
