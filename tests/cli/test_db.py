"""`postroom db`: what there is, and a copy of it that stands alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.acceptance.command import Postroom
from tests.servers.postgres import Postgres


def test_a_copy_is_whole_and_overwrites_nothing(site: Postroom, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert site.json("db", "backup", str(copy))["size_bytes"] == copy.stat().st_size
    assert copy.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("SELECT count(*) FROM crm_lead").fetchone() == (3,)
    assert "is there already" in site.call("db", "backup", str(copy), code=1)
    assert "cannot be written" in site.call("db", "backup", str(tmp_path / "none" / "copy.db"), code=1)
    assert list(tmp_path.iterdir()) == [copy]


def test_it_says_what_there_is(site: Postroom) -> None:
    told = site.json("db", "status")
    assert told["version"].startswith("SQLite 3")
    assert told["size_bytes"] > 100_000
    assert {"table": "crm_lead", "rows": 3} in told["tables"]
    assert "SQLite" in site.call("db", "status")


def test_a_database_that_was_never_set_up_is_told(tmp_path: Path, postgres: Postgres) -> None:
    with postgres.database() as url:
        new = Postroom(tmp_path, DATABASE_URL=url)
        assert "postroom update" in new.call("db", "status", code=1)
        assert "pg_dump" in new.call("db", "backup", "copy.db", code=1)
