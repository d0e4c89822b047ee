"""`EmailTemplate`: a mail that is written once and rendered for each record."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class EmailTemplate(Record):
    """Jinja in subject, body and addresses, bound to a model."""

    identifier = fields.CharField(max_length=128, unique=True)
    name = fields.CharField(max_length=200)
    subject = fields.CharField(max_length=998)
    content = fields.TextField()
    model = fields.ForeignKeyField("models.ModelRegistry", related_name="templates", on_delete=fields.CASCADE)
    report = fields.ForeignKeyField(
        "models.ReportAction", null=True, related_name="templates", on_delete=fields.SET_NULL
    )
    attachments = fields.ManyToManyField("models.Attachment", related_name="templates", through="template_attachment")
    from_email = fields.CharField(max_length=512, default="")
    to_email = fields.CharField(max_length=998, default="")
    cc_email = fields.CharField(max_length=998, default="")
    reply_email = fields.CharField(max_length=512, default="")
    active = fields.BooleanField(default=True)
