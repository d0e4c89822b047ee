"""F42: an IMAP server breaks off, lies or renumbers, others interfere, the worker is killed: one record each."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.gateway import fetch_imap
from core.runtime import Runtime, get_model
from tests.faults.mailboxes import DESK, be_hasty, mailbox_on, records, visit
from tests.faults.rig import Workers, ended, kill
from tests.servers.free_port import free_port
from tests.servers.scripted_imap import Misbehaviour, scripted_imap

pytestmark = pytest.mark.anyio
ALL = ["scripted 1", "scripted 2", "scripted 3"]


@pytest.fixture
def settings() -> dict[str, object]:
    return DESK


@pytest.mark.parametrize(
    "misbehaviour",
    [
        Misbehaviour.DROP_MID_LITERAL,
        Misbehaviour.SHORT_LITERAL,
        Misbehaviour.LONG_LITERAL,
        Misbehaviour.HUGE_LITERAL,
        Misbehaviour.BYE,
        Misbehaviour.ENDLESS_LINE,
        Misbehaviour.GARBAGE,
        Misbehaviour.SILENCE,
        Misbehaviour.DRIP,
        Misbehaviour.BUSY_GREETING,
    ],
)
async def test_f42_a_fetch_that_breaks_off_is_made_again(
    host: Runtime, misbehaviour: Misbehaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_hasty(monkeypatch)
    async with scripted_imap(misbehaviour) as server:
        mailbox = await mailbox_on(server)
        broken = await visit(mailbox)
        await mailbox.refresh_from_db()
        assert broken.error
        assert broken.hint
        assert (mailbox.failure_count, mailbox.last_error, mailbox.last_hint) == (1, broken.error, broken.hint)
        assert await records() == []
        server.misbehaviour = Misbehaviour.NONE
        assert (await visit(mailbox)).error == ""
        assert await records() == ALL
        assert (await visit(mailbox)).stored == 0
    await mailbox.refresh_from_db()
    assert (mailbox.failure_count, mailbox.last_error, mailbox.last_hint) == (0, "", "")
    assert await records() == ALL


async def test_f42_one_mail_that_always_breaks_off_is_left_behind_and_holds_up_nobody(host: Runtime) -> None:
    async with scripted_imap(Misbehaviour.POISON) as server:
        mailbox = await mailbox_on(server)
        visits = [await visit(mailbox) for _ in range(6)]
        assert [bool(one.error) for one in visits] == [True, True, True, True, False, False]
        assert await records() == ["scripted 1", "scripted 3"]
        await mailbox.refresh_from_db()
        assert "UID 2 stays there" in mailbox.last_error
        server.misbehaviour = Misbehaviour.NONE
        await get_model("MailUid").all().update(tried_at=datetime(2020, 1, 1, tzinfo=UTC))
        assert (await visit(mailbox)).left_behind == []
    assert await records() == ALL


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.ONE_REFUSED, Misbehaviour.NIL_BODY])
async def test_f42_a_mail_that_is_not_handed_out_is_told_of(host: Runtime, misbehaviour: Misbehaviour) -> None:
    async with scripted_imap(misbehaviour) as server:
        mailbox = await mailbox_on(server)
        fetched = await visit(mailbox)
    assert fetched.error == ""
    assert "UID 2 stays there" in fetched.left_behind[0]
    assert await records() == ["scripted 1", "scripted 3"]


async def test_f42_a_mail_expunged_while_it_is_fetched_is_gone_and_nothing_else(host: Runtime) -> None:
    async with scripted_imap(Misbehaviour.EXPUNGED) as server:
        mailbox = await mailbox_on(server)
        fetched = await visit(mailbox)
        server.uids.append(4)
        await visit(mailbox)
    assert (fetched.error, fetched.left_behind) == ("", [])
    assert await records() == ["scripted 1", "scripted 3", "scripted 4"]


async def test_f42_uids_given_anew_are_read_again_without_doubles(host: Runtime) -> None:
    async with scripted_imap() as server:
        mailbox = await mailbox_on(server)
        await visit(mailbox)
        server.uid_validity, server.uids = 10, [1, 2, 3, 4]
        again = await visit(mailbox)
        assert (again.stored, again.known) == (1, 3)
        server.uids.append(5)
        await visit(mailbox)
    assert await records() == [*ALL, "scripted 4", "scripted 5"]


async def test_f42_uids_given_anew_in_the_middle_of_old_mail(host: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_imap, "MAILS_PER_VISIT", 2)
    async with scripted_imap() as server:
        mailbox = await mailbox_on(server)
        assert (await visit(mailbox)).more
        server.uid_validity = 10
        while (await visit(mailbox)).more:
            pass
    assert await records() == ALL


async def test_f42_a_mailbox_of_a_million_mails_costs_what_is_new(host: Runtime) -> None:
    async with scripted_imap() as server:
        server.uids = [1, 2, 3, 1_000_000]
        mailbox = await mailbox_on(server, old_mail="none")
        await visit(mailbox)
        server.uids.append(1_000_001)
        assert (await visit(mailbox)).stored == 1
        assert any(b"UID SEARCH UID 1000001:*" in line for line in server.received)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_f42_a_kill_around_the_marking_loses_and_doubles_nothing(
    host: Runtime, tmp_path: Path, moment: str
) -> None:
    workers = Workers(host, tmp_path / "workers", free_port(), ADDONS_PATH=DESK["ADDONS_PATH"], MAIL_DOMAIN="our.test")
    async with scripted_imap() as server:
        mailbox = await mailbox_on(server)

        def kill_at_store(line: bytes) -> None:
            if b"UID STORE" in line:
                kill(worker)

        if moment == "before":
            server.watcher = kill_at_store
        else:
            server.then = kill_at_store
        worker = workers.start()
        assert await ended(worker) == -9
        assert await get_model("InboundEmail").all().count() == 3
        server.watcher = server.then = lambda line: None
        known = (await visit(mailbox)).known
        # After the answer it may have written down how far it came, before the kill reached it.
        assert known in ((3,) if moment == "before" else (3, 0))
        assert sum(b"UID STORE" in line for line in server.received) == (2 if known else 1)
    assert await records() == ALL
