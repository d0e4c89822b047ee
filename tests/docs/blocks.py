"""Fenced blocks of Markdown that have a name in their info string."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

RUN = "run"
_BLOCK = re.compile(r"^```(?P<language>\w+) (?P<name>\S+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One named block; `line` is that of its first line of code."""

    name: str
    code: str
    line: int


def blocks_of(document: Path) -> Iterator[Block]:
    """Yield the named blocks of a document in order."""
    text = document.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        yield Block(found["name"], found["code"], text.count("\n", 0, found.start("code")) + 1)


def write_files(blocks: Iterable[Block], folder: Path) -> list[str]:
    """Write the blocks that are files, and return the names of the addons that they make."""
    addons = set()
    for block in blocks:
        if block.name != RUN:
            target = folder / block.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.code, encoding="utf-8")
            addons.add(block.name.partition("/")[0])
    return sorted(addons)
