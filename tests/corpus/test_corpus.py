"""The corpus: mails after the shapes that clients, servers and robots send, each with what it must lead to.

`expected.yaml` in every folder says what that is; `world.py` is what the mails are sent to.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from core.gateway import spool
from core.gateway.authenticity import authenticated
from core.gateway.lookup import open_lookup
from core.gateway.receive import process, read_in_time
from core.gateway.spool import Spooled
from core.gateway.values import Account
from core.runtime import Runtime, get_model
from tests.corpus.expected import FILE, Seen, differences, expected_of, folders
from tests.corpus.world import SETTINGS, World, build
from tests.databases import sqlite_alone as database_url

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio

FOR_PEOPLE = Path(__file__).parent.parent / "samples" / "bounces"
LEAST = 320


@pytest.fixture
def settings() -> dict[str, object]:
    return SETTINGS


@pytest.fixture
async def world(host: Runtime) -> World:
    return await build()


async def dealt_with(mails: dict[str, bytes], world: World) -> list[Seen]:
    """Send mails through spool and rules, in the order of their names."""
    raws = {name: world.fill(raw) for name, raw in sorted(mails.items())}
    ids = await spool.store_many([(f"corpus:{name}", raw) for name, raw in raws.items()])
    accounts = {account.source: account for account in await process(list(ids.values()))}
    spooled = [Spooled(ids[f"corpus:{name}"], f"corpus:{name}", 1, raw) for name, raw in raws.items()]
    emails = await authenticated(await read_in_time(spooled, await open_lookup()), spooled)
    for one in spooled:
        assert await spool.raw_of(one.id) == one.raw
    messages = await entries(list(accounts.values()))
    return [
        Seen(name, email, accounts[email.source], messages.get(accounts[email.source].message or 0), world.records)
        for name, email in zip(raws, emails, strict=True)
    ]


async def entries(accounts: list[Account]) -> dict[int, object]:
    ids = [account.message for account in accounts if account.message]
    return {message.id: message for message in await get_model("Message").filter(id__in=ids)}


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
async def test_each_mail_leads_to_what_is_expected(folder: Path, world: World) -> None:
    expected = expected_of(folder)
    mails = {name: (folder / name).read_bytes() for name in expected}
    told = [line for seen in await dealt_with(mails, world) for line in differences(seen, expected[seen.name])]
    assert not told, "\n" + "\n".join(told)


async def test_the_bounces_written_for_people_are_told_of_where_they_belong(world: World) -> None:
    """The samples say in their first line who failed: `address action hard|soft cause`, nobody, or none."""
    lines = {file.name: file.read_bytes().partition(b"\n") for file in sorted(FOR_PEOPLE.glob("*.eml"))}
    wanted = {name: first.decode().partition(":")[2].strip() for name, (first, _, _) in lines.items()}
    for seen in await dealt_with({name: raw for name, (_, _, raw) in lines.items()}, world):
        is_bounce = seen.account.outcome == "bounce"
        assert is_bounce == (wanted[seen.name] != "none"), (seen.name, seen.account)


async def test_every_mail_has_an_expectation_and_there_are_enough() -> None:
    count = 0
    for folder in folders():
        files = {file.name for file in folder.iterdir()} - {FILE}
        assert files == set(expected_of(folder)), folder.name
        assert all("outcome" in one for one in expected_of(folder).values()), folder.name
        count += len(files)
    assert count >= LEAST
