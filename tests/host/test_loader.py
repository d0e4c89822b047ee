from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import AddonError
from core.host.finder import find_addons
from core.host.loader import LoadedAddons, load_addons
from tests.host.addon_folder import write, write_addon

NOTE = """
    from core.api import Record, fields

    class Note(Record):
        text = fields.CharField(max_length=20)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "addons"


def load(root: Path, *names: str) -> LoadedAddons:
    loaded = load_addons(names, [str(root)])
    loaded.registry.close()
    return loaded


def faults(root: Path, *names: str) -> str:
    with pytest.raises(AddonError) as caught:
        load(root, *names)
    return "\n".join(caught.value.faults)


def test_an_addon_of_a_folder_is_found_ordered_and_loaded(root: Path) -> None:
    write_addon(root, "base", models={"Note": NOTE})
    more = """
        from core.api import Record, fields

        class NoteMore(Record):
            extends = "Note"
            size = fields.IntField(default=1)
    """
    write_addon(root, "alpha", depends=["base"], models={"NoteMore": more})
    loaded = load(root, "alpha")
    assert loaded.names == ("core", "base", "alpha")
    assert {"text", "size"} < set(loaded.registry.get("Note")._meta.fields_map)
    assert loaded.registry.entry("Note").owner_of("size") == "alpha"
    assert loaded.registry.entry("Note").owner_of("text") == "base"


def test_two_folders_may_hold_addons_of_one_module_name(tmp_path: Path) -> None:
    for place, name in (("one", "first"), ("two", "second")):
        write_addon(tmp_path / place, name)
        (tmp_path / place / name).rename(tmp_path / place / "same")
    loaded = load_addons(["first", "second"], [str(tmp_path / "one"), str(tmp_path / "two")])
    loaded.registry.close()
    assert loaded.names == ("core", "first", "second")


def test_faults_of_all_addons_are_told_at_once(root: Path) -> None:
    write_addon(root, "doubled")
    (write_addon(root, "other") / "addon.yaml").write_text("name: doubled\ntitle: D\nversion: '1'\n")
    write_addon(root, "keys", manifest="dependz: []")
    write_addon(root, "needy", depends=["keys", "nowhere"])
    write_addon(root, "broken", files={"hooks.py": "import nothing_of_the_kind"})
    write_addon(
        root,
        "misspelt",
        files={"hooks.py": "from core.api import hookimpl\n\n@hookimpl\ndef register_modles():\n    return []\n"},
    )
    write_addon(
        root,
        "strange",
        files={
            "hooks.py": "from core.api import hookimpl\n\n@hookimpl\nasync def message_posted(massage):\n    pass\n"
        },
    )
    write_addon(root, "forgetful", files={"models/note.py": NOTE})
    write_addon(root, "absent", manifest="summary: x\n", data={})
    (root / "absent" / "addon.yaml").write_text("name: absent\ntitle: A\nversion: '1'\ndata: [data/none.yaml]\n")
    write_addon(root, "failing", files={"hooks.py": FAILING})
    write(root / "text" / "addon.yaml", "- a list")
    write(root / "badname" / "addon.yaml", "name: Bad Name\ntitle: B\nversion: one")
    told = faults(root)
    for expected in (
        "other: the addon doubled is in",
        'unknown key dependz. Did you mean "depends"?',
        "needy depends on the addon nowhere, which is not there.",
        "broken: ",
        "No module named 'nothing_of_the_kind' (hooks.py, line 1)",
        'register_modles is no hook. Did you mean "register_models"?',
        "strange: ",
        "massage",
        "forgetful: models/note.py declares Note, but register_models does not return it",
        "absent: there is no data/none.yaml",
        "failing: register_models failed: no models today",
        "text/addon.yaml: the manifest must hold `name: value` lines",
        "badname/addon.yaml: name: ",
        "badname/addon.yaml: version: ",
    ):
        assert expected in told, f"{expected!r} is not in:\n{told}"


FAILING = """
from core.api import hookimpl

@hookimpl
def register_models():
    raise ValueError("no models today")
"""


def test_faults_of_models_are_told_at_once(root: Path) -> None:
    def model(body: str) -> str:
        return f"from core.api import Record, fields\n\n{body}\n"

    write_addon(root, "one", models={"Note": NOTE})
    write_addon(root, "two", models={"Note": NOTE})
    lost = model('class Lost(Record):\n    extends = "Contakt"\n    a = fields.IntField()')
    astray = model('class Astray(Record):\n    who = fields.ForeignKeyField("models.Contakt", related_name="x")')
    more = model('class More(Record):\n    extends = "Contact"\n    name = fields.more_choices({"a": "A"})')
    write_addon(root, "three", models={"Lost": lost, "Astray": astray, "More": more})
    told = faults(root)
    assert 'two: model Note is declared by one already; write extends = "Note" to add to it' in told
    assert 'three: Lost extends Contakt, which is no model. Did you mean "Contact"?' in told
    assert 'three: Astray.who points at Contakt, which is no model. Did you mean "Contact"?' in told
    assert "three: Contact.name takes no more choices: it is no SelectionField" in told


def test_a_folder_that_is_not_there_is_told(root: Path) -> None:
    assert f"ADDONS_PATH: {root}/none is no folder" in "\n".join(find_addons([f"{root}/none"])[1])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder that Python looks for installed packages in."""
    folder = tmp_path / "site"
    folder.mkdir()
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.startswith("installed_")]:
        del sys.modules[name]


def install(site: Path, name: str, value: str) -> None:
    info = site / f"{name}-1.0.dist-info"
    write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    write(info / "entry_points.txt", f"[postroom.addons]\n{name} = {value}\n")


def test_an_installed_package_brings_its_addon_by_entry_point(site: Path) -> None:
    folder = write_addon(site, "installed_notes", models={"Note": NOTE})
    install(site, "notes", "installed_notes")
    loaded = load_addons(["installed_notes"], [])
    loaded.registry.close()
    (source,) = [source for source in loaded.sources if source.name == "installed_notes"]
    assert (source.package, source.folder) == ("installed_notes", folder)


def test_entry_points_that_lead_nowhere_are_told(site: Path) -> None:
    install(site, "gone", "installed_gone")
    write(site / "installed_bare" / "__init__.py", "")
    install(site, "bare", "installed_bare")
    told = "\n".join(find_addons([])[1])
    assert "entry point gone: installed_gone cannot be imported" in told
    assert "entry point bare: installed_bare has no addon.yaml beside its __init__.py" in told
