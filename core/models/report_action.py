"""`ReportAction`: a document that is made of a record, as PDF."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from core.errors import TemplateError
from core.mail.file_name import safe_file_name
from core.models.audited import Audited
from core.models.rendering import audience_of, syntax_faults, template_context
from core.orm import fields
from core.render.run import Audience
from core.runtime import get_model, runtime


class ReportAction(Audited):
    """A Jinja HTML page that WeasyPrint lays out."""

    _of_host = False

    identifier = fields.CharField(max_length=128, unique=True)
    name = fields.CharField(max_length=200)
    model = fields.ForeignKeyField("models.ModelRegistry", related_name="reports", on_delete=fields.CASCADE)
    content = fields.TextField()
    file_name = fields.CharField(max_length=255, default="{{ display_name }}.pdf")
    active = fields.BooleanField(default=True)

    @classmethod
    async def check_values(cls, values: dict[str, Any]) -> list[str]:
        """Return what is wrong with values before they are stored: a template that does not compile."""
        return syntax_faults((name, values.get(name)) for name in ("content", "file_name"))

    async def preview(self, record: Any, audience: Audience) -> tuple[str, list[TemplateError]]:
        """Return the document's file name, and what a strict render finds wrong with it; no PDF is made."""
        context = await template_context(record, self, audience)
        faults, name = [], ""
        try:
            name = self._file_name(context, audience, strict=True)
        except TemplateError as error:
            faults.append(error)
        try:
            await asyncio.to_thread(self._html, context, audience, strict=True)
        except TemplateError as error:
            faults.append(error)
        return name, faults

    async def render_pdf(self, record: Any, *, locale: str | None = None) -> Any:
        """Return the document of `record` as a stored Attachment.

        Raises TemplateError or RenderError with words for the report's author. Takes its time: call it outside of a
        transaction.
        """
        audience = await audience_of(record, locale)
        context = await template_context(record, self, audience)
        html = await asyncio.to_thread(self._html, context, audience)
        name = self._file_name(context, audience)
        pdf = await runtime().pdf.render(html)
        of_record = {"res_model": type(record).__name__, "res_id": record.pk}
        return await get_model("Attachment").keep(name, pdf.content, "application/pdf", **of_record)

    def _html(self, context: Mapping[str, Any], audience: Audience, *, strict: bool = False) -> str:
        return (
            runtime()
            .renderer.render(
                self.content, context, escape=True, audience=audience, strict=strict, name=self._place("content")
            )
            .text
        )

    def _file_name(self, context: Mapping[str, Any], audience: Audience, *, strict: bool = False) -> str:
        """Return a name that every file system takes."""
        named = runtime().renderer.render_line(
            self.file_name, context, audience=audience, strict=strict, name=self._place("file_name")
        )
        return safe_file_name(named.text.replace("/", "-")) or "document.pdf"

    def _place(self, text: str) -> str:
        return f"{self.identifier}: {text}"
