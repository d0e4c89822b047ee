"""A record's fields by name, as text: what `{{field:slug}}` in a mail may stand for, and what it stands for now.

Only what the user whose mail it is may read. Keys, lists and files are no fields here, and no secret ever is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from core.access import Access, access_of
from core.errors import AccessDenied, UnknownName, UserError
from core.mail.field_tokens import filled_html, filled_line, filled_text, slugs_in
from core.models.rendering import audience_of, related
from core.orm.fields import SelectionField
from core.render import filters
from core.render.run import Audience
from core.runtime import get_model, runtime

_SUBJECT_CHARS = 998
_TEXTS = ("subject", "body", "text")
_NO_VALUES = ("BinaryField", "JSONField")


def field_choices(model: str, access: Access) -> dict[str, str]:
    """Return the title of each field of a model that may stand in a mail of this user's, by slug."""
    return {name: name.replace("_", " ").strip().capitalize() for name in _slugs(get_model(model), access)}


def check_slugs(model: str, access: Access, *texts: str) -> None:
    """Raise UserError for a token in the texts that stands for no field of the model, or for none of this user's."""
    known = field_choices(model, access)
    unknown = [slug for slug in slugs_in(*texts) if slug not in known]
    if unknown:
        raise UserError(
            f"{{{{field:{unknown[0][:60]}}}}} stands for no field of {model} that you may read; "
            f"there are {', '.join(known)}."
        )


async def filled_texts(message_id: int) -> dict[str, Any]:
    """Return a message's subject, body and text with what its tokens stand for now, as a row of the queue has them.

    UserError where the record is gone, or its author may not read it any more.
    """
    message = await get_model("Message").get(id=message_id)
    slugs = slugs_in(message.subject, message.body, message.text or "")
    values = await _values_for(message, slugs) if slugs else {}
    texts = await asyncio.to_thread(_filled, message, values)
    return {**texts, "has_field_tokens": False}


async def fix_field_tokens(message_id: int) -> dict[str, Any]:
    """Store what `filled_texts` returns, unless another worker did already; returns what is stored."""
    texts = await filled_texts(message_id)
    database = runtime().database
    param = database.dialect.param
    fixed = await database.execute(
        f"""UPDATE message SET subject = {param(2)}, body = {param(3)}, text = {param(4)}, has_field_tokens = FALSE
            WHERE id = {param(1)} AND has_field_tokens""",
        [message_id, *(texts[name] for name in _TEXTS)],
    )
    if fixed:
        return texts
    stored: dict[str, Any] = await get_model("Message").get(id=message_id).values(*_TEXTS, "has_field_tokens")
    return stored


async def _values_for(message: Any, slugs: Iterable[str]) -> dict[str, str]:
    author = await get_model("User").get_or_none(id=message.author_id, active=True)
    if author is None:
        raise UserError("Whoever wrote the mail has no account any more, so nobody may read the fields in it.")
    access = await access_of(author)
    try:
        record = await access.find(message.res_model, message.res_id)
    except (AccessDenied, UnknownName) as error:
        raise UserError(f"The fields in the mail cannot be filled in: {error}") from error
    allowed = _slugs(type(record), access)
    unreadable = [slug for slug in slugs if slug not in allowed]
    if unreadable:
        raise UserError(f"The author of the mail may not read the field {unreadable[0]} any more.")
    audience = await audience_of(record)
    return {slug: await _text(record, slug, audience) for slug in slugs}


def _filled(message: Any, values: Mapping[str, str]) -> dict[str, Any]:
    return {
        "subject": filled_line(message.subject, values)[:_SUBJECT_CHARS],
        "body": filled_html(message.body, values),
        "text": None if message.text is None else filled_text(message.text, values),
    }


def _slugs(model: Any, access: Access) -> list[str]:
    """Return the fields in the order in which the model declares them, to-one relations among them."""
    meta = model._meta
    keys = {meta.pk_attr, *(meta.fields_map[name].source_field for name in meta.fk_fields | meta.o2o_fields)}
    return [
        name
        for name, field in meta.fields_map.items()
        if name not in keys and access.may_field(model.__name__, name)
        and (_is_readable_relation(meta, name, access) or _is_value(meta, name, field))
    ]  # fmt: skip


def _is_readable_relation(meta: Any, name: str, access: Access) -> bool:
    is_relation = name in meta.fk_fields or name in meta.o2o_fields
    return is_relation and access.may(meta.fields_map[name].related_model.__name__)


def _is_value(meta: Any, name: str, field: Any) -> bool:
    return name in meta.db_fields and type(field).__name__ not in _NO_VALUES


async def _text(record: Any, name: str, audience: Audience) -> str:
    """Return a field's value as its reader writes it."""
    if name in record._meta.fk_fields or name in record._meta.o2o_fields:
        target = await related(record, name)
        return target.display_name if target is not None else ""
    value = getattr(record, name)
    field = record._meta.fields_map[name]
    if value is None:
        return ""
    if isinstance(field, SelectionField):
        return field.choices.get(value, str(value))
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, Decimal):
        is_money = name in record._money
        return filters.money(audience, value) if is_money else filters.number(audience, value)
    if isinstance(value, datetime):
        return filters.datetime(audience, value)
    return filters.date(audience, value) if isinstance(value, date) else str(value)
