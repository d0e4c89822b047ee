"""The model registry: fragments in, one composed model per name out.

`add` takes the fragments of each addon in dependency order, `compose` checks them all and builds the models, and `get`
answers by name. Nothing here knows a database. Faults of all models are told at once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, cast
from uuid import uuid4

from tortoise.exceptions import ConfigurationError
from tortoise.models import Model, ModelMeta

from core.errors import AddonError, UnknownName, did_you_mean
from core.orm import fields
from core.orm.fields import MoreChoices, SelectionField
from core.orm.record import Record, all_declared_fields

_LIST_OPTIONS = ("indexes", "unique_together")
_LIST_SWITCHES = ("_admins_write", "_money", "_private", "_rendered_lists", "_track")
"""An extension adds to these; if it replaced them, a field that the base keeps private would show."""


@dataclass(slots=True)
class ModelEntry:
    """All that was declared of one model, and the composed class."""

    name: str
    addon: str
    base: type[Record]
    extensions: list[tuple[str, type[Record]]] = field(default_factory=list)
    model: type[Any] | None = None

    def owner_of(self, field_name: str) -> str:
        """Name the addon that brought a field first; whoever changes it later does not own its column."""
        for addon, fragment in [(self.addon, self.base), *self.extensions]:
            if all_declared_fields(fragment).get(field_name) is not None:
                return addon
        return self.addon


class Registry:
    """Every model of one host, by name."""

    def __init__(self) -> None:
        self._entries: dict[str, ModelEntry] = {}
        self._extensions: list[tuple[str, type[Record]]] = []
        self._faults: list[str] = []
        self.module_name = f"postroom_models_{uuid4().hex}"

    def add(self, addon: str, fragments: Iterable[type[Record]]) -> None:
        """Take the declarations of one addon; a name declared twice is a fault that `compose` tells."""
        for fragment in fragments:
            name = fragment.__name__
            if fragment.extends:
                self._extensions.append((addon, fragment))
            elif name in self._entries:
                first = self._entries[name].addon
                self._faults.append(
                    f'{addon}: model {name} is declared by {first} already; write extends = "{name}" to add to it'
                )
            else:
                self._entries[name] = ModelEntry(name, addon, fragment)

    def compose(self) -> None:
        """Build every model, or raise AddonError with all that is wrong."""
        for addon, fragment in self._extensions:
            entry = self._entries.get(str(fragment.extends))
            if entry is None:
                hint = did_you_mean(str(fragment.extends), self._entries)
                self._faults.append(
                    f"{addon}: {fragment.__name__} extends {fragment.extends}, which is no model.{hint}"
                )
            else:
                entry.extensions.append((addon, fragment))
        module = ModuleType(self.module_name)
        for entry in self._entries.values():
            columns = self._columns(entry)
            self._faults += _strange_names(entry, columns)
            if self._faults:
                continue
            try:
                entry.model = _build(entry, columns, self.module_name)
                setattr(module, entry.name, entry.model)
            except ConfigurationError as error:
                self._faults.append(f"{entry.addon}: {error}")
        if self._faults:
            raise AddonError("The models do not fit together:", self._faults)
        sys.modules[self.module_name] = module

    def close(self) -> None:
        """Forget the module that the composed models live in."""
        sys.modules.pop(self.module_name, None)

    def get(self, name: str) -> type[Any]:
        """Return a composed model, or raise UnknownName with the nearest name."""
        entry = self._entries.get(name)
        if entry is None or entry.model is None:
            raise UnknownName(f'There is no model "{name}".{did_you_mean(name, self._entries)}')
        return entry.model

    def entry(self, name: str) -> ModelEntry:
        """Return what was declared of a model."""
        self.get(name)
        return self._entries[name]

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter(self._entries.values())

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def _columns(self, entry: ModelEntry) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for addon, fragment in [(entry.addon, entry.base), *entry.extensions]:
            for name, declared in all_declared_fields(fragment).items():
                if declared is None:
                    columns.pop(name, None)
                elif isinstance(declared, MoreChoices):
                    self._add_choices(addon, entry.name, name, columns, declared)
                else:
                    columns[name] = _own(declared)
                    self._check_reference(addon, entry.name, name, declared)
        return columns

    def _add_choices(self, addon: str, model: str, name: str, columns: dict[str, Any], more: MoreChoices) -> None:
        target = columns.get(name)
        if isinstance(target, SelectionField):
            target.choices |= more.choices
        else:
            self._faults.append(f"{addon}: {model}.{name} takes no more choices: it is no SelectionField")

    def _check_reference(self, addon: str, model: str, name: str, declared: Any) -> None:
        target = getattr(declared, "model_name", None)
        if not isinstance(target, str):
            return
        known = target.rpartition(".")[2]
        if known not in self._entries:
            self._faults.append(
                f"{addon}: {model}.{name} points at {known}, which is no model.{did_you_mean(known, self._entries)}"
            )


def _own(declared: Any) -> Any:
    """Return a field for one model alone: of what it holds, only lists and mappings are ever changed."""
    mine = copy(declared)
    for name, value in vars(mine).items():
        if isinstance(value, list | dict):
            setattr(mine, name, value.copy())
    return mine


def _build(entry: ModelEntry, columns: dict[str, Any], module_name: str) -> type[Any]:
    fragments = [fragment for _, fragment in entry.extensions]
    namespace: dict[str, Any] = {
        "id": fields.BigIntField(primary_key=True),
        **columns,
        **_merged_switches([entry.base, *fragments]),
        "Meta": _merged_meta(entry.name, [entry.base, *fragments]),
        "__module__": module_name,
        "__qualname__": entry.name,
        "__doc__": entry.base.__doc__,
        # Tortoise reads comments from the source of the class, and a composed class has none.
        "_no_comments": True,
    }
    bases: tuple[type, ...] = (*reversed(fragments), entry.base, Model)
    return cast("type[Any]", ModelMeta(entry.name, bases, namespace))


def _merged_switches(fragments: list[type[Record]]) -> dict[str, tuple[str, ...]]:
    merged = {name: [item for one in fragments for item in getattr(one, name, ())] for name in _LIST_SWITCHES}
    return {name: tuple(dict.fromkeys(items)) for name, items in merged.items() if items}


def _strange_names(entry: ModelEntry, columns: Mapping[str, Any]) -> Iterator[str]:
    """Name what the switches about a model's own fields say of fields that are none."""
    for addon, fragment in [(entry.addon, entry.base), *entry.extensions]:
        for switch in ("_admins_write", "_money", "_track"):
            for name in getattr(fragment, switch, ()):
                if name not in (*columns, "*"):
                    hint = did_you_mean(name, columns)
                    where = f"{addon}: {fragment.__name__}: {switch}"
                    yield f'{where} names "{name}", which is no field of {entry.name}.{hint}'


def _merged_meta(name: str, fragments: list[type[Record]]) -> type:
    merged: dict[str, Any] = {"table": snake_case(name)}
    for fragment in fragments:
        for base in reversed(fragment.__mro__):
            options = vars(base).get("Meta")
            for key, value in vars(options).items() if isinstance(options, type) else ():
                if key.startswith("__"):
                    continue
                merged[key] = (*merged.get(key, ()), *value) if key in _LIST_OPTIONS else value
    if "manager" in merged:
        # A manager keeps its model, so that of each host has a manager of its own.
        merged["manager"] = type(merged["manager"])()
    return type("Meta", (), merged)


def snake_case(name: str) -> str:
    """`CrmLead` -> `crm_lead`, `HTMLPage` -> `html_page`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
