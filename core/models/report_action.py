"""`ReportAction`: a document that is made of a record, as PDF."""

from __future__ import annotations

import hashlib
from typing import Any

from core.errors import TemplateError
from core.mail.parse import safe_file_name
from core.models.rendering import audience_of, template_context
from core.orm import fields
from core.orm.record import Record
from core.runtime import get_model, runtime


class ReportAction(Record):
    """A Jinja HTML page that WeasyPrint lays out."""

    identifier = fields.CharField(max_length=128, unique=True)
    name = fields.CharField(max_length=200)
    model = fields.ForeignKeyField("models.ModelRegistry", related_name="reports", on_delete=fields.CASCADE)
    content = fields.TextField()
    file_name = fields.CharField(max_length=255, default="{{ display_name }}.pdf")
    active = fields.BooleanField(default=True)

    @classmethod
    async def check_values(cls, values: dict[str, Any]) -> list[str]:
        """Return what is wrong with values before they are stored: a template that does not compile."""
        faults = []
        for name in ("content", "file_name"):
            try:
                runtime().renderer.check(str(values.get(name) or ""), name=name)
            except TemplateError as error:
                faults.append(str(error))
        return faults

    async def render_pdf(self, record: Any, *, locale: str | None = None) -> Any:
        """Return the document of `record` as a stored Attachment.

        Raises TemplateError or RenderError with words for the report's author. Takes its time: call it outside of a
        transaction.
        """
        renderer = runtime().renderer
        audience = await audience_of(record, locale)
        context = await template_context(record, self)
        html = renderer.render(
            self.content, context, escape=True, audience=audience, name=f"{self.identifier}: content"
        )
        name = renderer.render_line(self.file_name, context, audience=audience, name=f"{self.identifier}: file_name")
        pdf = await runtime().pdf.render(html.text)
        return await get_model("Attachment").create(
            name=safe_file_name(name.text.replace("/", "-")) or "document.pdf",
            content_type="application/pdf",
            content=pdf.content,
            size_bytes=len(pdf.content),
            sha256=hashlib.sha256(pdf.content).hexdigest(),
            res_model=type(record).__name__,
            res_id=record.pk,
        )
