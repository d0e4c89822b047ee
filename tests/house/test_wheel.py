"""The wheel has all that a host needs, and nothing that it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run(ROOT, sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder))
    (made,) = folder.glob("*.whl")
    return made


def test_it_ships_data_templates_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for shipped in ("core/_data/base/company.yaml", "core/addon.yaml", "core/web/templates/base.html"):
        assert shipped in names
    assert any(name.startswith("addons/invoicing/templates/") for name in names)
    assert not [name for name in names if "/tests/" in name or "conftest" in name]


def test_a_host_runs_from_it(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    folder = tmp_path / "work"
    folder.mkdir()
    postroom = [sys.executable, "-m", "core.cli.main"]
    _run(folder, *postroom, "init", "--demo", site=site)
    addons = json.loads(_run(folder, *postroom, "addon", "ls", "--json", site=site))
    assert {addon["name"]: addon["installed"] for addon in addons}.keys() >= {"core", "crm", "invoicing"}
    assert all(addon["installed"] for addon in addons)
    assert (folder / "var" / "postroom.db").exists()


def _run(folder: Path, *words: str, site: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTROOM_")}
    if site is not None:
        environment["PYTHONPATH"] = str(site)
    ended = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
