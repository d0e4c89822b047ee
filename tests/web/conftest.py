"""A host with the desk addon, behind a real server on a free port, and the people who come to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from core.runtime import Runtime, get_model
from tests.databases import sqlite_alone as database_url  # noqa: F401 - a fixture, for those too who import all of this
from tests.hosts import QUICK
from tests.web.browser import Browser
from tests.web.desk import write_desk
from tests.web.program import program_of
from tests.web.served import served

HASH = QUICK.hash("secret")


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, object]:
    write_desk(tmp_path / "addons")
    return {
        "ADDONS": ["core", "desk"],
        "ADDONS_PATH": [str(tmp_path / "addons")],
        "MAIL_MODE": "catch",
        "MAIL_DOMAIN": "desk.example",
        "SMTP_FROM_EMAIL": "desk@desk.example",
    }


@dataclass(frozen=True, slots=True)
class World:
    """The records that every web test starts from."""

    company: Any
    other_company: Any
    contact: Any
    ticket: Any
    foreign: Any
    """A ticket of the other company."""


@pytest.fixture
async def world(host: Runtime) -> World:
    """Two companies with a ticket each; users ann (may all with tickets), nora (may nothing), eve (as ann, elsewhere),

    guest (as ann, but not internal) and root (administrator); all passwords are `secret`.
    """
    company = await get_model("Company").create(name="Ours", email="us@desk.example")
    other = await get_model("Company").create(name="Theirs")
    contact = await get_model("Contact").create(name="Carla Customer", email="carla@example.org")
    internal = await get_model("Group").create(identifier="user", name="User")
    agents = await get_model("Group").create(identifier="agent", name="Agent")
    heads = await get_model("Group").create(identifier="head", name="Head")
    await heads.implies.add(agents, internal)
    models = ("Ticket", "Step", "Contact", "Message", "InboundEmail", "CronJob", "CaughtEmail", "Suppression")
    for name in (*models, "EmailTemplate", "EmailTemplateVersion"):
        model = await get_model("ModelRegistry").get(identifier=name)
        await get_model("ModelAccess").create(
            model=model, group=agents, can_read=True, can_create=True, can_write=True, can_delete=True
        )
    await _user("ann", company, heads)
    await _user("eve", other, heads)
    await _user("guest", company, agents)
    await _user("nora", company, internal)
    await _user("root", company, is_admin=True)
    ticket = await get_model("Ticket").create(name="Broken chair", contact=contact, company=company, secret="hidden!")
    foreign = await get_model("Ticket").create(name="Theirs alone", company=other)
    return World(company, other, contact, ticket, foreign)


async def _user(login: str, company: Any, *groups: Any, is_admin: bool = False) -> None:
    contact = await get_model("Contact").create(name=login.title(), email=f"{login}@desk.example", company=company)
    user = await get_model("User").create(
        login=login, name=login.title(), password_hash=HASH, contact=contact, company=company, is_admin=is_admin
    )
    await user.groups.add(*groups)


@pytest.fixture
async def address(world: World) -> AsyncIterator[str]:
    """The address of a running server."""
    async with served() as address:
        yield address


@pytest.fixture
async def ann(address: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A program of Ann's, with a token for all but `admin`."""
    async with program_of(address, "ann") as client:
        yield client


Visitor = Callable[..., Awaitable[Browser]]


@pytest.fixture
async def visitor(address: str) -> AsyncIterator[Visitor]:
    """`await visitor("ann")` is Ann at her browser; `await visitor()` is a stranger at his."""
    async with AsyncExitStack() as stack:

        async def arrive(login: str | None = None) -> Browser:
            browser = await stack.enter_async_context(Browser(address))
            if login:
                answer = await browser.log_in(login)
                assert answer.status_code == 303, answer.text
            return browser

        yield arrive
