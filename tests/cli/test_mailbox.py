"""`postroom inbound add | status | folders | resume` as an operator meets them."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path

import pytest

from tests.acceptance.command import Postroom
from tests.servers.dovecot import PASSWORD, Dovecot


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Postroom:
    folder = tmp_path_factory.mktemp("site")
    site = Postroom(folder, DATABASE_URL=f"sqlite://{folder}/postroom.db", MAIL_MODE="live", ADDONS=["core"])
    site.call("init")
    return site


def test_a_mailbox_is_made_looked_into_and_mended(site: Postroom, dovecot: Dovecot, tmp_path: Path) -> None:
    user = f"box-{secrets.token_hex(4)}@mail.test"
    dovecot.add_user(user)
    dovecot.create_folder(user, "Sales")
    secret = tmp_path / "secret"
    secret.write_text("wrong-password\n")
    where = ("--host", "127.0.0.1", "--port", str(dovecot.port), "--tls", "none", "--username", user)
    made = site.call("inbound", "add", "Leads", *where, "--password-file", str(secret), "--folder", "INBOX")
    assert "postroom server test Leads" in made
    assert "single folder" in site.call("inbound", "add", "Other", *where, "--folder", "*", code=2)
    assert "is refused" in site.call("inbound", "fetch", "--once", code=3)
    (row,) = site.json("inbound", "status", code=1)
    assert (row["state"], row["failures"], row["mailbox"]) == ("failing", 1, f"{user} at 127.0.0.1:{dovecot.port}")
    shown = site.call("inbound", "status", code=1)
    assert "-> Check username and password" in shown
    assert "-> Check username and password" in site.call("doctor", code=1)
    with sqlite3.connect(site.folder / "postroom.db") as database:
        assert "wrong-password" not in str(database.execute("SELECT * FROM incoming_mail_server").fetchall())

    secret.write_text(PASSWORD)
    site.call(
        "inbound", "add", "Right", *where, "--password-file", str(secret), "--folder", "INBOX", "--folder", "Sales"
    )
    dovecot.deliver(user, b"Subject: hello\r\n\r\nhello\r\n")
    assert "1 mails fetched" in site.call("inbound", "resume", "Right")
    folders = {row["folder"]: row for row in site.json("inbound", "folders", "Right")}
    assert folders["Sales"]["fetched"] is True
    assert 'Did you mean "Right"' in site.call("inbound", "folders", "Rigth", code=2)
    rows = {row["name"]: row for row in site.json("inbound", "status", code=1)}
    assert (rows["Right"]["state"], rows["Right"]["last_error"]) == ("used", "")
