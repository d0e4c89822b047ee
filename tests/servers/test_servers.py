"""The test servers themselves: they start, keep data over a restart, and leave nothing behind."""

from __future__ import annotations

import asyncpg
import pytest

from tests.servers.daemon import ServerMissingError, program
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.anyio


async def test_postgres_gives_databases_that_survive_a_crash() -> None:
    with Postgres() as server:
        url, other = server.create_database(), server.create_database()
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE kept (x int); INSERT INTO kept VALUES (7)")
        server.stop_immediately()
        connection.terminate()
        server.start()
        assert server.execute("SELECT x FROM kept", url.rpartition("/")[2]) == "7"
        assert url != other
        server.drop_database(url)
        assert url.rpartition("/")[2] not in server.execute("SELECT datname FROM pg_database")
    assert not server.folder.exists()


def test_a_server_that_is_not_installed_names_its_package() -> None:
    with pytest.raises(ServerMissingError, match="apt-get install no-such-package"):
        program("no-such-program", "no-such-package")
