"""`postroom user` and `postroom token`, as an operator calls them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.acceptance.command import Postroom


def test_users_groups_and_tokens(tmp_path: Path) -> None:
    site = Postroom(tmp_path, DATABASE_URL=f"sqlite://{tmp_path}/postroom.db", MAIL_MODE="catch")
    site.call("init")
    words = tmp_path / "words"
    words.write_text("a long password\n")
    site.call("user", "add", "anna@example.org", "--name", "Anna", "--password-file", str(words))
    assert site.json("user", "groups", "Anna@example.org", "--add", "user") == [{"identifier": "user", "name": "User"}]
    assert "there are admin" in site.call("user", "groups", "anna@example.org", "--add", "usr", code=1)
    assert site.json("user", "groups", "anna@example.org", "--remove", "user") == []

    create = ("token", "create", "anna@example.org", "--name", "reports")
    text = site.call(*create, "--scope", "read", "--scope", "mail", "--expires", "90d").strip()
    assert re.fullmatch(r"pr_[0-9a-f]{12}_[0-9a-f]{40}", text)
    assert site.json(*create)["scopes"] == ["read"]
    assert "no scope all; there are read, write, mail, admin" in site.call(*create, "--scope", "all", code=1)
    assert "Only an administrator" in site.call(*create, "--scope", "admin", code=1)
    assert "write 12h, 90d or 52w" in site.call(*create, "--expires", "soon", code=2)
    listed = site.json("token", "ls", "anna@example.org")
    assert [one["scopes"] for one in listed] == [["read"], ["read", "mail"]]
    assert text not in str(listed)
    assert "reports of anna@example.org is revoked" in site.call("token", "revoke", text)
    assert site.json("token", "ls")[1]["revoked_at"] is not None
    site.call("token", "revoke", "0123456789ab", code=2)

    assert "switched off" in site.call("user", "disable", "anna@example.org")
    assert "log in again" in site.call("user", "enable", "anna@example.org")
    root = ("user", "add", "root@example.org", "--name", "Root", "--admin", "--password-file", str(words))
    site.call(*root)
    assert "the only administrator" in site.call("user", "disable", "root@example.org", code=1)
