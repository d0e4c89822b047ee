"""From a real mailbox into the spool: seen only after the commit, each mail once, whatever goes wrong between."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.gateway import spool
from core.gateway.fetch import check_server, fetch_all, fetch_server
from core.runtime import Runtime, get_model
from core.transport.imap import Mailbox
from tests.gateway.conftest import change_settings, mail, sample
from tests.gateway.mailboxes import mailbox_of, make_server, set_flags, spooled, unseen
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.free_port import free_port

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server(host: Runtime, dovecot: Dovecot, user: str) -> Any:
    return await make_server(dovecot, user)


async def test_what_is_unseen_is_stored_dealt_with_and_marked_as_seen(
    dovecot: Dovecot, server: Any, user: str, routes: dict[str, Any]
) -> None:
    dovecot.deliver(user, sample("malformed"), sample("plain"), mail("Second"))
    progress = await get_model("IncomingMailServer").fetch_emails_from_all_servers()
    assert (progress.items, progress.more) == (3, False)
    assert unseen(dovecot, user) == 0
    names = await get_model("Ticket").all().order_by("id").values_list("name", flat=True)
    assert names[-2:] == ["We would like an offer", "Second"]
    folder = await get_model("MailFolder").get()
    assert await spooled() == [f"imap:{server.id}:INBOX:{folder.uid_validity}:{uid}" for uid in (1, 2, 3)]
    row = await get_model("InboundEmail").filter(source__endswith=":2").get()
    assert (await row.content()).endswith(sample("plain"))
    await server.refresh_from_db()
    assert server.last_success_at is not None
    assert server.lease_token is None
    assert (await get_model("IncomingMailServer").fetch_emails_from_all_servers()).items == 0


async def test_nothing_is_marked_as_seen_before_it_is_committed(
    dovecot: Dovecot, server: Any, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dovecot.deliver(user, mail("One"), mail("Two"))
    stored_at_mark: list[int] = []
    mark_seen = Mailbox.mark_seen

    async def watched(mailbox: Mailbox, uids: Any) -> None:
        stored_at_mark.append(len(await spooled()))
        assert unseen(dovecot, user) == 2
        await mark_seen(mailbox, uids)

    monkeypatch.setattr(Mailbox, "mark_seen", watched)
    assert (await fetch_server(server)).stored == 2
    assert stored_at_mark == [2]


async def test_a_spool_that_cannot_be_written_leaves_the_mailbox_alone(
    dovecot: Dovecot, server: Any, user: str, host: Runtime
) -> None:
    dovecot.deliver(user, mail("One"))
    await host.database.execute("ALTER TABLE inbound_email RENAME TO elsewhere")
    with pytest.raises(Exception, match="inbound_email"):
        await fetch_server(server)
    assert unseen(dovecot, user) == 1
    await host.database.execute("ALTER TABLE elsewhere RENAME TO inbound_email")
    assert (await fetch_server(server)).stored == 1


async def test_what_was_fetched_before_is_only_marked(dovecot: Dovecot, server: Any, user: str) -> None:
    dovecot.deliver(user, mail("One"), mail("Two"))
    await fetch_server(server)
    set_flags(dovecot, user, "-FLAGS")
    assert (await fetch_server(server)).known == 0, "who marks a mail as unread means it for people"
    assert unseen(dovecot, user) == 2
    # As when the worker was killed before it noted how far it came.
    await get_model("MailFolder").all().update(last_uid=0, backlog="1:2")
    fetched = await fetch_server(server)
    assert (fetched.stored, fetched.known) == (0, 2)
    assert unseen(dovecot, user) == 0
    assert len(await spooled()) == 2


async def test_two_equal_mails_in_one_folder_are_both_stored(dovecot: Dovecot, server: Any, user: str) -> None:
    dovecot.deliver(user, mail("Same"))
    with mailbox_of(dovecot, user) as mailbox:
        mailbox.copy("1", "INBOX")
    assert (await fetch_server(server)).stored == 2


async def test_uids_given_anew_bring_no_doubles(dovecot: Dovecot, server: Any, user: str) -> None:
    dovecot.deliver(user, mail("One"), mail("Two"))
    await fetch_server(server)
    before = (await get_model("MailFolder").get()).uid_validity
    # As when a mailbox is restored from a backup: the same mails in a folder of that name, all their UIDs void.
    dovecot.create_folder(user, "Restored")
    dovecot.move_all(user, "Restored")
    with mailbox_of(dovecot, user, "Restored") as mailbox:
        mailbox.store("1:*", "-FLAGS", r"(\Seen)")
    await get_model("MailFolder").all().update(name="Restored")
    for row in await get_model("InboundEmail").all():
        row.source = row.source.replace("INBOX", "Restored")
        await row.save()
    server.folders = ["Restored"]
    fetched = await fetch_server(server)
    assert (await get_model("MailFolder").get()).uid_validity != before
    assert (fetched.stored, fetched.known) == (0, 2)
    assert len(await spooled()) == 2


async def test_two_fetchers_at_once_bring_each_mail_once(dovecot: Dovecot, server: Any, user: str) -> None:
    dovecot.deliver(user, *(mail(str(number)) for number in range(20)))
    visits = await asyncio.gather(fetch_server(server), fetch_server(server))
    assert sorted(bool(visit.skipped) for visit in visits) == [False, True]
    assert len(await spooled()) == 20


async def test_a_fetcher_that_overtakes_another_does_no_harm(
    dovecot: Dovecot, server: Any, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dovecot.deliver(user, *(mail(str(number)) for number in range(5)))
    store_many = spool.store_many

    async def overtaken(mails: Any) -> dict[str, int]:
        monkeypatch.setattr(spool, "store_many", store_many)
        await get_model("IncomingMailServer").all().update(lease_until=None)
        assert (await fetch_server(server)).stored == 5
        return await store_many(mails)

    monkeypatch.setattr(spool, "store_many", overtaken)
    slow = await fetch_server(server)
    assert (slow.stored, slow.known) == (0, 5)
    assert len(await spooled()) == 5


async def test_a_mail_that_is_too_large_stays_and_is_told_of(
    dovecot: Dovecot, server: Any, user: str, host: Runtime
) -> None:
    change_settings(host, MAX_MAIL_BYTES=5000)
    dovecot.deliver(user, mail("Large", body="x" * 78 + "\r\n" * 3000), mail("Small"))
    fetched = await fetch_server(server)
    await server.refresh_from_db()
    assert fetched.stored == 1
    assert unseen(dovecot, user) == 1
    assert "INBOX, UID 1 stays there unread" in server.last_error
    assert "MAX_MAIL_BYTES (5000)" in server.last_error
    assert server.failure_count == 0


async def test_a_server_that_fails_is_left_alone_for_longer_each_time_and_hinders_no_other(
    dovecot: Dovecot, server: Any, user: str
) -> None:
    refused = await make_server(dovecot, "nobody@mail.test", name="wrong login")
    away = await make_server(dovecot, user, name="away", port=free_port())
    dovecot.deliver(user, mail("One"))
    visits = {visit.server: visit for visit in await fetch_all()}
    assert visits[user].stored == 1
    assert "login" in visits["wrong login"].error
    assert visits["away"].error
    await away.refresh_from_db()
    await refused.refresh_from_db()
    assert (away.failure_count, away.last_error) == (1, visits["away"].error)
    assert PASSWORD not in refused.last_error
    first_pause = away.next_fetch_at
    again = {visit.server: visit for visit in await fetch_all()}
    assert again["away"].skipped
    assert "port" in away.last_hint
    assert away.state == "failing"
    await away.fetch()
    await away.refresh_from_db()
    assert away.failure_count == 2
    assert away.next_fetch_at > first_pause
    await get_model("IncomingMailServer").filter(id=away.id).update(port=dovecot.port)
    await away.refresh_from_db()
    await away.fetch()
    await away.refresh_from_db()
    assert (away.failure_count, away.last_error, away.next_fetch_at) == (0, "", None)


async def test_the_connection_test_tells_each_step(dovecot: Dovecot, server: Any) -> None:
    steps = await server.test_connection()
    assert all(step.ok for step in steps)
    assert [step.name for step in steps][:2] == ["DNS", "TCP"]
    wrong = await make_server(dovecot, "nobody@mail.test", username="")
    (step,) = await wrong.test_connection()
    assert not step.ok


async def test_in_catch_mode_no_connection_is_opened(dovecot: Dovecot, server: Any, user: str, host: Runtime) -> None:
    change_settings(host, MAIL_MODE="catch")
    dovecot.deliver(user, mail("One"))
    assert ["catch" in one.skipped for one in await fetch_all()] == [True]
    assert "catch" in (await fetch_server(server)).skipped
    assert not (await check_server(server))[-1].ok
    assert unseen(dovecot, user) == 1


_WORKER = """
import asyncio, os, signal, sys
from core.config import load_configuration
from core.gateway.fetch import fetch_all
from core.host.host import open_host
from core.transport.imap import Mailbox

mark_seen = Mailbox.mark_seen

async def killed(mailbox, uids):
    if sys.argv[3] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    await mark_seen(mailbox, uids)
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    values = {"DATABASE_URL": sys.argv[1], "VAR_DIR": sys.argv[2], "ADDONS": ["core"], "MAIL_MODE": "live"}
    async with open_host(load_configuration(environment={}, overrides=values)):
        Mailbox.mark_seen = killed
        await fetch_all()

asyncio.run(main())
"""


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_around_the_marking_loses_and_doubles_nothing(
    dovecot: Dovecot, server: Any, user: str, host: Runtime, database_url: str, tmp_path: Path, moment: str
) -> None:
    dovecot.deliver(user, mail("One"), mail("Two"))
    worker = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _WORKER, database_url, str(tmp_path / "var"), moment]
    )
    assert worker.returncode == -signal.SIGKILL
    assert len(await spooled()) == 2
    assert unseen(dovecot, user) == (2 if moment == "before" else 0)
    # Its lease runs out.
    await get_model("IncomingMailServer").all().update(lease_until=None)
    await fetch_all()
    assert len(await spooled()) == 2
    assert unseen(dovecot, user) == 0
