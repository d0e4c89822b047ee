"""`postroom account` as an operator meets it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from tests.acceptance.command import Postroom

MAILBOX = {
    "account": "e-invoice",
    "mail_pop3_server": "pop.acme.example",
    "mail_smtp_server": "smtp.acme.example",
    "mail_starttls": True,
    "mail_username": "invoices",
    "mail_password": "hunter2-password",
    "mail_from": "invoices@acme.example",
}
RELAY = {"account": "e-invoice", "mail_smtp_server": "smtp.acme.example", "mail_from": "invoices@acme.example"}


def test_an_account_set_up_anew_has_what_stands_in_the_file_alone(tmp_path: Path) -> None:
    site = Postroom(tmp_path, DATABASE_URL=f"sqlite://{tmp_path}/postroom.db", MAIL_MODE="hold", SECRET_KEY="one-key")
    site.call("init")
    file = tmp_path / "account.json"
    for settings in (MAILBOX, RELAY):
        file.write_text(json.dumps(settings))
        assert "account sync e-invoice" in site.call("account", "add", str(file), "--team", "Invoices")
    with sqlite3.connect(tmp_path / "postroom.db") as database:
        (row,) = database.execute(
            "SELECT mail_pop3_server, mail_smtp_server, mail_starttls, mail_username FROM mail_account"
        ).fetchall()
        assert row == ("", "smtp.acme.example", 0, "")
        assert database.execute("SELECT count(*) FROM incoming_mail_server").fetchone() == (0,)
