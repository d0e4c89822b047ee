"""`TextTemplate`: a message for a channel beside e-mail that is written once and rendered for each record."""

from __future__ import annotations

from typing import Any

from core.delivery.channel import channel_named
from core.errors import UserError
from core.models.audited import Audited
from core.models.rendering import audience_of, syntax_faults, template_context
from core.orm import fields
from core.runtime import runtime


class TextTemplate(Audited):
    """Jinja for a plain text, bound to a model and a channel.

    `options` go along with the message; their texts are rendered too, at any depth.
    """

    _of_host = False

    identifier = fields.CharField(max_length=128, unique=True)
    name = fields.CharField(max_length=200)
    channel = fields.CharField(max_length=32)
    model = fields.ForeignKeyField("models.ModelRegistry", related_name="text_templates", on_delete=fields.CASCADE)
    content = fields.TextField()
    options: Any = fields.JSONField(default=dict)
    active = fields.BooleanField(default=True)

    @classmethod
    async def check_values(cls, values: dict[str, Any]) -> list[str]:
        """Return what is wrong with values before they are stored: texts that do not compile."""
        texts = (values.get("content"), *_texts(values.get("options") or {}))
        return syntax_faults(("content", text) for text in texts)

    async def render_for(self, record: Any, *, locale: str | None = None, strict: bool = False) -> dict[str, Any]:
        """Return `{"text", "options"}` for a record; a strict render allows no blank.

        TemplateError with line and column; UserError where the template is for another model.
        """
        await self.fetch_related("model")
        if self.model.identifier != type(record).__name__:
            raise UserError(
                f'The template "{self.identifier}" is for {self.model.identifier}, not for {type(record).__name__}.'
            )
        channel_named(self.channel)
        audience = await audience_of(record, locale)
        context = await template_context(record, self, audience)

        def rendered(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: rendered(one) for name, one in value.items()}
            if isinstance(value, list):
                return [rendered(one) for one in value]
            if not isinstance(value, str):
                return value
            made = runtime().renderer.render(
                value, context, escape=False, audience=audience, strict=strict, name=self.identifier
            )
            return made.text.strip()

        return {"text": rendered(self.content), "options": rendered(self.options)}


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in _texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []
