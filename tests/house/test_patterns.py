"""Regular expressions mean the same on every Python that Postroom runs on."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [*(ROOT / "core").rglob("*.py"), *(ROOT / "addons").rglob("*.py")]
_POSSESSIVE_GROUP = re.compile(r"(?<!\\)\)(?:[*?+]|\{\d*,?\d*\})\+")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_group_is_possessive(file: Path) -> None:
    """CPython before 3.11.3 keeps what a possessive group read in an iteration that failed: `(?:\\.x)*+@` takes `.@`.

    A possessive character class is right everywhere.
    """
    texts = [
        node.value
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [text for text in texts if _POSSESSIVE_GROUP.search(text)] == []
