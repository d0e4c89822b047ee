"""`postroom account` as an operator meets it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

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


@pytest.fixture
def site(tmp_path: Path) -> Postroom:
    site = Postroom(tmp_path, DATABASE_URL=f"sqlite://{tmp_path}/postroom.db", MAIL_MODE="hold", SECRET_KEY="one-key")
    site.call("init")
    return site


def test_an_account_set_up_anew_has_what_stands_in_the_file_alone(site: Postroom, tmp_path: Path) -> None:
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


def test_numbers_and_switches_may_be_written_as_text(site: Postroom, tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    written = {"mail_smtp_port": "465", "mail_usessl": "false", "mail_smtp_valid_cert": "no", "mail_starttls": 1}
    file.write_text(json.dumps({**RELAY, **written}))
    site.call("account", "add", str(file), "--team", "Invoices")
    with sqlite3.connect(tmp_path / "postroom.db") as database:
        columns = ", ".join(written)
        assert database.execute(f"SELECT {columns} FROM mail_account").fetchall() == [(465, 0, 0, 1)]


def test_what_cannot_be_set_is_told_by_its_name_and_no_password_with_it(site: Postroom, tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    for settings, word in (
        ({**RELAY, "mail_smtp_port": "many"}, "mail_smtp_port"),
        ({**RELAY, "mail_usessl": "perhaps"}, "mail_usessl"),
        ({**RELAY, "mail_password": [4711]}, "mail_password"),
        ({**RELAY, "account": 7}, "account"),
        ({"account": "e-invoice"}, '"mail_from"'),
        ({}, '"account"'),
        ([], "account.json"),
    ):
        file.write_text(json.dumps(settings))
        said = site.call("account", "add", str(file), "--team", "Invoices", code=1)
        assert word in said
        assert ("Traceback" in said, "4711" in said) == (False, False)
