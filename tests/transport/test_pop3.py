"""Fetching by POP3 from a real Dovecot."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from core.transport import pop3
from core.transport.mailbox_items import FetchedMail, Item, TooLarge
from core.transport.pop3 import Listed, Pop3Account, Pop3AuthenticationError, Pop3Error, Pop3Session, open_session
from core.transport.tls import Tls
from tests.servers.certificate import make_certificate
from tests.servers.dovecot import PASSWORD, Dovecot

pytestmark = pytest.mark.anyio
MEGABYTE = 1024 * 1024
LIMITS = {"max_mail_bytes": 50 * MEGABYTE, "max_batch_bytes": 8 * MEGABYTE, "max_batch_count": 250}


@pytest.fixture
def account(dovecot: Dovecot, user: str) -> Pop3Account:
    return Pop3Account(
        host="127.0.0.1", port=dovecot.pop3_port, tls=Tls.NONE, username=user, password=PASSWORD, timeout_s=10
    )


def mail(subject: object, size_bytes: int = 0) -> bytes:
    body = (b"x" * 70 + b"\r\n") * (size_bytes // 72)
    return b"From: a@example.test\r\nSubject: %s\r\n\r\nhello\r\n" % str(subject).encode() + body


async def fetched(session: Pop3Session, mails: tuple[Listed, ...], **limits: int) -> list[Item]:
    return [item async for batch in session.fetch_batches(mails, **{**LIMITS, **limits}) for item in batch]


async def test_what_is_listed_is_fetched_and_stays(dovecot: Dovecot, user: str, account: Pop3Account) -> None:
    dotted = b"Subject: dots\r\n\r\n.\r\n..\r\n...two\r\n.end\r\n"
    dovecot.deliver(user, mail(0), dotted, *(mail(number) for number in range(1, 30)))
    async with open_session(account) as session:
        mails = await session.listing()
        assert [one.number for one in mails] == list(range(1, 32))
        assert len({one.uid for one in mails} - {""}) == 31
        items = await fetched(session, mails, max_batch_count=7)
        assert "PIPELINING" in session.capabilities
        header = await session.header(2)
    assert header.endswith(b"Subject: dots\r\n\r\n")
    contents = [item.raw for item in items if isinstance(item, FetchedMail)]
    assert [item.uid for item in items] == list(range(1, 32))
    assert contents[1].endswith(dotted)
    assert contents[0].endswith(mail(0))
    assert [len(raw) for raw in contents] == [one.size_bytes for one in mails]
    async with open_session(account) as session:
        assert [one.uid for one in await session.listing()] == [one.uid for one in mails]


async def test_an_empty_mailbox(account: Pop3Account) -> None:
    async with open_session(account) as session:
        assert await session.listing() == ()
        assert await fetched(session, ()) == []


async def test_nothing_is_deleted_before_the_server_said_so(dovecot: Dovecot, user: str, account: Pop3Account) -> None:
    dovecot.deliver(user, mail(1), mail(2), mail(3))

    async def die() -> None:
        async with open_session(account) as session:
            await session.delete([1, 2])
            raise RuntimeError("as when the process dies")

    with pytest.raises(RuntimeError):
        await die()
    async with open_session(account) as session:
        mails = await session.listing()
        assert len(mails) == 3
        await session.delete([1, 3, 99])
        assert await session.quit() is True
    async with open_session(account) as session:
        assert [one.uid for one in await session.listing()] == [mails[1].uid]


async def test_a_large_mail_is_fetched_whole_and_one_over_the_limit_is_left(
    dovecot: Dovecot, user: str, account: Pop3Account
) -> None:
    dovecot.deliver(user, mail("small"), mail("large", 25 * MEGABYTE), mail("last"))
    async with open_session(account) as session:
        mails = await session.listing()
        items = await fetched(session, mails, max_mail_bytes=10 * MEGABYTE)
        assert items[0] == TooLarge(2, mails[1].size_bytes)
        assert {item.uid for item in items} == {1, 2, 3}
        tracemalloc.start()
        try:
            async for batch in session.fetch_batches(mails, **LIMITS):
                sizes = [len(item.raw) for item in batch if isinstance(item, FetchedMail)]
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert sizes
    assert peak_bytes < 60 * MEGABYTE


async def test_a_wrong_password_is_told_apart(dovecot: Dovecot, user: str) -> None:
    account = Pop3Account(host="127.0.0.1", port=dovecot.pop3_port, tls=Tls.NONE, username=user, password="wrong")
    with pytest.raises(Pop3AuthenticationError, match="is refused") as caught:
        async with open_session(account):
            pass
    assert "wrong" not in str(caught.value)
    assert "wrong" not in repr(account)


@pytest.mark.parametrize(
    ("tls", "port"), [(Tls.IMPLICIT, "pop3_tls_port"), (Tls.STARTTLS, "pop3_port"), (Tls.AUTO, "pop3_port")]
)
async def test_tls_is_verified(dovecot: Dovecot, user: str, tls: Tls, port: str, tmp_path: Path) -> None:
    def account(ca_file: Path | None, host: str = "127.0.0.1", verify: bool = True) -> Pop3Account:
        return Pop3Account(
            host=host,
            port=getattr(dovecot, port),
            tls=tls,
            username=user,
            password=PASSWORD,
            verify=verify,
            ca_file=ca_file,
            timeout_s=10,
        )

    for trusted in (account(dovecot.ca_file), account(dovecot.ca_file, "localhost"), account(None, verify=False)):
        steps = await pop3.test_connection(trusted)
        assert all(step.ok for step in steps), steps
        assert any("TLSv1.3" in step.detail for step in steps)
    for untrusted in (account(None), account(make_certificate(tmp_path).certificate_file)):
        with pytest.raises(Pop3Error, match="certificate was not accepted: ") as caught:
            async with open_session(untrusted):
                pass
        assert caught.value.step == "tls"


async def test_a_connection_test_reports_each_step(account: Pop3Account) -> None:
    steps = await pop3.test_connection(account)
    assert [step.name for step in steps] == ["DNS", "TCP", "greeting", "login", "list", "quit"]
    assert all(step.ok and step.duration_ms >= 0 for step in steps)
