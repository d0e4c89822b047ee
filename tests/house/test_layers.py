"""The layers of docs/architecture.md, read from the imports as they are written.

A line may import any line below it, never above; two packages on one line never import each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from core.testing.imports import Import, imports_of

ROOT = Path(__file__).resolve().parents[2]
LAYERS = (
    ("pattern",),
    ("errors", "clock", "paths", "contributions", "hashing", "lean", "tracing"),
    ("mail", "orm", "render", "config"),
    ("hookspecs", "transport"),
    ("hooks",),
    ("runtime",),
    ("events", "access", "audit", "idempotency"),
    ("gateway", "web", "devmail", "seed", "cron", "delivery", "webhooks"),
    ("models",),
    ("host", "api", "addon"),
    ("cli", "testing"),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
HEAVY = {
    "addons.mass_mailing.api": "FastAPI",
    "addons.sms.webhook": "Starlette",
    "addons.whatsapp.webhook": "Starlette",
    "core.web.server": "FastAPI",
    "core.cli.logs": "structlog",
    "core.transport.imap_protocol": "aioimaplib",
    "core.host.host": "Tortoise, Jinja and every engine",
    "core.host.loader": "Tortoise and Jinja",
    "core.orm.outage": "Tortoise",
    "core.orm.schema": "Tortoise",
}
"""Modules of ours that may be imported late, and the library whose loading that delays."""
TESTING_ONLY = frozenset({"pytest"})


def source_files() -> list[Path]:
    return sorted((ROOT / "core").rglob("*.py"))


def package_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).parent.parts)


def room_of(file: Path) -> str:
    return file.relative_to(ROOT / "core").parts[0].removesuffix(".py")


def target_room(one: Import) -> str | None:
    """Return the room of core that an import leads to; None for what is not of core."""
    parts = one.full_name.split(".")
    return parts[1] if parts[0] == "core" and len(parts) > 1 else None


def shown(file: Path, one: Import) -> str:
    return f"{file.relative_to(ROOT)}:{one.line} imports {one.full_name}"


def imports_of_core() -> Iterator[tuple[Path, Import]]:
    for file in source_files():
        for one in imports_of(file, package_of(file)):
            yield file, one


def test_every_room_has_its_line() -> None:
    rooms = {room_of(file) for file in source_files()} - {"__init__"}
    assert rooms == set(LEVEL)


def test_imports_lead_down() -> None:
    wrong = []
    for file, one in imports_of_core():
        here, there = room_of(file), target_room(one)
        if there is None or there == here or here == "__init__":
            continue
        if LEVEL[there] >= LEVEL[here]:
            wrong.append(shown(file, one))
    assert wrong == []


def test_no_modules_import_each_other() -> None:
    modules = {module_name(file): file for file in source_files()}
    graph: dict[str, set[str]] = {}
    for name, file in modules.items():
        found = {target_module(one, modules) for one in imports_of(file, package_of(file)) if not one.is_typing}
        graph[name] = {one for one in found if one and one != name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def target_module(one: Import, modules: dict[str, Path]) -> str | None:
    if one.full_name in modules:
        return one.full_name
    return one.module if one.module in modules else None


def test_no_import_hides_in_a_function() -> None:
    """Except of a heavy library, to spare the start of commands that never need it."""
    files = [*source_files(), *sorted((ROOT / "addons").rglob("*.py"))]
    hidden = [
        shown(file, one)
        for file in files
        for one in imports_of(file, package_of(file))
        if one.is_late
        and one.module.partition(".")[0] in ("core", "addons")
        and HEAVY.keys().isdisjoint((one.module, one.full_name))
    ]
    assert hidden == []


def test_only_the_testing_room_imports_test_tools() -> None:
    assert [
        shown(file, one)
        for file, one in imports_of_core()
        if one.module.partition(".")[0] in TESTING_ONLY and room_of(file) != "testing"
    ] == []


def test_nobody_imports_the_addons() -> None:
    assert [shown(file, one) for file, one in imports_of_core() if one.module.partition(".")[0] == "addons"] == []


def test_mail_is_pure() -> None:
    """Bytes and values in, values out: no database, no network, no clock."""
    impure = ("tortoise", "asyncio", "socket", "ssl", "time", "core.clock")
    assert [
        shown(file, one)
        for file, one in imports_of_core()
        if room_of(file) == "mail" and one.full_name.startswith(impure)
    ] == []
