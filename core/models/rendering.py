"""What templates and reports render with: the record as plain data, and for whom."""

from __future__ import annotations

from typing import Any

from core.orm.serialize import plain_data
from core.render.run import Audience
from core.runtime import acting_user, runtime, settings


async def template_context(record: Any, template: Any) -> dict[str, Any]:
    """Return the plain data of a record, each field by its name, and the whole as `object`."""
    data = await plain_data(record)
    context = {**data, "object": data}
    changed: dict[str, Any] = await runtime().hooks.filter(
        "filter_template_context", context, template=template, record=record
    )
    return changed


async def audience_of(record: Any, locale: str | None = None) -> Audience:
    """Return the reader's language and zone: the contact's, else the acting user's, else the configuration's.

    Amounts are in the currency of the record, or of its company, where they do not say.
    """
    contact = await record._collaborate_contact() if hasattr(record, "_collaborate_contact") else None
    user = acting_user()
    values = settings()
    await _fetch_company(record)
    company = getattr(record, "company", None)
    return Audience(
        locale=locale or _first("locale", contact, user, company) or values.DEFAULT_LOCALE,
        timezone=_first("timezone", contact, user) or values.DEFAULT_TIMEZONE,
        currency=_first("currency", record, company) or None,
    )


async def _fetch_company(record: Any) -> None:
    if "company" in record._meta.fk_fields:
        await record.fetch_related("company")


def _first(name: str, *holders: Any) -> str:
    return next((str(value) for holder in holders if (value := getattr(holder, name, ""))), "")
