"""Hosts for tests: an addon installed in an empty database, its mail caught."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from core.config import Configuration, load_configuration
from core.host.finder import MANIFEST, find_addons
from core.host.host import open_host
from core.host.install import update
from core.runtime import Runtime


def addon_folder(file: Path) -> Path:
    """Return the folder of the addon that a test file lies in."""
    for folder in file.resolve().parents:
        if (folder / MANIFEST).is_file():
            return folder
    raise LookupError(f"{file} lies in no addon: there is no {MANIFEST} in a folder above it")


def configuration_for(folder: Path, url: str, **settings: Any) -> Configuration:
    """Return a configuration with the addon in `folder` and those that it depends on; nothing of the environment."""
    installed, _ = find_addons(())
    is_installed = folder.name in installed and installed[folder.name].folder == folder
    values = {
        "DATABASE_URL": url,
        "ADDONS": [folder.name],
        "ADDONS_PATH": [] if is_installed else [str(folder.parent)],
        "MAIL_MODE": "catch",
        "SECRET_KEY": "only for tests",
    }
    return load_configuration(environment={}, overrides={**values, **settings})


@asynccontextmanager
async def open_addon(folder: Path, url: str, *, demo: bool = True, **settings: Any) -> AsyncIterator[Runtime]:
    """Open a host with the addon in `folder` (or above that file) installed in the database at `url`.

    `settings` are configuration keys; mail is caught unless they say otherwise.
    """
    place = addon_folder(folder / "_")
    async with open_host(configuration_for(place, url, **settings)) as runtime:
        await update(runtime, demo=demo)
        yield runtime
