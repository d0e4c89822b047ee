"""Where configuration values come from: default, file, environment, secret file; the last one wins.

`POSTROOM_<KEY>` overrides a key, `POSTROOM_<KEY>_FILE` reads it from a file. All faults are told at once.
"""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, get_origin

import yaml
from pydantic import SecretStr, ValidationError

from core.config.settings import Settings
from core.config.yaml_text import Loader, read_yaml
from core.errors import ConfigError, did_you_mean
from core.pattern import pattern

PREFIX = "POSTROOM_"
_OF_THE_SENDING_API = frozenset(
    f"POSTROOM_MAIL_{name}"
    for name in (
        *("TYPE", "HOST", "PORT", "USERNAME", "PASSWORD", "TLS", "SSL"),
        *("TIMEOUT", "MAX_RETRIES", "RETRY_DELAY", "SENDER"),
    )
)
"""Names in the same environment that are no key of a host; any other unknown one is an error."""

_MASK = "********"
_PASSWORD_IN_URL = pattern(r"(://[^:/@]*:)[^/]*@")


class Origin(StrEnum):
    """Where a value came from."""

    default = "default"
    file = "file"
    environment = "environment"
    secret_file = "secret file"  # noqa: S105 - a word for a place, not a secret
    generated = "generated"
    override = "override"


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings of a host, and the origin of each of them."""

    settings: Settings
    origins: Mapping[str, Origin]
    file: Path | None

    def shown(self) -> list[tuple[str, Any, Origin]]:
        """Return (key, value, origin) of every key, with secrets masked."""
        dumped = self.settings.model_dump()
        return [(key, _mask(dumped[key]), self.origins.get(key, Origin.default)) for key in Settings.model_fields]


def load_configuration(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Configuration:
    """Read `file` (default: `config.yaml` in the working directory, if it is there) and the environment.

    `overrides` are what a command was told to change for this run. Raises ConfigError with every fault.
    """
    environment = os.environ if environment is None else environment
    path = file or Path("config.yaml")
    if file is not None and not file.is_file():
        raise ConfigError(f"{file}: there is no such configuration file")
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    faults: list[str] = []
    for origin, layer in (
        (Origin.file, _file_values(path, faults)),
        (Origin.environment, _environment_values(environment, faults)),
        (Origin.secret_file, _secret_file_values(environment, faults)),
        (Origin.override, dict(overrides or {})),
    ):
        values |= layer
        origins |= dict.fromkeys(layer, origin)
    settings = _typed(values, {key: _place(key, origin, path) for key, origin in origins.items()}, faults)
    if faults or settings is None:
        raise ConfigError("The configuration cannot be used:" + "".join(f"\n  - {fault}" for fault in faults))
    return Configuration(settings, origins, path if path.is_file() else None)


def with_secret_key(configuration: Configuration) -> Configuration:
    """Return the configuration with a SECRET_KEY, made and kept in `VAR_DIR/secret_key` where none is given."""
    if configuration.settings.SECRET_KEY.get_secret_value():
        return configuration
    path = Path(configuration.settings.VAR_DIR) / "secret_key"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            key = path.read_text().strip()
        else:
            key = secrets.token_urlsafe(32)
            with os.fdopen(descriptor, "w") as file:
                file.write(key + "\n")
    except OSError as error:
        raise ConfigError(f"SECRET_KEY: {path} cannot be written or read ({error.strerror}); set SECRET_KEY") from error
    if not key:
        raise ConfigError(f"SECRET_KEY: {path} is empty; delete it to make a new key, or restore it from a backup")
    settings = configuration.settings.model_copy(update={"SECRET_KEY": SecretStr(key)})
    return replace(configuration, settings=settings, origins={**configuration.origins, "SECRET_KEY": Origin.generated})


def _file_values(path: Path, faults: list[str]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        faults += [f"{path}: {key} stands twice; remove one" for key in _doubled(text)]
        content = read_yaml(text)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        faults.append(f"{path}: {' '.join(str(error).split())}")
        return {}
    if content is None:
        return {}
    if not isinstance(content, dict):
        faults.append(f"{path}: the file must hold KEY: value lines")
        return {}
    return _known({str(key): value for key, value in content.items()}, str(path), faults)


def _doubled(text: str) -> list[str]:
    """Name the keys that stand twice, of which YAML would silently take the last one."""
    node = yaml.compose(text, Loader=Loader)
    keys = [str(key.value) for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    return [key for key, count in Counter(keys).items() if count > 1]


def _environment_values(environment: Mapping[str, str], faults: list[str]) -> dict[str, Any]:
    named = {
        name.removeprefix(PREFIX): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and not _is_file_name(name) and name not in _OF_THE_SENDING_API
    }
    return {key: _split(key, value) for key, value in _known(named, "environment", faults, PREFIX).items()}


def _secret_file_values(environment: Mapping[str, str], faults: list[str]) -> dict[str, Any]:
    values = {}
    for name, path in environment.items():
        if not name.startswith(PREFIX) or not _is_file_name(name):
            continue
        key = name.removeprefix(PREFIX).removesuffix("_FILE")
        try:
            values[key] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"environment: {name}: {path} cannot be read ({error})")
    return {key: _split(key, value) for key, value in _known(values, "environment", faults, PREFIX).items()}


def _is_file_name(name: str) -> bool:
    return name.endswith("_FILE") and name.removeprefix(PREFIX) not in Settings.model_fields


def _known(values: dict[str, Any], source: str, faults: list[str], prefix: str = "") -> dict[str, Any]:
    for name in values:
        if name not in Settings.model_fields:
            hint = did_you_mean(name, Settings.model_fields)
            faults.append(f"{source}: {prefix}{name} is no configuration key.{hint}")
    return {name: value for name, value in values.items() if name in Settings.model_fields}


def _split(key: str, value: str) -> Any:
    """Lists are written with commas in the environment, mappings as JSON."""
    kind = get_origin(Settings.model_fields[key].annotation)
    if kind is tuple:
        return [item.strip() for item in value.split(",") if item.strip()]
    if kind is dict:
        with suppress(ValueError):
            return json.loads(value)
    return value


def _place(key: str, origin: Origin, file: Path) -> str:
    """Say where a value stands, as one looks for it."""
    places = {
        Origin.file: f"{file}: {key}",
        Origin.environment: f"environment: {PREFIX}{key}",
        Origin.secret_file: f"environment: {PREFIX}{key}_FILE",
    }
    return places.get(origin, f"{origin}: {key}")


def _typed(values: dict[str, Any], places: Mapping[str, str], faults: list[str]) -> Settings | None:
    try:
        return Settings(**values)
    except ValidationError as error:
        for fault in error.errors():
            key = str(fault["loc"][0]) if fault["loc"] else "configuration"
            shown = "" if key.endswith(("_KEY", "_PASSWORD", "_SECRET")) else f" (got {fault['input']!r})"
            faults.append(f"{places.get(key, key)}: {fault['msg'].removeprefix('Value error, ')}{shown}")
        return None


def _mask(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return _MASK if value.get_secret_value() else ""
    if isinstance(value, str):
        return _PASSWORD_IN_URL.sub(rf"\1{_MASK}@", value)
    return list(value) if isinstance(value, tuple) else value
