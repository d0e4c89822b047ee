"""`EmailTemplateVersion`: what a template said, each time that it was changed, by whom and why.

Versions of a template and of its variants are numbered together. They are only ever added; mail that is queued holds
its own text and does not look here.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import unified_diff
from typing import Any

from core.orm import fields
from core.orm.record import Record
from core.runtime import acting_user, get_model

LINES_COMPARED = 4_000


class EmailTemplateVersion(Record):
    """The texts of a template, or of one of its variants, as they were stored at one time."""

    _title = "Template versions"

    template = fields.ForeignKeyField("models.EmailTemplate", related_name="versions", on_delete=fields.CASCADE)
    language = fields.CharField(max_length=32, default="")
    """The variant's; empty for the template itself."""
    number = fields.IntField(default=0)
    """Counts from 1 within the template."""
    texts = fields.JSONField(default=dict)
    """By field name: subject, content, addresses."""
    author = fields.ForeignKeyField("models.User", null=True, related_name="+", on_delete=fields.SET_NULL)
    note = fields.CharField(max_length=200, default="")
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        unique_together = (("template", "number"),)

    @property
    def display_name(self) -> str:
        """`Version 3`, or `Version 3 (de)`."""
        return f"Version {self.number}{f' ({self.language})' if self.language else ''}"

    @classmethod
    async def wait_for_turn(cls, template_id: int) -> None:
        """Let two who change a template at once do so one after the other: until the running transaction ends."""
        await get_model("EmailTemplate").select_for_update().get_or_none(id=template_id)

    @classmethod
    async def keep(
        cls, template_id: int, language: str, before: Mapping[str, str] | None, after: Mapping[str, str], note: str
    ) -> None:
        """Keep a version, in the running transaction, where the stored texts were changed.

        `before` is None for what is new. What was stored without a version gets one first, so that nothing is lost.
        """
        if before == after:
            return
        of_this = cls.filter(template_id=template_id)
        last = await of_this.order_by("-number").first()
        known = await of_this.filter(language=language).order_by("-number").first()
        number = last.number if last else 0
        common: dict[str, Any] = {"template_id": template_id, "language": language}
        if before is not None and (known is None or known.texts != before):
            number += 1
            await cls.create(**common, number=number, texts=dict(before), note="Changed without a version")
        await cls.create(**common, number=number + 1, texts=dict(after), author=acting_user(), note=note[:200])


def difference(old: Mapping[str, str], new: Mapping[str, str], old_name: str, new_name: str) -> str:
    """Return what changed from one set of texts to another, as a unified diff by field; empty where nothing did.

    Texts of very many lines are told whole, since comparing them would take minutes.
    """
    lines: list[str] = []
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name, "").splitlines(), new.get(name, "").splitlines()
        names = f"{name} ({old_name})", f"{name} ({new_name})"
        if len(before) + len(after) <= LINES_COMPARED:
            lines += unified_diff(before, after, *names, lineterm="")
        elif before != after:
            lines += [f"--- {names[0]}", f"+++ {names[1]}", *(f"-{line}" for line in before)]
            lines += [f"+{line}" for line in after]
    return "".join(f"{line}\n" for line in lines)
