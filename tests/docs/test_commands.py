"""Every command line that README.md and docs/ show is one that `postroom` understands: its words and its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from core.cli.main import build

ROOT = Path(__file__).resolve().parents[2]
_SHOWN = re.compile(r"`postroom ([^`\n]+)`|^\$ postroom ((?:.*\\\n)*.*)$", re.MULTILINE)


def shown_commands() -> Iterator[tuple[str, str]]:
    for document in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for found in _SHOWN.finditer(document.read_text(encoding="utf-8")):
            # What a reader is told about a command stands some columns behind it.
            yield document.name, re.split(r" {3,}(?=\S)(?!-)", (found[1] or found[2]).replace("\\\n", ""))[0]


@pytest.mark.parametrize(("document", "line"), sorted(set(shown_commands())))
def test_a_shown_command_is_understood(document: str, line: str) -> None:
    words = shlex.split(line)
    command = get_command(build(words))
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
    assert not getattr(command, "commands", {}) or not words or words[0].startswith("-"), f"{line}: no such command"
    known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    assert {word.partition("=")[0] for word in words if re.match("--?[a-z]", word)} <= known
