"""Addons written into a folder for one test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent

HOOKS = """
from core.api import hookimpl
{imports}

@hookimpl
def register_models():
    return [{models}]
"""


def write_addon(
    root: Path,
    name: str,
    *,
    models: Mapping[str, str] | None = None,
    depends: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
    demo: Mapping[str, str] | None = None,
    manifest: str = "",
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write the addon `name` into `root` and return its folder.

    `models` maps a class name to its file's text, `data` and `demo` map seed files to theirs, `files` any other file.
    """
    folder = root / name
    models, data, demo = models or {}, data or {}, demo or {}
    lines = [f"name: {name}", f"title: {name.title()}", 'version: "1.0"', f"depends: [{', '.join(depends)}]"]
    lines += [f"data: [{', '.join(data)}]", f"demo: [{', '.join(demo)}]", dedent(manifest)]
    imports = "\n".join(f"from .models.{model.lower()} import {model}" for model in models)
    write(folder / "addon.yaml", "\n".join(lines))
    write(folder / "__init__.py", "")
    write(folder / "models" / "__init__.py", "")
    write(folder / "hooks.py", HOOKS.format(imports=imports, models=", ".join(models)))
    for model, text in models.items():
        write(folder / "models" / f"{model.lower()}.py", text)
    for file, text in {**data, **demo, **(files or {})}.items():
        write(folder / file, text)
    return folder


def write(path: Path, text: str) -> None:
    """Write a text, indented as the test is, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))
