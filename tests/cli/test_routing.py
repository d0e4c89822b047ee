"""`postroom route` and `postroom inbound`: ask, keep as a case, check; settle what waits, try again."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command import Postroom

MAIL = b"From: Ada <ada@customer.example>\r\nTo: %s@localhost\r\nSubject: Desks\r\nMessage-ID: <%d@x.example>\r\n\r\nHi"


@pytest.fixture
def lost(site: Postroom, tmp_path: Path) -> dict[str, Any]:
    """A mail that matched nothing, as `inbound ls` shows it."""
    file = tmp_path / "lost.eml"
    file.write_bytes(MAIL % (b"nobody", abs(hash(tmp_path))))
    site.call("inbound", "load", str(file))
    found: dict[str, Any] = site.json("inbound", "ls", "--state", "unmatched")[0]
    return found


def test_a_mail_in_words_is_explained_kept_and_checked(site: Postroom) -> None:
    asked = ("--from", "Ada <ada@customer.example>", "--to", "leads", "--subject", "Desks")
    line = json.loads(site.call("route", "explain", *asked, "--header", "X-One: 1", "--save", "Desks", "--json"))
    assert (line["outcome"], line["record"]) == ("record", "CrmLead")
    assert line["fields"]["leads@localhost"]["name"] == "Desks"
    assert "leads@localhost would make:" in site.call("route", "explain", *asked)
    checked = {row["name"]: row["passed"] for row in site.json("route", "check")}
    assert checked["Desks"] is True
    assert all(checked.values())
    assert "As it" not in site.call("route", "check")


def test_a_question_is_a_file_or_words(site: Postroom, tmp_path: Path) -> None:
    file = tmp_path / "a.eml"
    file.write_bytes(MAIL % (b"leads", 1))
    site.call("route", "explain", code=2)
    site.call("route", "explain", str(file), "--to", "leads", code=2)
    site.call("route", "explain", "--to", "leads", "--header", "no colon here", code=2)
    site.call("route", "explain", str(tmp_path / "nothing.eml"), code=1)


def test_a_lost_mail_is_routed_and_repeated_on_request_alone(site: Postroom, lost: dict[str, Any]) -> None:
    number = str(lost["id"])
    site.call("inbound", "create", number, "nope", code=1)
    line = json.loads(site.call("inbound", "create", number, "leads", "--json"))
    assert line["record"].startswith("CrmLead:")
    assert line["trace"][-1] == {
        "rule": "person",
        "hit": True,
        "reason": "The operator let leads@localhost create a CrmLead",
    }
    assert "would make a double" in site.call("inbound", "replay", number, code=1)
    again = json.loads(site.call("inbound", "replay", number, "--again", "--json"))
    assert again["original"] == lost["id"]


def test_a_lost_mail_is_assigned(site: Postroom, lost: dict[str, Any]) -> None:
    number = str(lost["id"])
    site.call("inbound", "assign", number, "CrmLead", code=2)
    site.call("inbound", "assign", number, "CrmLead:99999", code=2)
    line = json.loads(site.call("inbound", "assign", number, "CrmLead:1", "--json"))
    assert (line["outcome"], line["record"]) == ("reply", "CrmLead:1")


def test_a_lost_mail_is_discarded_and_all_are_tried_again(site: Postroom, lost: dict[str, Any]) -> None:
    site.call("inbound", "discard", str(lost["id"]), "--reason", "an advertisement")
    assert lost["id"] in [row["id"] for row in site.json("inbound", "ls", "--state", "discarded")]
    site.call("inbound", "replay", str(lost["id"]))
    lines = [json.loads(line) for line in site.call("inbound", "replay", "--unmatched", "--json").splitlines()]
    assert {line["outcome"] for line in lines} == {"unmatched"}
    assert site.call("inbound", "replay", "--failed", "--json") == ""
    site.call("inbound", "replay", code=2)
    site.call("inbound", "replay", "1", "--failed", code=2)
    site.call("inbound", "replay", "--failed", "--again", code=2)


def test_a_mail_is_shown_with_what_helps_and_why(site: Postroom, lost: dict[str, Any]) -> None:
    number = str(lost["id"])
    shown = site.call("inbound", "show", number)
    assert "It waits for a person." in shown
    assert f"postroom inbound replay {number}" in shown
    assert "yes unmatched: no alias and no message is known for nobody@localhost" in shown
    row = site.json("inbound", "show", number)
    assert (row["state"], row["authenticity"], row["trace"][-1]["rule"]) == ("unmatched", "none", "unmatched")
    assert site.call("inbound", "show", number, "--raw").startswith("From: Ada <ada@customer.example>")
    assert "postroom inbound ls" in site.call("inbound", "show", "9999", code=2)
    assert "use one of received, processed" in site.call("inbound", "ls", "--state", "unmached", code=2)


def test_doctor_says_that_nobody_deals_with_a_mail(site: Postroom, lost: dict[str, Any]) -> None:
    with sqlite3.connect(site.folder / "postroom.db") as database:
        row = "state = 'received', received_at = '2020-01-01 00:00:00+00:00'"
        database.execute(f"UPDATE inbound_email SET {row} WHERE id = ?", (lost["id"],))
    assert "1 late" in site.call("doctor", code=1)
    site.call("inbound", "replay", str(lost["id"]))
    assert "0 late" in site.call("doctor")
