"""Databases that one test uses after the other, each brought back to what was kept of it.

Making one with its tables costs more than most tests do; putting its rows back costs a hundredth of a second. Where a
test changed the tables themselves, or the database's settings, nothing is put back: the database is emptied.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers.daemon import ServerFailedError
from tests.servers.postgres import Postgres

EMPTY = ""


def kind_of(settings: Mapping[str, Any], seeds: str) -> str:
    """Return what two hosts have in common where their tables and rows are the same: seeds, and addons file by file."""
    digest = hashlib.sha256(repr((settings.get("ADDONS"), seeds)).encode())
    for folder in settings.get("ADDONS_PATH", ()):
        for file in sorted(Path(folder).rglob("*")):
            if file.is_file() and file.suffix != ".pyc":
                digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


@contextmanager
def lent_database(request: pytest.FixtureRequest, server: str = "postgres") -> Iterator[str]:
    """Within the block there is the database of a fixture whose parameter is `sqlite` or `postgres`, at this address.

    It is empty, or what was kept of the fixture `kind` where the test has a `host`; `server` is a fixture too.
    """
    if request.param == "sqlite":
        yield f"sqlite://{request.getfixturevalue('tmp_path')}/postroom.db"
        return
    kept: Kept = request.getfixturevalue("kept")
    kind = request.getfixturevalue("kind") if "host" in request.fixturenames else EMPTY
    with kept.database(request.getfixturevalue(server), kind) as url:
        yield url


class Kept:
    """The databases of a test session, by kind. A kind is what its first user, that must fill it, says it is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._free: dict[tuple[int, str], list[str]] = defaultdict(list)
        self._kinds: dict[str, str] = {}
        self._servers: dict[str, Postgres] = {}
        self._lent: Counter[str] = Counter()

    @contextmanager
    def database(self, server: Postgres, kind: str = EMPTY) -> Iterator[str]:
        """Within the block there is a database of that kind, or an empty one if none is free, at the URL it gives."""
        self._lent[kind] += 1
        free = self._free[server.port, kind] or self._free[server.port, EMPTY]
        url = free.pop() if free else server.create_database()
        self._servers[url] = server
        try:
            yield url
        finally:
            # A server that the test stopped is away with all it had.
            with suppress(ServerFailedError):
                self._take_back(server, url)

    def fill(self, url: str, kind: str) -> bool:
        """Whether there is all that was kept of the kind in the database, which is true of most after the first."""
        if not url.startswith("sqlite:"):
            return self._kinds.get(url) == kind
        file = self._folder / kind
        if file.exists():
            shutil.copyfile(file, url.removeprefix("sqlite://"))
        return file.exists()

    def keep(self, url: str, kind: str) -> None:
        """Let what is in the database now be what the next user of its kind finds."""
        if url.startswith("sqlite:"):
            with (
                closing(sqlite3.connect(url.removeprefix("sqlite://"))) as full,
                closing(sqlite3.connect(self._folder / kind)) as copy,
            ):
                full.backup(copy)
        elif self._lent[kind] > 1:  # A kind that is never asked for again is not worth it.
            self._servers[url].execute(_KEEP, _name(url))
            self._kinds[url] = kind

    def _take_back(self, server: Postgres, url: str) -> None:
        with suppress(ServerFailedError):
            if url in self._kinds:
                server.execute(_LET_GO + _PUT_BACK, _name(url))
                self._free[server.port, self._kinds[url]].append(url)
                return
        self._kinds.pop(url, None)
        server.execute(_LET_GO + _EMPTY_IT.format(_name(url)), _name(url))
        self._free[server.port, EMPTY].append(url)


def _name(url: str) -> str:
    return url.rpartition("/")[2]


_LET_GO = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
"""
_EMPTY_IT = """
DROP EVENT TRIGGER IF EXISTS kept;
DROP SCHEMA IF EXISTS kept CASCADE;
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
ALTER DATABASE {} RESET ALL;
"""
_KEEP = """
CREATE SCHEMA kept;
CREATE TABLE kept.counters AS SELECT sequencename AS name, last_value FROM pg_sequences WHERE schemaname = 'public';
DO $$
DECLARE name text; is_used bool;
BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', name) INTO is_used;
        IF is_used THEN
            EXECUTE format('CREATE TABLE kept.%I AS TABLE public.%I', 'rows_of_' || name, name);
        END IF;
    END LOOP;
END $$;
CREATE TABLE kept.changes (tag text);
CREATE FUNCTION kept.note() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO kept.changes VALUES (tg_tag); END $$;
CREATE EVENT TRIGGER kept ON ddl_command_end EXECUTE FUNCTION kept.note();
"""
_PUT_BACK = """
SET session_replication_role = replica;
DO $$
DECLARE name text;
BEGIN
    IF EXISTS (SELECT FROM kept.changes) OR EXISTS (
        SELECT FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = current_database()
    ) THEN
        RAISE 'it was changed';
    END IF;
    -- What was deleted stays in its file, so one that has grown is cut; that takes longer.
    FOR name IN SELECT oid::regclass FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
        AND pg_total_relation_size(oid) > 1000000 LOOP
        EXECUTE format('TRUNCATE %s CASCADE', name);
    END LOOP;
    FOR name IN SELECT oid::regclass FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
        AND pg_relation_size(oid) > 0 LOOP
        EXECUTE format('DELETE FROM %s', name);
    END LOOP;
    FOR name IN SELECT substr(relname, 9) FROM pg_class WHERE relnamespace = 'kept'::regnamespace
        AND starts_with(relname, 'rows_of_') LOOP
        EXECUTE format('INSERT INTO public.%I TABLE kept.%I', name, 'rows_of_' || name);
    END LOOP;
    PERFORM setval(format('public.%I', c.name), coalesce(last_value, 1), last_value IS NOT NULL) FROM kept.counters c;
END $$;
"""
