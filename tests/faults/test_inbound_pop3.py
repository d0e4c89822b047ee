"""F43: a POP3 server gives no ids or bad ones, breaks off, or the worker is killed before QUIT: one record each."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.runtime import Runtime, get_model
from tests.faults.mailboxes import DESK, be_hasty, mailbox_on, records, visit
from tests.faults.rig import Workers, ended, kill
from tests.servers.free_port import free_port
from tests.servers.scripted_imap import mail_number
from tests.servers.scripted_pop3 import Misbehaviour, scripted_pop3

pytestmark = pytest.mark.anyio
ALL = ["scripted 1", "scripted 2", "scripted 3"]


@pytest.fixture
def settings() -> dict[str, object]:
    return DESK


@pytest.mark.parametrize("after_fetch", ["keep", "delete"])
@pytest.mark.parametrize(
    "misbehaviour",
    [
        Misbehaviour.NONE,
        Misbehaviour.NO_CAPA,
        Misbehaviour.NO_UIDL,
        Misbehaviour.SAME_UIDS,
        Misbehaviour.NUMBERED_UIDS,
        Misbehaviour.QUIT_REFUSED,
    ],
)
async def test_f43_ids_that_are_missing_or_not_a_mails_own_make_no_doubles(
    host: Runtime, misbehaviour: Misbehaviour, after_fetch: str
) -> None:
    async with scripted_pop3(misbehaviour) as server:
        mailbox = await mailbox_on(server, after_fetch=after_fetch)
        for _ in range(2):
            assert (await visit(mailbox)).error == ""
        is_emptied = after_fetch == "delete" and misbehaviour is not Misbehaviour.QUIT_REFUSED
        assert len(server.mails) == (0 if is_emptied else 3)
        server.mails["uid-4"] = mail_number(4)
        await visit(mailbox)
        await visit(mailbox)
    assert await records() == [*ALL, "scripted 4"]


async def test_f43_an_id_that_is_used_again_is_another_mails(host: Runtime) -> None:
    async with scripted_pop3() as server:
        mailbox = await mailbox_on(server, after_fetch="delete")
        await visit(mailbox)
        server.mails = {"uid-1": mail_number(4), "uid-2": mail_number(2)}
        await visit(mailbox)
        assert server.mails == {}
    assert await records() == [*ALL, "scripted 4"]


@pytest.mark.parametrize(
    "misbehaviour",
    [
        Misbehaviour.DROP_MID_MAIL,
        Misbehaviour.ENDLESS_LINE,
        Misbehaviour.ENDLESS_MAIL,
        Misbehaviour.GARBAGE,
        Misbehaviour.SILENCE,
        Misbehaviour.DRIP,
        Misbehaviour.BAD_LIST,
        Misbehaviour.LOCKED,
        Misbehaviour.RUDE_QUIT,
    ],
)
async def test_f43_a_session_that_breaks_off_is_made_again(
    host: Runtime, misbehaviour: Misbehaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_hasty(monkeypatch)
    async with scripted_pop3(misbehaviour) as server:
        mailbox = await mailbox_on(server, after_fetch="delete")
        broken = await visit(mailbox)
        assert broken.error
        assert broken.hint
        assert len(server.mails) == 3
        server.misbehaviour = Misbehaviour.NONE
        await visit(mailbox)
        assert server.mails == {}
    assert await records() == ALL


async def test_f43_one_mail_that_always_breaks_off_is_left_behind_and_holds_up_nobody(host: Runtime) -> None:
    async with scripted_pop3(Misbehaviour.POISON) as server:
        mailbox = await mailbox_on(server, after_fetch="delete")
        errors = [bool((await visit(mailbox)).error) for _ in range(5)]
        assert errors == [True, True, True, False, False]
        assert await records() == ["scripted 1", "scripted 3"]
        assert list(server.mails) == ["uid-2"]
        await mailbox.refresh_from_db()
        assert "uid-2 stays there" in mailbox.last_error


async def test_f43_a_mail_that_is_not_handed_out_is_told_of(host: Runtime) -> None:
    async with scripted_pop3(Misbehaviour.ONE_REFUSED) as server:
        mailbox = await mailbox_on(server, after_fetch="delete")
        fetched = await visit(mailbox)
        assert "uid-2 stays there" in fetched.left_behind[0]
        assert list(server.mails) == ["uid-2"]
    assert await records() == ["scripted 1", "scripted 3"]


async def test_f43_a_kill_before_quit_makes_no_second_record(host: Runtime, tmp_path: Path) -> None:
    keys = {"ADDONS_PATH": DESK["ADDONS_PATH"], "MAIL_DOMAIN": "our.test"}
    workers = Workers(host, tmp_path / "workers", free_port(), **keys)
    await get_model("CronJob").create(
        identifier="fetch",
        name="Fetch",
        model="IncomingMailServer",
        method="fetch_emails_from_all_servers",
        frequency=5,
        frequency_unit="Minutes",
        next_run="2020-01-01T00:00:00+00:00",
    )
    async with scripted_pop3() as server:
        mailbox = await mailbox_on(server, after_fetch="delete")

        def watch(line: bytes) -> None:
            if line == b"QUIT\r\n":
                server.misbehaviour = Misbehaviour.RUDE_QUIT
                kill(worker)

        server.watcher = watch
        worker = workers.start()
        assert await ended(worker) == -9
        assert await get_model("InboundEmail").all().count() == 3
        assert len(server.mails) == 3
        server.watcher, server.misbehaviour = lambda line: None, Misbehaviour.NONE
        await visit(mailbox)
        assert server.mails == {}
    assert await records() == ALL
