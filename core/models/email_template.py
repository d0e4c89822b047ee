"""`EmailTemplate`: a mail that is written once and rendered for each record."""

from __future__ import annotations

from typing import Any

from core.errors import AddressError, TemplateError, UserError
from core.gateway.target import header_form
from core.mail.address import address_list
from core.models.rendering import audience_of, template_context
from core.orm import fields
from core.orm.record import Record
from core.runtime import get_model, runtime

_LINES = ("subject", "from_email", "to_email", "cc_email", "reply_email")


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

    @classmethod
    async def check_values(cls, values: dict[str, Any]) -> list[str]:
        """Return what is wrong with values before they are stored: texts that do not compile."""
        faults = []
        for name in (*_LINES, "content"):
            try:
                runtime().renderer.check(str(values.get(name) or ""), name=name)
            except TemplateError as error:
                faults.append(str(error))
        return faults

    async def render_template(
        self, email_template: EmailTemplate, class_name: str, instance_id: int, *, locale: str | None = None
    ) -> dict[str, str]:
        """Return `{"subject", "content"}` of `email_template` rendered for a record.

        Names that the record does not have come out blank. Raises TemplateError with line and column, UserError where
        the record is not there.
        """
        record = await get_model(class_name).get_or_none(id=instance_id)
        if record is None:
            raise UserError(f"There is no {class_name} {instance_id} to render the template for.")
        rendered = await email_template.render_for(record, locale=locale)
        return {"subject": rendered["subject"], "content": rendered["content"]}

    async def render_for(self, record: Any, *, locale: str | None = None, strict: bool = False) -> dict[str, str]:
        """Return every text of this template rendered for a record, by field name; a strict render allows no blank."""
        renderer = runtime().renderer
        audience = await audience_of(record, locale)
        context = await template_context(record, self)
        rendered = {
            name: renderer.render_line(
                getattr(self, name), context, audience=audience, strict=strict, name=f"{self.identifier}: {name}"
            ).text
            for name in _LINES
        }
        body = renderer.render(
            self.content, context, escape=True, audience=audience, strict=strict, name=f"{self.identifier}: content"
        )
        return {**rendered, "content": body.text}

    async def mail_for(self, record: Any, **options: Any) -> dict[str, Any]:
        """Return the keywords of `post_message` for a record, with the report made and all attachments.

        `options` override what the template says. UserError where its `to_email` names nobody: such a mail must not go
        to whom the record is about instead.
        """
        await self.fetch_related("attachments", "report", "model")
        if self.model.identifier != type(record).__name__:
            raise UserError(
                f'The template "{self.identifier}" is for {self.model.identifier}, not for {type(record).__name__}.'
            )
        rendered = await self.render_for(record)
        mail: dict[str, Any] = {
            "subject": rendered["subject"],
            "body": rendered["content"],
            "to": options["to"] if "to" in options else self._named_in("to_email", rendered) or None,
            "cc": options["cc"] if "cc" in options else self._named_in("cc_email", rendered),
            "reply_to": rendered["reply_email"] or None,
            "from_email": rendered["from_email"] or None,
            "attachments": list(self.attachments),
        }
        if mail["to"] is None and self.to_email.strip() and "to" not in options:
            raise UserError(
                f'The template "{self.identifier}" cannot be sent: its to_email names nobody for {record.display_name}.'
            )
        if self.report is not None:
            mail["attachments"].append(await self.report.render_pdf(record))
        return {**mail, **options}

    def _named_in(self, name: str, rendered: dict[str, str]) -> list[str]:
        """Return the header forms in a rendered address line; each is checked again when the mail is queued."""
        try:
            return [header_form(one.name, one.address) for one in address_list(rendered[name])]
        except AddressError as error:
            raise UserError(f'The template "{self.identifier}" cannot be sent: {name}: {error}') from error
