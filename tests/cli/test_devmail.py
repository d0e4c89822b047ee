"""`postroom devmail`: a mail that was caught is read, answered and bounced, without a browser."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.acceptance.command import Postroom

MAIL = b"""From: office@localhost\r
To: kim@customer.example\r
Subject: Your desk\r
Message-ID: <desk@localhost>\r
\r
It is ready.\r
"""


def test_a_caught_mail_is_read_answered_and_bounced(site: Postroom) -> None:
    with closing(sqlite3.connect(site.folder / "postroom.db")) as database:
        row = ("email", "office@localhost", '["kim@customer.example"]', "Your desk", MAIL)
        columns = "channel, sender, recipients, subject, raw_mail, caught_at"
        database.execute(f"INSERT INTO caught_email ({columns}) VALUES (?, ?, ?, ?, ?, datetime())", row)
        database.commit()
    (caught,) = site.json("devmail", "ls")
    number = str(caught["id"])
    assert site.json("devmail", "show", number)["recipients"] == ["kim@customer.example"]
    assert "It is ready." in site.call("devmail", "show", number)
    assert site.call("devmail", "show", number, "--raw").startswith("From: office@localhost")
    answer = site.json("devmail", "reply", number, "Thank you.")
    assert (answer["sender"], answer["subject"]) == ("kim@customer.example", "Re: Your desk")
    assert site.json("devmail", "reply", number, "", "--automatic")["outcome"] == "automatic"
    assert site.json("devmail", "bounce", number)["outcome"] == "bounce"
    assert "choose one of" in site.call("devmail", "bounce", number, "--as", "x@y.test", code=1)
    assert site.json("devmail", "clear") == {"forgotten": 1}
    assert "devmail ls" in site.call("devmail", "show", number, code=2)


def test_nobody_is_played_where_mail_goes_out(site: Postroom) -> None:
    words = ("devmail", "write", "leads@localhost", "--subject", "Desks", "--text", "Hello")
    assert site.json(*words)["record"].startswith("CrmLead:")
    assert "MAIL_MODE" in site.call("--set", "MAIL_MODE=live", *words, code=1)
