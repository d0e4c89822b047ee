"""Which models mail may create records of, and which of their fields a route or a mail may fill.

A model takes mail when it says so: its `_accepts_email` is true, as `Chatter` makes it. Of its fields only plain ones
may be filled, never those that decide about rights, ownership or workflow (SECURITY I19).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tortoise.exceptions import ValidationError

from core.errors import UnknownName, UserError, did_you_mean
from core.gateway.values import Received, Route
from core.orm.fields import BinaryField, CharField, SecretField, TextField
from core.runtime import get_model, runtime

NO_SUBJECT = "(no subject)"
_NEVER = frozenset({"id", "identifier", "company", "is_admin", "state", "active"})
_CONTACT_FIELDS = ("contact", "partner")


def check_route(target_model: str, target_name_field: str, defaults: Mapping[str, Any]) -> type[Any]:
    """Return the model that a route creates records of, or raise UserError with all that is wrong with the route."""
    try:
        model = get_model(target_model)
    except UnknownName as error:
        raise UserError(f"target_model: {error}") from error
    if not getattr(model, "_accepts_email", False):
        raise UserError(f"target_model: {target_model} takes no mail; only models with a timeline (Chatter) do.")
    faults = []
    fillable = _fillable(model)
    if not isinstance(fillable.get(target_name_field), CharField | TextField):
        hint = did_you_mean(target_name_field, list(fillable))
        faults.append(f'target_name_field: {target_model} has no text field "{target_name_field}".{hint}')
    for name, value in defaults.items():
        field = fillable.get(name)
        if field is None:
            hint = did_you_mean(name, list(fillable))
            faults.append(f'defaults: "{name}" is no field of {target_model} that a route may set.{hint}')
        elif fault := _fault_of(field, value):
            faults.append(f"defaults: {fault}")
    if faults:
        raise UserError(" ".join(faults))
    return model


async def new_record(route: Route, email: Received, contact_id: int | None) -> Any:
    """Return the route's record of a mail, not stored yet; whatever its model or an addon raises goes on."""
    return get_model(route.target_model)(**await values_of(route, email, contact_id))


async def values_of(route: Route, email: Received, contact_id: int | None) -> dict[str, Any]:
    """Return the fields of the record that the route makes of a mail, as the addons left them."""
    model = check_route(route.target_model, route.target_name_field, route.defaults)
    values = {**route.defaults, **_values_of(model, route, email, contact_id)}
    changed: dict[str, Any] = await runtime().hooks.filter("filter_route_values", values, route=route, email=email)
    return changed


def refusal_of(route: Route, error: Exception) -> str:
    """Say that the route's record could not be created, and why."""
    return f"{route.alias}: no {route.target_model} was created: {error}"


def _values_of(model: type[Any], route: Route, email: Received, contact_id: int | None) -> dict[str, Any]:
    """Return what the mail itself says about the record, for those common fields that the model has."""
    parsed = email.parsed
    sender = parsed.sender
    said = {
        "email_from": header_form(sender.name, sender.address) if sender else "",
        "email": sender.address if sender else "",
        "contact_name": (sender.name or sender.address) if sender else "",
        "description": email.text,
        route.target_name_field: " ".join(parsed.subject.split()) or NO_SUBJECT,
    }
    fillable = _fillable(model)
    values: dict[str, Any] = {
        name: _cut(field, text)
        for name, text in said.items()
        if text and isinstance(field := fillable.get(name), CharField | TextField)
    }
    if route.company_id is not None and "company" in model._meta.fk_fields:
        values["company_id"] = route.company_id
    for name in _CONTACT_FIELDS:
        relation = model._meta.fields_map.get(name)
        if contact_id is not None and getattr(relation, "model_name", "") == "models.Contact":
            values[f"{name}_id"] = contact_id
    return values


def _fillable(model: type[Any]) -> Mapping[str, Any]:
    """Return the plain fields that mail may fill, by name; found once, they live and die with the model."""
    found: Mapping[str, Any] | None = vars(model).get("_filled_by_mail")
    if found is None:
        meta = model._meta
        links = {meta.fields_map[one].source_field for one in (*meta.fk_fields, *meta.o2o_fields)}
        names = meta.db_fields - {*_NEVER, *links, *getattr(model, "_private", ())}
        plain = {name: field for name, field in meta.fields_map.items() if name in names and _is_plain(field)}
        found = model._filled_by_mail = plain
    return found


def _is_plain(field: Any) -> bool:
    is_stamp = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    return not is_stamp and not isinstance(field, SecretField | BinaryField)


def _fault_of(field: Any, value: Any) -> str:
    try:
        field.to_db_value(field.to_python_value(value), None)
    except (ValidationError, ValueError, TypeError, ArithmeticError) as error:
        return str(error) or f"{field.model_field_name} cannot be {value!r}"
    return ""


def _cut(field: Any, text: str) -> str:
    longest = getattr(field, "max_length", None)
    return text[:longest] if longest else text


def header_form(name: str, address: str) -> str:
    """Return `Name <address>` for people to read, the name in quotes where it has characters of an address list."""
    if not name:
        return address
    if any(char in name for char in '",;:<>@()[]\\'):
        name = '"' + name.replace("\\", r"\\").replace('"', r"\"") + '"'
    return f"{name} <{address}>"
