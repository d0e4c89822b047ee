"""Fetching from POP3 servers that break the rules: always a Pop3Error that says where, in time, nothing left behind."""

from __future__ import annotations

import asyncio

import pytest

from core.transport import pop3
from core.transport.mailbox_items import FetchedMail, Item, Unfetchable
from core.transport.pop3 import Listed, Pop3Account, Pop3AuthenticationError, Pop3Error, open_session
from core.transport.tls import Tls
from tests.servers.free_port import free_port
from tests.servers.scripted_imap import mail_number
from tests.servers.scripted_pop3 import Misbehaviour, ScriptedPop3, scripted_pop3

pytestmark = pytest.mark.anyio
LIMITS = {"max_mail_bytes": 10**6, "max_batch_bytes": 10**6, "max_batch_count": 250}


def account_at(server: ScriptedPop3, tls: Tls = Tls.NONE, timeout_s: float = 5) -> Pop3Account:
    return Pop3Account(
        host="127.0.0.1", port=server.port, tls=tls, username="user", password="secret", timeout_s=timeout_s
    )


async def fetch_all(account: Pop3Account) -> tuple[tuple[Listed, ...], list[Item]]:
    """Fetch what is there, and see that whatever happens no task of ours is left."""
    before = asyncio.all_tasks()
    try:
        async with open_session(account) as session:
            mails = await session.listing()
            return mails, [item async for batch in session.fetch_batches(mails, **LIMITS) for item in batch]
    finally:
        left = {getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks() - before}
        assert left <= {"ScriptedPop3.talk"}


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.NONE, Misbehaviour.NO_CAPA, Misbehaviour.WRONG_SIZE])
async def test_what_need_not_be_known_is_not_needed(misbehaviour: Misbehaviour) -> None:
    async with scripted_pop3(misbehaviour) as server:
        mails, items = await fetch_all(account_at(server))
    assert [one.number for one in mails] == [1, 2, 3]
    assert [item.raw for item in items if isinstance(item, FetchedMail)] == [mail_number(at) for at in (1, 2, 3)]
    assert (b"PASS secret\r\n" in server.received) is (misbehaviour is Misbehaviour.NO_CAPA)


@pytest.mark.parametrize(
    ("misbehaviour", "uids"),
    [
        (Misbehaviour.NONE, ["uid-1", "uid-2", "uid-3"]),
        (Misbehaviour.NO_UIDL, ["", "", ""]),
        (Misbehaviour.NUMBERED_UIDS, ["", "", ""]),
        (Misbehaviour.SAME_UIDS, ["", "", "uid-3"]),
    ],
)
async def test_an_id_that_is_not_a_mails_own_is_none(misbehaviour: Misbehaviour, uids: list[str]) -> None:
    async with scripted_pop3(misbehaviour) as server, open_session(account_at(server)) as session:
        assert [one.uid for one in await session.listing()] == uids


@pytest.mark.parametrize(
    ("misbehaviour", "step", "message"),
    [
        (Misbehaviour.BUSY_GREETING, "greeting", r"takes no sessions now: -ERR too many \[31m connections$"),
        (Misbehaviour.GARBAGE_GREETING, "greeting", "broke the protocol: it greets so: . OK IMAP4rev1"),
        (Misbehaviour.LOCKED, "login", "does not take the login: -ERR .IN-USE. "),
        (Misbehaviour.BAD_LIST, "list", "its LIST cannot be read"),
        (Misbehaviour.DROP_MID_MAIL, "fetch", "server closed the connection"),
        (Misbehaviour.ENDLESS_LINE, "fetch", "sends a line without an end"),
        (Misbehaviour.ENDLESS_MAIL, "fetch", "sends more than it was asked for"),
        (Misbehaviour.GARBAGE, "fetch", "broke the protocol"),
    ],
)
async def test_each_misbehaviour_is_an_error_at_once(misbehaviour: Misbehaviour, step: str, message: str) -> None:
    async with scripted_pop3(misbehaviour) as server, asyncio.timeout(4):
        with pytest.raises(Pop3Error, match=message) as caught:
            await fetch_all(account_at(server))
    assert caught.value.step == step
    assert caught.value.host == f"127.0.0.1:{server.port}"
    assert not isinstance(caught.value, Pop3AuthenticationError)


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.SILENT_GREETING, Misbehaviour.SILENCE, Misbehaviour.DRIP])
async def test_each_step_has_a_total_deadline(misbehaviour: Misbehaviour) -> None:
    async with scripted_pop3(misbehaviour) as server, asyncio.timeout(4):
        with pytest.raises(Pop3Error, match="no answer within"):
            await fetch_all(account_at(server, timeout_s=0.1))


async def test_a_refusal_that_repeats_the_password_is_not_shown() -> None:
    async with scripted_pop3(Misbehaviour.REFUSED) as server:
        with pytest.raises(Pop3AuthenticationError, match="not shown") as caught:
            await fetch_all(account_at(server))
        *_, last = await pop3.test_connection(account_at(server))
    assert "secret" not in str(caught.value)
    assert last.hint


async def test_a_mail_the_server_cannot_read_does_not_stop_the_others() -> None:
    async with scripted_pop3(Misbehaviour.ONE_REFUSED) as server:
        _, (first, second, third) = await fetch_all(account_at(server))
    assert isinstance(first, FetchedMail)
    assert second == Unfetchable(2, len(mail_number(2)), "cannot read it")
    assert isinstance(third, FetchedMail)


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.NO_STLS, Misbehaviour.STLS_INJECTION])
@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.AUTO])
async def test_no_password_without_encryption(misbehaviour: Misbehaviour, tls: Tls) -> None:
    async with scripted_pop3(misbehaviour) as server:
        with pytest.raises(Pop3Error):
            await fetch_all(account_at(server, tls))
    assert not any(line.startswith((b"AUTH", b"USER", b"PASS", b"LIST")) for line in server.received)


async def test_a_server_that_speaks_no_tls_is_an_error_of_that_step() -> None:
    async with scripted_pop3() as server:
        with pytest.raises(Pop3Error) as caught:
            await fetch_all(account_at(server, Tls.IMPLICIT))
    assert caught.value.step == "tls"


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.QUIT_REFUSED, Misbehaviour.RUDE_QUIT])
async def test_a_quit_without_a_yes_deleted_nothing(misbehaviour: Misbehaviour) -> None:
    async with scripted_pop3(misbehaviour) as server:
        async with open_session(account_at(server)) as session:
            await session.delete([1, 2, 3])
            try:
                is_deleted = await session.quit()
            except Pop3Error as error:
                is_deleted, step = False, error.step
                assert step == "quit"
        assert is_deleted is False
        assert len(server.mails) == 3


async def test_nobody_there() -> None:
    account = Pop3Account(host="127.0.0.1", port=free_port(), tls=Tls.NONE, username="user", password="secret")
    with pytest.raises(Pop3Error, match="at connect: the connection failed"):
        await fetch_all(account)
    *_, step = await pop3.test_connection(account)
    assert (step.ok, "995" in step.hint) == (False, True)


async def test_cancelling_closes_the_socket() -> None:
    async with scripted_pop3(Misbehaviour.DRIP) as server:
        fetching = asyncio.create_task(fetch_all(account_at(server)))
        await asyncio.sleep(0.05)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        async with asyncio.timeout(2):
            while server.connections:
                await asyncio.sleep(0.01)
