"""`EmailTemplate`: a mail that is written once and rendered for each record, in its reader's language."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from core.errors import AddressError, PostroomError, TemplateError, UserError
from core.gateway.target import header_form
from core.mail.address import address_list
from core.models.address_line import plain_line
from core.models.audited import Audited
from core.models.email_template_variant import nearest
from core.models.email_template_version import difference
from core.models.rendering import audience_of, filtered_context, syntax_faults, template_context
from core.orm import fields
from core.orm.serialize import Reader, plain_data_of
from core.orm.transaction import transaction
from core.render.environment import Rendered
from core.render.run import Audience
from core.runtime import get_model, runtime

LINES = ("subject", "from_email", "to_email", "cc_email", "reply_email")
TEXTS = (*LINES, "content")
ADDRESSES = ("to_email", "cc_email", "from_email", "reply_email")
_OPTIONS = {"to_email": "to", "cc_email": "cc", "from_email": "from_email", "reply_email": "reply_to"}
RENDERED_AT_ONCE = 200
"""Records whose data is held at one time."""


@dataclass(frozen=True, slots=True)
class TemplatePreview:
    """What a template makes of a record, and all that is wrong with it.

    `texts` are by field name, and `file_name` where a report is attached; one that cannot be rendered is empty.
    `language` is the variant's, empty for the template itself; `missing` are names that came out blank.
    """

    texts: Mapping[str, str]
    faults: tuple[TemplateError, ...]
    missing: tuple[str, ...]
    language: str
    locale: str


class EmailTemplate(Audited):
    """Jinja in subject, body and addresses, bound to a model."""

    _of_host = False
    _title = "Templates"

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
    on_unknown = fields.SelectionField({"retry": "Send again", "hold": "Ask a person"}, null=True)
    """What becomes of a mail whose fate is unknown; None leaves it to the record and the configuration."""
    track = fields.BooleanField(null=True)
    """Whether opens and clicks are counted; None leaves it to the server and the company."""
    active = fields.BooleanField(default=True)

    @classmethod
    async def check_values(cls, values: dict[str, Any]) -> list[str]:
        """Return what is wrong with values before they are stored: texts that do not compile."""
        return syntax_faults((name, values.get(name)) for name in TEXTS)

    # Storing, and the versions of it.

    async def save(self, *args: Any, note: str = "", **kwargs: Any) -> None:
        """Store the template, and a version of its texts where they were changed; `note` says why."""
        versions = get_model("EmailTemplateVersion")
        async with transaction():
            await versions.wait_for_turn(self.pk)
            before = await self.stored_texts()
            await super().save(*args, **kwargs)
            await versions.keep(self.pk, "", before, await self.stored_texts(), note)

    async def stored_texts(self) -> dict[str, str] | None:
        """Return the texts that the database holds; None where it holds none."""
        found: dict[str, str] | None = await type(self).filter(id=self.pk).first().values(*TEXTS) if self.pk else None
        return found

    async def history(self) -> list[Any]:
        """Return the versions of this template and of its variants, newest first, with their authors."""
        versions: list[Any] = (
            await get_model("EmailTemplateVersion")
            .filter(template_id=self.pk)
            .order_by("-number")
            .prefetch_related("author")
        )
        return versions

    async def version(self, number: int) -> Any:
        """Return a version; UserError where there is none."""
        found = await get_model("EmailTemplateVersion").get_or_none(template_id=self.pk, number=number)
        if found is None:
            raise UserError(f'The template "{self.identifier}" has no version {number}.')
        return found

    async def diff(self, old: int, new: int | None = None) -> str:
        """Return what changed between two versions, as a unified diff; None is what is stored now. Empty: nothing."""
        first = await self.version(old)
        if new is not None:
            second = await self.version(new)
            texts, name = second.texts, second.display_name.lower()
            return await asyncio.to_thread(difference, first.texts, texts, first.display_name.lower(), name)
        holder = self if not first.language else await self._variant(first.language)
        texts = await holder.stored_texts() or {}
        return await asyncio.to_thread(difference, first.texts, texts, first.display_name.lower(), "now")

    async def restore(self, number: int) -> None:
        """Make the texts of a version the current ones, which makes a version of its own.

        UserError where they compile no more. What is queued already goes out as it was queued.
        """
        version = await self.version(number)
        holder = self if not version.language else await self._variant(version.language)
        if faults := await holder.check_values(version.texts):
            raise UserError(f"Version {number} cannot be restored: {'; '.join(faults)}.")
        holder.update_from_dict(version.texts)
        await holder.save(note=f"Restored from version {number}")

    async def _variant(self, language: str) -> Any:
        """Return the variant of a language, or a new one that is not stored yet."""
        model = get_model("EmailTemplateVariant")
        found = await model.get_or_none(template_id=self.pk, language=language)
        return found or model(template_id=self.pk, language=language)

    # Rendering.

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
        return await email_template.render_for(record, locale=locale, only=("subject", "content"))

    async def render_for(
        self, record: Any, *, locale: str | None = None, strict: bool = False, only: Sequence[str] = TEXTS
    ) -> dict[str, str]:
        """Return the texts of this template rendered for a record, by field name; a strict render allows no blank.

        `only` are the texts that are wanted. Raises TemplateError with line and column.
        """
        (rendered,) = await self.render_many([record], locale=locale, strict=strict, only=only)
        if isinstance(rendered, PostroomError):
            raise rendered
        return rendered

    async def render_many(
        self,
        records: Sequence[Any],
        *,
        locale: str | None = None,
        strict: bool = False,
        only: Sequence[str] = TEXTS,
        reader: Reader | None = None,
    ) -> list[dict[str, str] | PostroomError]:
        """Return the texts for each of some records of one model, in their order.

        Nothing is compiled twice, and the database is asked per relation, not per record. A record for which it cannot
        be rendered has its error in its place and stops no other. `reader`, such as an Access, is whose own text it is:
        what they may not read is not there.
        """
        variants = await self._in_languages()
        rendered: list[dict[str, str] | PostroomError] = []
        for start in range(0, len(records), RENDERED_AT_ONCE):
            tasks = await self._tasks(records[start : start + RENDERED_AT_ONCE], variants, locale, reader)
            # Rendering never waits by itself, and others want the loop.
            rendered += await asyncio.to_thread(_all_rendered, tasks, only, strict=strict)
        return rendered

    async def _tasks(
        self, records: Sequence[Any], variants: Sequence[Any], locale: str | None, reader: Reader | None
    ) -> list[_Task | PostroomError]:
        """Return what is to be rendered for each record, or why it cannot be."""
        tasks: list[_Task | PostroomError] = []
        for record, data in zip(records, await plain_data_of(records, reader=reader), strict=True):
            try:
                audience = await audience_of(record, locale)
                context = await filtered_context(data, record, self, audience)
                tasks.append(_Task(self._texts(nearest(variants, audience.locale)), context, audience))
            except PostroomError as error:
                tasks.append(error)
        return tasks

    async def preview(self, record: Any, *, locale: str | None = None) -> TemplatePreview:
        """Return what this template makes of a record, with every fault that sending it would meet, or pass over."""
        await self.fetch_related("report")
        audience = await audience_of(record, locale)
        context = await template_context(record, self, audience)
        variant = nearest(await self._in_languages(), audience.locale)
        task = _Task(self._texts(variant), context, audience)
        texts, faults, missing = await asyncio.to_thread(_tried, task)
        if self.report is not None:
            report, found = await self.report.preview(record, audience)
            texts["file_name"] = report
            faults += found
        return TemplatePreview(texts, tuple(faults), missing, variant.language if variant else "", audience.locale)

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
        return await self._mail(record, await self.render_for(record, only=_wanted(options)), options)

    async def mails_for(self, records: Sequence[Any], **options: Any) -> list[dict[str, Any] | PostroomError]:
        """Return `mail_for` of many records of one model; one that has none has its error in its place."""
        await self.fetch_related("attachments", "report", "model")
        if strangers := {type(record).__name__ for record in records} - {self.model.identifier}:
            raise UserError(
                f'The template "{self.identifier}" is for {self.model.identifier}, not for {", ".join(strangers)}.'
            )
        mails: list[dict[str, Any] | PostroomError] = []
        for record, rendered in zip(records, await self.render_many(records, only=_wanted(options)), strict=True):
            try:
                mails.append(
                    rendered if isinstance(rendered, PostroomError) else await self._mail(record, rendered, options)
                )
            except PostroomError as error:
                mails.append(error)
        return mails

    async def _mail(self, record: Any, rendered: Mapping[str, str], options: Mapping[str, Any]) -> dict[str, Any]:
        mail: dict[str, Any] = {
            "subject": rendered["subject"],
            "body": rendered["content"],
            "template": self.identifier,
            "to": self._named_in("to_email", rendered) or None,
            "cc": self._named_in("cc_email", rendered),
            "reply_to": rendered.get("reply_email") or None,
            "from_email": rendered.get("from_email") or None,
            "attachments": list(self.attachments),
        }
        own = {name: getattr(self, name) for name in ("on_unknown", "track")}
        mail |= {name: value for name, value in own.items() if value is not None}
        if mail["to"] is None and self.to_email.strip() and "to" not in options:
            raise UserError(
                f'The template "{self.identifier}" cannot be sent: its to_email names nobody for {record.display_name}.'
            )
        if self.report is not None:
            mail["attachments"].append(await self.report.render_pdf(record))
        return {**mail, **options}

    def _named_in(self, name: str, rendered: Mapping[str, str]) -> list[str]:
        """Return the header forms in a rendered address line; each is checked again when the mail is queued."""
        try:
            return [header_form(one.name, one.address) for one in address_list(rendered.get(name, ""))]
        except AddressError as error:
            raise UserError(f'The template "{self.identifier}" cannot be sent: {name}: {error}') from error

    async def _in_languages(self) -> list[Any]:
        if self.pk is None:
            return []
        return list(await get_model("EmailTemplateVariant").filter(template_id=self.pk, active=True))

    def _texts(self, variant: Any) -> dict[str, tuple[str, str]]:
        """Return (source, where it stands) of every text, by field name: the variant's where it has one."""
        texts = {}
        for name in TEXTS:
            own = getattr(variant, name, "")
            place = f"{self.identifier} ({variant.language})" if own else self.identifier
            texts[name] = own or getattr(self, name), f"{place}: {name}"
        return texts


def _wanted(options: Mapping[str, Any]) -> list[str]:
    """Return the texts that a mail takes from its template: those that no option stands for."""
    return [name for name in TEXTS if _OPTIONS.get(name) not in options]


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be rendered for one record: (source, where it stands) by field name."""

    texts: Mapping[str, tuple[str, str]]
    context: Mapping[str, Any]
    audience: Audience

    def render(self, name: str, *, strict: bool) -> Rendered:
        source, where = self.texts[name]
        renderer, audience = runtime().renderer, self.audience
        if name == "content":
            return renderer.render(source, self.context, escape=True, audience=audience, strict=strict, name=where)
        if name not in ADDRESSES:
            return renderer.render_line(source, self.context, audience=audience, strict=strict, name=where)
        rendered = renderer.render_addresses(source, self.context, audience=audience, strict=strict, name=where)
        try:
            return Rendered(plain_line(rendered.text), rendered.missing)
        except AddressError as error:
            raise TemplateError(str(error), source=where, excerpt=source) from error


def _all_rendered(
    tasks: Sequence[_Task | PostroomError], names: Sequence[str], *, strict: bool
) -> list[dict[str, str] | PostroomError]:
    rendered: list[dict[str, str] | PostroomError] = []
    for task in tasks:
        if isinstance(task, PostroomError):
            rendered.append(task)
            continue
        try:
            rendered.append({name: task.render(name, strict=strict).text for name in names})
        except TemplateError as error:
            rendered.append(error)
    return rendered


def _tried(task: _Task) -> tuple[dict[str, str], list[TemplateError], tuple[str, ...]]:
    """Return the texts as they would be sent, the first fault of each by a strict render, and the names missing."""
    texts, faults, missing = {}, [], dict[str, None]()
    for name in task.texts:
        texts[name] = ""
        try:
            texts[name] = task.render(name, strict=True).text
        except TemplateError as error:
            faults.append(error)
            with suppress(TemplateError):
                rendered = task.render(name, strict=False)
                texts[name] = rendered.text
                missing |= dict.fromkeys(rendered.missing)
    return texts, faults, tuple(missing)
