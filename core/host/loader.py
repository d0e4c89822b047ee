"""Loading addons in order: hooks, models, contributions. Every fault of every addon is told at once."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from core.contributions import AddonInfo, Contributions
from core.errors import AddonError
from core.hooks import HookError, Hooks
from core.host.finder import find_addons
from core.host.graph import dependency_order
from core.orm.record import Record
from core.orm.registry import Registry
from core.render.catalogue import Catalogues, read_catalogues


class LoadedAddons:
    """What the addons of one host brought."""

    def __init__(self, sources: tuple[AddonInfo, ...], hooks: Hooks, registry: Registry, catalogues: Catalogues):
        self.sources = sources
        self.hooks = hooks
        self.registry = registry
        self.catalogues = catalogues
        self.contributions = Contributions(
            **{
                name: hooks.contributions(f"register_{name}")
                for name in ("pages", "menu", "commands", "template_filters", "channels", "gateway_rules")
            }
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(source.name for source in self.sources)


def load_addons(wanted: Iterable[str], addons_path: Iterable[str]) -> LoadedAddons:
    """Find, order and import the wanted addons (all, when none is named); raise AddonError with every fault."""
    found, faults = find_addons(addons_path)
    order, missing = dependency_order(
        tuple(wanted) or tuple(found), {name: source.depends for name, source in found.items()}
    )
    sources = tuple(found[name] for name in order)
    hooks, registry = Hooks(), Registry()
    faults += missing
    for source in sources:
        faults += _load(source, hooks, registry)
    catalogues, broken = read_catalogues((source.name, source.folder) for source in sources)
    faults += broken
    if faults:
        raise AddonError("The addons cannot be loaded:", faults)
    registry.compose()
    return LoadedAddons(sources, hooks, registry, catalogues)


def _load(source: AddonInfo, hooks: Hooks, registry: Registry) -> list[str]:
    module, fault = _import(source, f"{source.package}.{_hooks_module(source)}")
    if module is None:
        return [fault]
    broken = hooks.register(source.name, module)
    if broken:
        return [broken]
    missing = [f"{source.name}: there is no {file}" for file in _missing_files(source)]
    try:
        declared = [item for _, item in hooks.contributions("register_models", source.name)]
    except HookError as error:
        return [*missing, str(error)]
    registry.add(source.name, declared)
    return missing + _forgotten_models(source, declared)


def _hooks_module(source: AddonInfo) -> str:
    """Core is addon zero; its hooks have a module of their own, since `core.hooks` is what calls hooks."""
    return "addon" if source.name == "core" else "hooks"


def _import(source: AddonInfo, name: str) -> tuple[ModuleType | None, str]:
    try:
        return importlib.import_module(name), ""
    except Exception as error:  # Whatever an addon's module raises is that addon's fault, told with the others.
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        return None, f"{source.name}: {name} cannot be imported: {type(error).__name__}: {error} ({where})"


def _missing_files(source: AddonInfo) -> list[str]:
    return [file for file in (*source.data, *source.demo) if not (source.data_folder / file).is_file()]


def _forgotten_models(source: AddonInfo, declared: list[type]) -> list[str]:
    """A model file that nobody loads would be silence; it is a fault."""
    faults = []
    for file in sorted((source.folder / "models").glob("*.py")):
        if file.stem == "__init__":
            continue
        module, fault = _import(source, f"{source.package}.models.{file.stem}")
        if module is None:
            faults.append(fault)
            continue
        faults += [
            f"{source.name}: models/{file.name} declares {name}, but register_models does not return it"
            for name, value in vars(module).items()
            if _is_own_model(value, module) and value not in declared
        ]
    return faults


def _is_own_model(value: object, module: ModuleType) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, Record)
        and value.__module__ == module.__name__
        and not value.abstract
    )
