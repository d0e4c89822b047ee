"""PERFORMANCE.md, 13: a command loads what it needs. Modules are counted here, since time varies; time is measured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from core.cli.main import build

_HOST = {"tortoise", "jinja2", "core.host.host", "core.delivery.engine", "core.cli.serve"}
_WEB = {"fastapi", "uvicorn", "aioimaplib", "weasyprint", "httpx2", "dns"}
_WORDS = {"email_validator", "icalendar", "phonenumbers", "css_inline", "asyncpg", "pygments", "lxml", "filetype"}
_PAGES = {"starlette", "rich", "argon2"}
_LOADED = "import sys; from core.cli.main import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"


def _modules(folder: Path, *words: str) -> set[str]:
    environment = {
        "POSTROOM_VAR_DIR": str(folder),
        "POSTROOM_DATABASE_URL": f"sqlite://{folder}/p.db",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    call = [sys.executable, "-c", _LOADED, *words]
    done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_loads_no_host(tmp_path: Path) -> None:
    loaded = _modules(tmp_path, "--help")
    assert "core.cli.main" in loaded
    assert not loaded & (_HOST | _WEB)
    assert len(loaded) < 650


def test_the_queue_loads_no_pages_and_no_engine_that_it_does_not_need(tmp_path: Path) -> None:
    _modules(tmp_path, "init")
    loaded = _modules(tmp_path, "queue", "stats")
    assert "tortoise" in loaded
    assert not loaded & (_WEB | _WORDS | _PAGES)
    assert len(loaded) < 1000


def _shown(app: typer.Typer) -> Iterator[tuple[str, str]]:
    for command in app.registered_commands:
        words = command.help or (command.callback.__doc__ if command.callback else None) or ""
        yield str(command.name), " ".join(words.partition("\n\n")[0].split())
    for group in app.registered_groups:
        yield str(group.name), str(group.typer_instance.info.help if group.typer_instance else "")


@pytest.mark.parametrize("name", [name for name, _ in _shown(build([]))])
def test_the_list_of_commands_says_of_each_what_it_says_itself(name: str) -> None:
    assert dict(_shown(build([name])))[name] == dict(_shown(build([])))[name]
