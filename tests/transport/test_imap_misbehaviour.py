"""Fetching from servers that break the rules: always an ImapError that says where, in time, nothing left behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import TransportError
from core.transport import imap
from core.transport.imap import (
    FetchedMail,
    ImapAccount,
    ImapAuthenticationError,
    ImapError,
    TooLarge,
    Unfetchable,
    open_mailbox,
)
from core.transport.tls import Tls
from tests.servers.free_port import free_port
from tests.servers.scripted_imap import MAIL, Misbehaviour, ScriptedImap, scripted_imap

pytestmark = pytest.mark.anyio


def account_at(server: ScriptedImap, tls: Tls = Tls.NONE, timeout_s: float = 5) -> ImapAccount:
    return ImapAccount(
        host="127.0.0.1", port=server.port, tls=tls, username="user", password="secret", timeout_s=timeout_s
    )


async def fetch_all(account: ImapAccount) -> list[FetchedMail | TooLarge | Unfetchable]:
    """Fetch what is there, and see that whatever happens no task of ours is left."""
    before = asyncio.all_tasks()
    try:
        async with open_mailbox(account) as mailbox:
            return [item async for item in mailbox.fetch(await mailbox.uids())]
    finally:
        left = {getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks() - before}
        assert left <= {"ScriptedImap.talk"}


async def test_a_well_behaved_script_is_read() -> None:
    async with scripted_imap() as server:
        mails = await fetch_all(account_at(server))
    assert [item.uid for item in mails] == [1, 2, 3]
    assert mails[0] == FetchedMail(1, len(MAIL), MAIL)


@pytest.mark.parametrize(
    ("misbehaviour", "step", "message"),
    [
        (Misbehaviour.BUSY_GREETING, "greeting", r"takes no sessions now: too many \[31m connections$"),
        (Misbehaviour.GARBAGE_GREETING, "greeting", "broke the protocol: it greets with b'220 mail.test ESMTP'"),
        (Misbehaviour.LOGIN_UNAVAILABLE, "login", "does not take the login: .UNAVAILABLE. later"),
        (Misbehaviour.NO_UIDVALIDITY, "select", "no UIDVALIDITY"),
        (Misbehaviour.LONG_UIDS, "search", "where a UID is due"),
        (Misbehaviour.BYE, "fetch", "ended the session: going down"),
        (Misbehaviour.DROP_MID_LITERAL, "fetch", "server closed the connection"),
        (Misbehaviour.LONG_LITERAL, "fetch", "broke the protocol"),
        (Misbehaviour.HUGE_LITERAL, "fetch", r"announces 40000\d+ bytes where it was asked for less"),
        (Misbehaviour.ENDLESS_LINE, "fetch", "sends more than it was asked for"),
        (Misbehaviour.GARBAGE, "fetch", "broke the protocol: it says"),
        (Misbehaviour.WRONG_TAG, "fetch", "answers a command that was not given"),
    ],
)
async def test_each_misbehaviour_is_an_error_at_once(misbehaviour: Misbehaviour, step: str, message: str) -> None:
    async with scripted_imap(misbehaviour) as server, asyncio.timeout(4):
        with pytest.raises(ImapError, match=message) as caught:
            await fetch_all(account_at(server))
    assert caught.value.step == step
    assert caught.value.host == f"127.0.0.1:{server.port}"
    assert isinstance(caught.value, TransportError)
    assert not isinstance(caught.value, ImapAuthenticationError)


@pytest.mark.parametrize(
    "misbehaviour",
    [Misbehaviour.SILENT_GREETING, Misbehaviour.SILENCE, Misbehaviour.SHORT_LITERAL, Misbehaviour.DRIP],
)
async def test_each_step_has_a_total_deadline(misbehaviour: Misbehaviour) -> None:
    async with scripted_imap(misbehaviour) as server, asyncio.timeout(4):
        with pytest.raises(ImapError, match="no answer within"):
            await fetch_all(account_at(server, timeout_s=0.1))


async def test_thousands_of_lines_in_one_answer_are_no_trouble() -> None:
    async with scripted_imap(Misbehaviour.MANY_LINES) as server:
        assert len(await fetch_all(account_at(server))) == 3


async def test_a_mail_the_server_cannot_read_does_not_stop_the_others() -> None:
    async with scripted_imap(Misbehaviour.ONE_REFUSED) as server:
        first, second, third = await fetch_all(account_at(server))
    assert isinstance(first, FetchedMail)
    assert second == Unfetchable(2, len(MAIL), "[SERVERBUG] cannot read it")
    assert isinstance(third, FetchedMail)


async def test_a_mail_without_content_is_told_of() -> None:
    async with scripted_imap(Misbehaviour.NIL_BODY) as server:
        first, second, third = await fetch_all(account_at(server))
    assert second == Unfetchable(2, len(MAIL), "it lists this mail and hands out nothing")
    assert (first.uid, third.uid) == (1, 3)


async def test_a_login_that_the_server_cannot_take_is_told() -> None:
    async with scripted_imap(Misbehaviour.NO_SASL) as server:
        *_, last = await imap.test_connection(replace(account_at(server), password="gęś"))
        assert "ASCII" in last.detail
        assert len(await fetch_all(account_at(server))) == 3
    assert b'"user" "secret"' in b"".join(server.received)


async def test_a_challenge_instead_of_a_refusal_is_a_refusal() -> None:
    async with scripted_imap(Misbehaviour.LOGIN_CHALLENGE) as server:
        with pytest.raises(ImapAuthenticationError):
            await fetch_all(account_at(server))
    assert server.received[-1] == b"*\r\n"


@pytest.mark.parametrize(
    "misbehaviour", [Misbehaviour.NO_STARTTLS, Misbehaviour.PREAUTH, Misbehaviour.STARTTLS_INJECTION]
)
@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.AUTO])
async def test_no_password_without_encryption(misbehaviour: Misbehaviour, tls: Tls) -> None:
    async with scripted_imap(misbehaviour) as server:
        with pytest.raises(ImapError):
            await fetch_all(account_at(server, tls))
    assert not any(b"AUTHENTICATE" in line or b"LOGIN" in line or b"SELECT" in line for line in server.received)


async def test_a_server_that_speaks_no_tls_is_an_error_of_that_step() -> None:
    async with scripted_imap() as server:
        with pytest.raises(ImapError, match="TLS handshake failed") as caught:
            await fetch_all(account_at(server, Tls.IMPLICIT))
    assert caught.value.step == "tls"


async def test_a_rude_logout_spoils_nothing() -> None:
    async with scripted_imap(Misbehaviour.RUDE_LOGOUT) as server:
        assert len(await fetch_all(account_at(server))) == 3
        *_, last = await imap.test_connection(account_at(server))
    assert (last.name, last.ok) == ("logout", False)


@pytest.mark.parametrize("host", ["a..b", "." + "x" * 70])
async def test_a_host_that_cannot_be_found(host: str) -> None:
    with pytest.raises(ImapError, match="at connect"):
        await fetch_all(ImapAccount(host=host, username="user", password="secret", timeout_s=5))


async def test_a_missing_ca_file_is_named() -> None:
    async with scripted_imap() as server:
        account = replace(account_at(server, Tls.IMPLICIT), ca_file=Path("/nowhere/ca.pem"))
        with pytest.raises(ImapError, match=r"at tls: the CA file /nowhere/ca\.pem cannot be used"):
            await fetch_all(account)


async def test_nobody_there() -> None:
    account = ImapAccount(host="127.0.0.1", port=free_port(), tls=Tls.NONE, username="user", password="secret")
    with pytest.raises(ImapError, match="at connect: the connection failed"):
        await fetch_all(account)
    _, step = await imap.test_connection(account)
    assert (step.name, step.ok) == ("TCP", False)
    assert "993" in step.hint


async def test_a_mailbox_without_idle_is_polled() -> None:
    async with scripted_imap() as server, open_mailbox(account_at(server)) as mailbox:
        assert await mailbox.wait_for_change(0.01) is True, "three mails that nobody has looked at"
        await mailbox.uids()
        assert await mailbox.wait_for_change(0.01) is False
    assert any(b"NOOP" in line for line in server.received)


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.IDLE_REFUSED, Misbehaviour.IDLE_OVER])
async def test_an_idle_that_is_none_is_asked_for_once(
    misbehaviour: Misbehaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.transport.imap_mailbox._SHORTEST_IDLE_S", 0.05)
    monkeypatch.setattr("core.transport.imap_mailbox.POLL_EVERY_S", 0.02)
    async with scripted_imap(misbehaviour) as server, open_mailbox(account_at(server)) as mailbox:
        await mailbox.uids()
        assert await mailbox.wait_for_change(0.1) is False
    commands = [line.split()[1] for line in server.received if len(line.split()) == 2]
    assert commands.count(b"IDLE") == 1
    assert b"NOOP" in commands


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.SILENCE, Misbehaviour.DRIP])
async def test_cancelling_at_any_step_closes_the_socket(misbehaviour: Misbehaviour) -> None:
    async with scripted_imap(misbehaviour) as server:
        fetching = asyncio.create_task(fetch_all(account_at(server)))
        await asyncio.sleep(0.05)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        async with asyncio.timeout(2):
            while server.connections:
                await asyncio.sleep(0.01)
