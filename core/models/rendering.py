"""What templates and reports render with: records as plain data, and for whom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.errors import TemplateError
from core.orm.serialize import plain_data_of
from core.render.run import Audience
from core.runtime import acting_user, get_model, runtime, settings


def syntax_faults(texts: Iterable[tuple[str, Any]]) -> list[str]:
    """Return why texts, each with its field's name, do not compile; one that is not there does."""
    faults = []
    for name, text in texts:
        try:
            runtime().renderer.check(str(text or ""), name=name)
        except TemplateError as error:
            faults.append(str(error))
    return faults


async def template_context(record: Any, template: Any, audience: Audience) -> dict[str, Any]:
    """Return the plain data of a record, each field by its name, and the whole as `object`."""
    (data,) = await plain_data_of([record])
    return await filtered_context(data, record, template, audience)


async def filtered_context(data: dict[str, Any], record: Any, template: Any, audience: Audience) -> dict[str, Any]:
    """Return what a template renders with: a record's data, as the addons add to it. HookError where one fails."""
    changed: dict[str, Any] = await runtime().hooks.filter(
        "filter_template_context", {**data, "object": data}, template=template, record=record, audience=audience
    )
    return changed


async def audience_of(record: Any, locale: str | None = None) -> Audience:
    """Return the reader's language and zone: the contact's, else the acting user's, else the configuration's.

    A company that has a language comes before the configuration. Amounts are in the currency of the record, or of its
    company, where they do not say.
    """
    contact = await record._collaborate_contact() if hasattr(record, "_collaborate_contact") else None
    user = acting_user()
    values = settings()
    company = await related(record, "company") if "company" in record._meta.fk_fields else None
    return Audience(
        locale=locale or _first("locale", contact, user, company) or values.DEFAULT_LOCALE,
        timezone=_first("timezone", contact, user) or values.DEFAULT_TIMEZONE,
        currency=_first("currency", record, company) or None,
    )


async def related(record: Any, name: str) -> Any:
    """Return what a to-one field points at, or None; the database is asked only where the record does not have it."""
    field = record._meta.fields_map[name]
    key = getattr(record, field.source_field)
    if key is None:
        return None
    loaded = vars(record).get(f"_{name}")
    if loaded is not None and loaded.pk == key:
        return loaded
    return await get_model(field.related_model.__name__).get_or_none(id=key)


def _first(name: str, *holders: Any) -> str:
    return next((str(value) for holder in holders if (value := getattr(holder, name, ""))), "")
