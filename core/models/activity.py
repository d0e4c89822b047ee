"""`Activity`: something that somebody has to do about a record by a date."""

from __future__ import annotations

from core import clock
from core.access.method import api_method
from core.orm import fields
from core.orm.record import Record


class Activity(Record):
    """A to-do on a record's timeline."""

    label_field = "summary"

    res_model = fields.CharField(max_length=100)
    res_id = fields.BigIntField()
    kind = fields.CharField(max_length=64, default="To do")
    summary = fields.CharField(max_length=255, default="")
    note = fields.TextField(default="")
    due_on = fields.DateField()
    assignee = fields.ForeignKeyField("models.User", null=True, related_name="activities", on_delete=fields.SET_NULL)
    done_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        indexes = (("res_model", "res_id"),)

    @api_method(title="Mark as done")
    async def finish(self) -> None:
        """Mark the activity as done now; a second call changes nothing."""
        if self.done_at is None:
            self.done_at = clock.now()
            await self.save(update_fields=["done_at"])
