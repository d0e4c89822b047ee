"""`addon.yaml`: what an addon says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config.yaml_text import read_yaml
from core.errors import did_you_mean


class Manifest(BaseModel):
    """The keys of `addon.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    version: str = Field(pattern=r"^\d+(\.\d+)*$")
    summary: str = ""
    depends: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    """Seed files, relative to the addon's folder, in the order in which they apply."""
    demo: tuple[str, ...] = ()
    """Seed files that only `init --demo` applies."""
    commands: str = Field("", pattern=r"^([a-z][a-z0-9-]*)?$")
    """The word that the addon's commands stand behind; empty means its name."""


def read_manifest(file: Path) -> tuple[Manifest | None, list[str]]:
    """Return the manifest, or None and every fault in it, each naming the file."""
    try:
        content: Any = read_yaml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return None, [f"{file}: {' '.join(str(error).split())}"]
    if not isinstance(content, dict):
        return None, [f"{file}: the manifest must hold `name: value` lines"]
    try:
        return Manifest(**{str(key): value for key, value in content.items()}), []
    except ValidationError as error:
        return None, [f"{file}: {_sentence(dict(fault))}" for fault in error.errors()]


def _sentence(fault: dict[str, Any]) -> str:
    key = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        return f"unknown key {key}.{did_you_mean(key, Manifest.model_fields)}"
    if fault["type"] == "missing":
        return f"the key {key} is missing"
    return f"{key}: {fault['msg']} (got {fault['input']!r})"
