"""Finding addons: those that ship, those in the folders of ADDONS_PATH, and those of installed packages."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from core import paths
from core.contributions import AddonInfo
from core.host.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "postroom.addons"
MANIFEST = "addon.yaml"


def find_addons(addons_path: Iterable[str]) -> tuple[dict[str, AddonInfo], list[str]]:
    """Return every addon by name, core first, and all faults met on the way."""
    found: dict[str, AddonInfo] = {}
    faults: list[str] = []
    for package, folder in _candidates(addons_path, faults):
        manifest, broken = read_manifest(folder / MANIFEST)
        faults += broken
        if manifest is None:
            continue
        if manifest.name in found:
            other = found[manifest.name].folder
            faults.append(f"{folder}: the addon {manifest.name} is in {other} as well; remove or rename one")
            continue
        found[manifest.name] = _info(manifest, folder, package)
    return found, faults


def _info(manifest: Manifest, folder: Path, package: str) -> AddonInfo:
    data_folder = paths.shipped_data() if manifest.name == "core" else folder
    return AddonInfo(package=package, folder=folder, data_folder=data_folder, **manifest.model_dump())


def _candidates(addons_path: Iterable[str], faults: list[str]) -> Iterator[tuple[str, Path]]:
    """Yield (package, folder) of whatever has a manifest."""
    yield "core", paths.shipped_addons().parent / "core"
    for folder in _with_manifest(paths.shipped_addons()):
        yield f"addons.{folder.name}", folder
    for place in addons_path:
        root = Path(place).expanduser().resolve()
        if not root.is_dir():
            faults.append(f"ADDONS_PATH: {place} is no folder")
            continue
        package = _package_for(root)
        for folder in _with_manifest(root):
            yield f"{package}.{folder.name}", folder
    for entry in _entry_points():
        folder_of_entry = _folder_of(entry, faults)
        if folder_of_entry is not None:
            yield entry.value, folder_of_entry


def _entry_points() -> list[EntryPoint]:
    """Return the entry points of installed addons, by name."""
    if not any(map(_names_addons, sys.path)):
        return []
    # It brings the e-mail package and reads every installed package: nearly no host needs that.
    from importlib.metadata import entry_points

    return sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name)


def _names_addons(folder: str) -> bool:
    """Whether a package in a folder of `sys.path` may have entry points of ours."""
    try:
        names = os.listdir(folder or ".")
    except NotADirectoryError:  # Packages may lie in an archive.
        return True
    except OSError:
        return False
    return any(_is_named_in(f"{folder or '.'}/{name}") for name in names if name.endswith((".dist-info", ".egg-info")))


def _is_named_in(package: str) -> bool:
    try:
        with open(f"{package}/entry_points.txt", "rb") as file:
            return ENTRY_POINT_GROUP.encode() in file.read()
    except OSError:
        return False


def _with_manifest(root: Path) -> list[Path]:
    return sorted(file.parent for file in root.glob(f"*/{MANIFEST}"))


def _package_for(root: Path) -> str:
    """Make a package whose modules are looked for in `root`; folders of equal addon names stay apart."""
    name = f"postroom_addons_{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(root)]
        sys.modules[name] = package
    return name


def _folder_of(entry: EntryPoint, faults: list[str]) -> Path | None:
    try:
        module = importlib.import_module(entry.value)
    except ImportError as error:
        faults.append(f"entry point {entry.name}: {entry.value} cannot be imported ({error})")
        return None
    location = module.__file__
    if location is None or not (Path(location).parent / MANIFEST).is_file():
        faults.append(f"entry point {entry.name}: {entry.value} has no {MANIFEST} beside its __init__.py")
        return None
    return Path(location).parent
