"""`postroom template` as an author uses it: strict previews, versions, and the words of an addon."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.command import Postroom

NAME = "lead_acknowledgement"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Postroom:
    """A set-up host with the demo's records."""
    folder = tmp_path_factory.mktemp("templates")
    site = Postroom(folder, DATABASE_URL=f"sqlite://{folder}/postroom.db", MAIL_MODE="catch", ADDONS=["core", "crm"])
    site.call("init", "--demo")
    return site


def _say(site: Postroom, content: str) -> None:
    with closing(sqlite3.connect(site.folder / "postroom.db")) as connection, connection:
        connection.execute("UPDATE email_template SET content = ? WHERE identifier = ?", (content, NAME))


def test_a_template_through_its_life(site: Postroom) -> None:
    words = ("template", "preview", NAME, "--record", "CrmLead:1")
    shown = site.json(*words, "--locale", "pl_PL")
    assert (shown["locale"], shown["language"], shown["faults"]) == ("pl_PL", "", [])
    assert "dziękujemy za wiadomość" in shown["content"]
    (first,) = site.json("template", "history", NAME)
    assert (first["number"], first["author"]) == (1, None)

    _say(site, "<p>Hello</p>\n<p>{{ contact.nam }}</p>")
    broken = json.loads(site.call(*words, "--json", code=1))
    (fault,) = broken["faults"]
    assert (fault["source"], fault["line"], fault["column"]) == (f"{NAME}: content", 2, 15)
    assert fault["excerpt"] == "<p>{{ contact.nam }}</p>"
    told = site.call(*words, code=1)
    assert 'has no field "nam". Did you mean "name"?' in told
    assert "  <p>{{ contact.nam }}</p>\n                ^" in told

    assert "+<p>Hello</p>" in site.call("template", "diff", NAME, "1")
    assert "that is version 3 now" in site.call("template", "restore", NAME, "1")
    assert "They say the same." in site.call("template", "diff", NAME, "1")
    assert "has no version 9" in site.call("template", "diff", NAME, "9", code=1)
    assert "-<p>Hello</p>" in site.call("template", "diff", NAME, "2")
    assert site.json(*words)["faults"] == []


def test_the_words_of_an_addon(site: Postroom, tmp_path: Path) -> None:
    rows = site.json("template", "extract", "crm", "--locale", "it", "--folder", str(tmp_path))
    assert [Path(row["file"]).name for row in rows] == ["crm.pot", "it.po"]
    assert rows[1]["messages"] == rows[1]["untranslated"] > 5
    assert 'Did you mean "crm"?' in site.call("template", "extract", "crn", code=2)
