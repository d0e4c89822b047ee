"""One server of each kind for a whole test session (each parallel worker has its own), started at first use."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.servers.dovecot import Dovecot
from tests.servers.kept import Kept
from tests.servers.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL; a test that stops it must start one of its own instead."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """The databases that tests use one after the other."""
    return Kept(tmp_path_factory.mktemp("kept"))


@pytest.fixture
def postgres_url(postgres: Postgres, kept: Kept) -> Iterator[str]:
    """The URL of an empty database."""
    with kept.database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    """A running Dovecot; each test adds users of its own."""
    with Dovecot() as server:
        yield server


@pytest.fixture
def user(dovecot: Dovecot) -> str:
    """Who has an empty mailbox of their own there; the password is everybody's."""
    name = f"box-{secrets.token_hex(4)}@mail.test"
    dovecot.add_user(name)
    return name
