"""`EmailTemplateVariant`: a template's subject and text written anew for one language.

Where a translation of single words is not enough. A reader's `de_AT` takes the variant `de_AT`, else `de`, else the
template itself with its words translated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.errors import UserError
from core.models.audited import Audited
from core.models.rendering import syntax_faults
from core.orm import fields
from core.orm.transaction import transaction
from core.render.catalogue import fallbacks
from core.runtime import get_model

TEXTS = ("subject", "content")


class EmailTemplateVariant(Audited):
    """One language's words; what is empty here is taken from the template."""

    _of_host = False
    _title = "Template variants"
    label_field = "language"

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    template = fields.ForeignKeyField("models.EmailTemplate", related_name="variants", on_delete=fields.CASCADE)
    template_id: int
    language = fields.CharField(max_length=32)
    """`de`, `pt_BR`; the reader's region falls back to its language."""
    subject = fields.CharField(max_length=998, default="")
    content = fields.TextField(default="")
    active = fields.BooleanField(default=True)

    class Meta:
        unique_together = (("template", "language"),)

    @classmethod
    async def check_values(cls, values: dict[str, Any]) -> list[str]:
        """Return what is wrong with values before they are stored: texts that do not compile, no language."""
        faults = []
        language = str(values.get("language") or "")
        if "language" in values and fallbacks(language)[:1] != (language,):
            faults.append(_no_language(language))
        return faults + syntax_faults((name, values.get(name)) for name in TEXTS)

    async def save(self, *args: Any, note: str = "", **kwargs: Any) -> None:
        """Store the variant, and a version where its texts were changed; UserError for a language that is none."""
        if fallbacks(self.language)[:1] != (self.language,):
            raise UserError(_no_language(self.language))
        versions = get_model("EmailTemplateVersion")
        async with transaction():
            await versions.wait_for_turn(self.template_id)
            before = await self.stored_texts()
            await super().save(*args, **kwargs)
            await versions.keep(self.template_id, self.language, before, await self.stored_texts(), note)

    async def stored_texts(self) -> dict[str, str] | None:
        """Return the texts that the database holds; None where it holds none."""
        found: dict[str, str] | None = await type(self).filter(id=self.pk).first().values(*TEXTS) if self.pk else None
        return found


def nearest(variants: Iterable[Any], locale: str) -> Any:
    """Return the variant for a reader's locale, or None where the template itself is meant."""
    by_language = {variant.language: variant for variant in variants}
    return next((by_language[name] for name in fallbacks(locale) if name in by_language), None)


def _no_language(language: str) -> str:
    names = fallbacks(language)
    hint = f'write "{names[0]}"' if names else "write it as de, or pt_BR"
    return f'"{language}" is no language as templates name them; {hint}.'
