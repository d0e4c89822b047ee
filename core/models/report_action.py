"""`ReportAction`: a document that is made of a record, as PDF."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class ReportAction(Record):
    """A Jinja HTML page that WeasyPrint lays out."""

    identifier = fields.CharField(max_length=128, unique=True)
    name = fields.CharField(max_length=200)
    model = fields.ForeignKeyField("models.ModelRegistry", related_name="reports", on_delete=fields.CASCADE)
    content = fields.TextField()
    file_name = fields.CharField(max_length=255, default="{{ display_name }}.pdf")
    active = fields.BooleanField(default=True)
