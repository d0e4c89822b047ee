"""`postroom server` and `postroom secret` as an operator meets them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.acceptance.command import Postroom


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Postroom:
    folder = tmp_path_factory.mktemp("site")
    site = Postroom(folder, DATABASE_URL=f"sqlite://{folder}/postroom.db", MAIL_MODE="hold", SECRET_KEY="one-key")
    site.call("init")
    return site


def test_a_server_is_made_tested_and_explained(site: Postroom, tmp_path: Path, free_tcp_port: int) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2-password\n")
    made = ("server", "add", "Sales", "--host", "127.0.0.1", "--port", str(free_tcp_port), "--from-domain", "acme.test")
    said = site.call(*made, "--username", "sales@acme.test", "--password-file", str(secret))
    assert "postroom server test Sales" in said
    assert "already" in site.call(*made, code=1)
    assert "one of auto" in site.call("server", "add", "Other", "--host", "x.test", "--tls", "maybe", code=2)
    assert "not a host name" in site.call("server", "add", "Other", "--host", "x y", code=2)
    tested = site.call("server", "test", "Sales", code=3)
    assert "FAILED TCP" in tested
    assert "-> Check the port" in tested
    (choice,) = site.json("server", "explain", "--from", "kim@acme.test")
    assert (choice["server"], choice["chosen"]) == ("Sales", True)
    assert "not as other.test" in site.call("server", "explain", "--from", "kim@other.test", code=1)
    assert "no user" in site.call("server", "explain", "--from", "kim@acme.test", "--user", "nobody", code=2)
    assert "hunter2" not in site.call("server", "ls", "--json") + site.call("doctor", "--json", code=1)
    with sqlite3.connect(site.folder / "postroom.db") as database:
        assert "hunter2" not in str(database.execute("SELECT * FROM outgoing_mail_server").fetchall())


def test_a_sign_in_is_begun_and_its_answer_taken(site: Postroom) -> None:
    make = ("server", "add-sign-in", "Office", "--client-id", "id")
    assert "/servers/oauth/callback" in site.call(*make, "--provider", "google")
    assert "sign-in provider" in site.call(
        "server", "add-sign-in", "X", "--provider", "custom", "--client-id", "id", code=2
    )
    site.call(
        "server", "add", "Gmail", "--host", "smtp.gmail.test", "--username", "kim@gmail.test", "--sign-in", "Office"
    )
    for name in ("Office", "Gmail"):
        assert "https://accounts.google.com/o/oauth2/v2/auth?" in site.call("server", "authorize", name)
    assert "Office is not signed in" in site.call("server", "ls", "--json")
    assert "authorize Office" in site.call("doctor", code=1)
    assert "not begun here" in site.call(
        "server", "authorize", "Office", "--answer", "http://x.test/?state=a&code=b", code=1
    )
    assert 'Did you mean "Office"' in site.call("server", "authorize", "Offise", code=2)


def test_secrets_are_encrypted_again_with_a_new_key(tmp_path: Path) -> None:
    site = Postroom(tmp_path, DATABASE_URL=f"sqlite://{tmp_path}/postroom.db", MAIL_MODE="hold")
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    add = ("server", "add", "S", "--host", "x.test", "--username", "u", "--password-file", str(secret))
    site.call("init", POSTROOM_SECRET_KEY="old")
    site.call(*add, POSTROOM_SECRET_KEY="old")
    assert "1 secrets" in site.call("secret", "rotate", POSTROOM_SECRET_KEY="new,old")
    assert site.json("server", "ls", POSTROOM_SECRET_KEY="new")[0]["reason"] == ""
    assert "another SECRET_KEY" in site.call("server", "ls", "--json", POSTROOM_SECRET_KEY="old")
    assert "password" in site.call("secret", "rotate", code=1, POSTROOM_SECRET_KEY="old")
