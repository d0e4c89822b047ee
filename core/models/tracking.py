"""`Tracking`: one field's change, under the timeline entry of its transaction."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class Tracking(Record):
    """The typed values of a tracked field before and after."""

    message = fields.ForeignKeyField("models.Message", related_name="changes", on_delete=fields.CASCADE)
    field = fields.CharField(max_length=100)
    kind = fields.CharField(max_length=32)
    """The field's type in lower case: char, decimal, date, selection, reference, ..."""
    old = fields.TextField(null=True)
    new = fields.TextField(null=True)
    """The value as JSON text; a JSONField would take a plain text for JSON itself."""
    old_text = fields.TextField(default="")
    new_text = fields.TextField(default="")
    """What a person reads: a selection's label, a reference's name."""

    class Meta:
        indexes = (("message_id",),)
