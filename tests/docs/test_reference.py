"""The reference pages say what the code says, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from core.config import Settings

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def configuration_page() -> str:
    """Return the page of all configuration keys."""
    rows = [
        "# Configuration keys",
        "",
        "Made from `core/config/settings.py`; a test fails when this page differs "
        "(`python -m tests.docs.test_reference` writes it).",
        "",
        "| Key | Type | Default | Meaning |",
        "|---|---|---|---|",
    ]
    for key, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = default.get_secret_value() if hasattr(default, "get_secret_value") else default
        text = ", ".join(shown) if isinstance(shown, tuple) else str(shown)
        cell = f"`{text}`" if shown or shown in (0, False) else "-"
        rows.append(f"| `{key}` | {_type(field.annotation)} | {cell} | {field.description} |")
    return "\n".join(rows) + "\n"


def _type(annotation: object) -> str:
    words = [word for word in get_args(annotation) if isinstance(word, str)]
    if words:
        return " or ".join(f"`{word}`" for word in words)
    name = str(getattr(annotation, "__name__", annotation))
    return {
        "str": "text",
        "int": "whole number",
        "float": "number",
        "bool": "true or false",
        "SecretStr": "secret",
        "tuple": "list",
        "dict": "mapping",
    }.get(name, "true or false")


def test_every_key_is_in_the_reference() -> None:
    assert (REFERENCE / "configuration.md").read_text() == configuration_page()


if __name__ == "__main__":
    (REFERENCE / "configuration.md").write_text(configuration_page())
