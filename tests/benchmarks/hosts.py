"""An open host on an empty database of either kind, and the sink that takes its mail."""

from __future__ import annotations

import gc
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from core.cli.command import loading
from core.config import load_configuration
from core.config.settings import Settings
from core.host.host import open_host
from core.host.install import update_schema
from core.runtime import Runtime
from tests.benchmarks.measure import move_away
from tests.servers.free_port import free_port
from tests.servers.postgres import Postgres

DATABASES = ("sqlite", "postgres")
LANES: int = Settings.model_fields["SMTP_CONCURRENCY"].default
"""What a worker has unless it is told otherwise; other clients get as many connections."""


@asynccontextmanager
async def hosted(database: str, **settings: Any) -> AsyncIterator[Runtime]:
    """Open a host on a new database; PostgreSQL runs on another core."""
    with _database(database) as url, tempfile.TemporaryDirectory() as folder:
        values = {"DATABASE_URL": url, "VAR_DIR": folder, "ADDONS": ["core"], "MAIL_MODE": "live", **settings}
        async with open_host(load_configuration(environment={}, overrides=values)) as runtime:
            await update_schema(runtime)
            with _kept():
                yield runtime


@contextmanager
def _kept() -> Iterator[None]:
    """Look for garbage as the command does once its host is open: not in what is loaded by now, and seldom."""
    with loading():
        gc.collect()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _database(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite://{folder}/postroom.db"
        return
    with Postgres() as server:
        assert server.process is not None
        move_away(server.process.pid)
        yield server.create_database()


@contextmanager
def sink() -> Iterator[int]:
    """Start Postfix's smtp-sink, or our own where it is not installed, on another core; gives its port."""
    program = shutil.which("smtp-sink", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    with _postfix_sink(program) if program else _own_sink() as (process, port):
        move_away(process.pid)
        try:
            yield port
        finally:
            process.terminate()
            process.wait()


@contextmanager
def _postfix_sink(program: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    account = ["-u", "nobody"] if os.geteuid() == 0 else []
    with subprocess.Popen([program, *account, f"127.0.0.1:{port}", "1000"], stderr=subprocess.DEVNULL) as process:
        _wait_for(port)
        yield process, port


@contextmanager
def _own_sink() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    command = [sys.executable, "-m", "tests.servers.fake_mta"]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["port"]


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("smtp-sink does not answer")
