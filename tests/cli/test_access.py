"""`postroom access`, as an operator calls it."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.command import Postroom


def test_it_says_why_and_exits_by_the_answer(tmp_path: Path) -> None:
    site = Postroom(tmp_path, DATABASE_URL=f"sqlite://{tmp_path}/postroom.db", MAIL_MODE="catch")
    site.call("init", "--demo")
    words = tmp_path / "words"
    words.write_text("a long password\n")
    add = ("user", "add", "ada@engine.example", "--name", "Ada", "--company", "Lakeside Joinery")
    site.call(*add, "--group", "portal", "--password-file", str(words))
    explain = ("access", "explain", "ada@engine.example", "CrmLead")
    told = site.call(*explain, "1")
    assert "The group portal (access_crm_lead_portal) may read CrmLead." in told
    assert told.strip().endswith("ada@engine.example may read CrmLead 1.")
    assert "CrmLead.expected_revenue is for the groups of its FieldAccess rows." in told
    denied = site.call(*explain, "2", code=1)
    assert 'The rule "The portal sees its own leads": not within this limit.' in denied
    assert "these may: admin, user" in site.call(*explain, "--right", "write", code=1)
    assert site.json(*explain)["allows"] is True
    assert "no user" in site.call("access", "explain", "nobody@example.org", "CrmLead", code=2)
    assert "no CrmLead 99" in site.call(*explain, "99", code=2)
