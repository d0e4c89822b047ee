"""Fetching from a real Dovecot."""

from __future__ import annotations

import asyncio
import imaplib
import logging
import tracemalloc
from base64 import b64encode
from contextlib import aclosing
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.transport import imap
from core.transport.imap import FetchedMail, ImapAccount, ImapAuthenticationError, ImapError, TooLarge, open_mailbox
from core.transport.tls import Tls
from tests.servers.certificate import make_certificate
from tests.servers.dovecot import PASSWORD, Dovecot

pytestmark = pytest.mark.anyio
MEGABYTE = 1024 * 1024


@pytest.fixture
def account(dovecot: Dovecot, user: str) -> ImapAccount:
    return ImapAccount(
        host="127.0.0.1", port=dovecot.port, tls=Tls.NONE, username=user, password=PASSWORD, timeout_s=10
    )


def mail(subject: object, size_bytes: int = 0) -> bytes:
    body = (b"x" * 70 + b"\r\n") * (size_bytes // 72)
    return b"From: a@example.test\r\nSubject: %s\r\n\r\nhello\r\n" % str(subject).encode() + body


async def test_fetching_leaves_mails_unseen_until_they_are_marked(
    dovecot: Dovecot, user: str, account: ImapAccount
) -> None:
    dovecot.deliver(user, *(mail(number) for number in range(3)))
    async with open_mailbox(account) as mailbox:
        first, second, third = await mailbox.unseen_uids()
        items = [item async for item in mailbox.fetch((third, first))]
        assert all(isinstance(item, FetchedMail) for item in items)
        mails = [item for item in items if isinstance(item, FetchedMail)]
        assert [item.uid for item in mails] == [first, third]
        assert mails[0].raw.endswith(mail(0))
        assert mails[0].size_bytes == len(mails[0].raw)
    async with open_mailbox(account) as mailbox:
        assert await mailbox.unseen_uids() == (first, second, third)
        await mailbox.mark_seen([first, third, 4_000_000])
        await mailbox.mark_seen([])
        assert await mailbox.unseen_uids() == (second,)
        assert await mailbox.uids() == (first, second, third)
        assert await mailbox.uids(after=second) == (third,)
        assert await mailbox.uids(after=third) == ()
        assert mailbox.uid_validity > 0
        assert mailbox.uid_next == third + 1
        seen = [item async for item in mailbox.fetch([first, 77])]
        assert isinstance(seen[0], FetchedMail)
        assert len(seen) == 1


async def test_three_hundred_mails_come_in_batches(dovecot: Dovecot, user: str, account: ImapAccount) -> None:
    dovecot.deliver(user, *(mail(number, 500) for number in range(300)))
    async with open_mailbox(account) as mailbox:
        uids = await mailbox.uids()
        items = [item async for item in mailbox.fetch(uids, max_batch_count=40, max_batch_bytes=20_000)]
    assert [item.uid for item in items] == list(uids)
    subjects = [item.raw.split(b"Subject: ")[1].split(b"\r\n")[0] for item in items if isinstance(item, FetchedMail)]
    assert subjects == [b"%d" % number for number in range(300)]


async def test_who_has_enough_goes_on_with_the_session(dovecot: Dovecot, user: str, account: ImapAccount) -> None:
    dovecot.deliver(user, *(mail(number) for number in range(10)))
    async with open_mailbox(account) as mailbox:
        uids = await mailbox.uids()
        limits = {"max_mail_bytes": MEGABYTE, "max_batch_bytes": MEGABYTE, "max_batch_count": 3}
        async with aclosing(mailbox.fetch_batches(uids, **limits)) as batches:
            async for batch in batches:
                assert len(batch) == 3
                break
        assert not mailbox.is_over
        await mailbox.mark_seen(uids[:3])
        assert await mailbox.unseen_uids() == uids[3:]


async def test_a_large_mail_is_fetched_whole_and_one_over_the_limit_is_left(
    dovecot: Dovecot, user: str, account: ImapAccount
) -> None:
    dovecot.deliver(user, mail("small"), mail("large", 25 * MEGABYTE), mail("last"))
    async with open_mailbox(account) as mailbox:
        uids = await mailbox.uids()
        items = [item async for item in mailbox.fetch(uids, max_mail_bytes=10 * MEGABYTE)]
        assert [item.uid for item in items if isinstance(item, TooLarge)] == [uids[1]]
        assert {item.uid for item in items} == set(uids)
        tracemalloc.start()
        try:
            sizes = [len(item.raw) async for item in mailbox.fetch(uids) if isinstance(item, FetchedMail)]
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert sizes[1] > 25 * MEGABYTE - 72
    assert peak_bytes < 60 * MEGABYTE


@pytest.mark.parametrize("folder", ["Zażółć/gęślą jaźń", 'A "quoted" \\ & name', "INBOX/日本語 😀"])
async def test_folder_names_of_every_kind(dovecot: Dovecot, user: str, account: ImapAccount, folder: str) -> None:
    dovecot.create_folder(user, folder)
    dovecot.deliver(user, mail("moved"))
    dovecot.move_all(user, folder)
    async with open_mailbox(account, folder) as mailbox:
        assert len(await mailbox.unseen_uids()) == 1


@pytest.mark.parametrize("folder", ["", "a\r\nA1 DELETE INBOX", "a\0b", "a\nb"])
async def test_dangerous_folder_names_are_refused(account: ImapAccount, folder: str) -> None:
    with pytest.raises(ConfigError, match="Mail folder"):
        async with open_mailbox(account, folder):
            pass


async def test_a_missing_folder_is_an_error_that_names_it(account: ImapAccount) -> None:
    with pytest.raises(ImapError, match="does not open No such folder") as caught:
        async with open_mailbox(account, "No such folder"):
            pass
    assert caught.value.step == "select"
    assert "doesn't exist" in caught.value.server_text


async def test_a_wrong_password_is_told_apart(dovecot: Dovecot, user: str) -> None:
    account = ImapAccount(host="127.0.0.1", port=dovecot.port, tls=Tls.NONE, username=user, password="wrong")
    with pytest.raises(ImapAuthenticationError, match="is refused") as caught:
        async with open_mailbox(account):
            pass
    assert "wrong" not in str(caught.value)
    assert "wrong" not in repr(account)


async def test_a_password_may_hold_anything_printable(dovecot: Dovecot) -> None:
    password = 'gęś "\\ %{}'
    dovecot.add_user("zoe", password)
    account = ImapAccount(host="127.0.0.1", port=dovecot.port, tls=Tls.NONE, username="zoe", password=password)
    async with open_mailbox(account) as mailbox:
        assert await mailbox.uids() == ()


async def test_no_log_shows_the_password(account: ImapAccount, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with open_mailbox(account):
            pass
    sasl = b64encode(f"\0{account.username}\0{account.password}".encode()).decode()
    assert "AUTHENTICATE" in caplog.text
    assert account.password not in caplog.text
    assert sasl not in caplog.text


@pytest.mark.parametrize(
    ("field", "value"),
    [("username", "a\r\nb"), ("username", ""), ("password", "a\0"), ("host", "a b"), ("host", ""), ("port", 0)],
)
def test_an_account_that_could_not_be_meant_is_refused(field: str, value: object) -> None:
    settings = {"host": "mail.test", "username": "user", "password": "secret"} | {field: value}
    with pytest.raises(ConfigError):
        ImapAccount(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("tls", "port"), [(Tls.IMPLICIT, "tls_port"), (Tls.STARTTLS, "port"), (Tls.AUTO, "port")])
async def test_tls_is_verified(dovecot: Dovecot, user: str, tls: Tls, port: str, tmp_path: Path) -> None:
    def account(ca_file: Path | None, host: str = "127.0.0.1", verify: bool = True) -> ImapAccount:
        return ImapAccount(
            host=host,
            port=getattr(dovecot, port),
            tls=tls,
            username=user,
            password=PASSWORD,
            ca_file=ca_file,
            verify=verify,
        )

    for trusted in (account(dovecot.ca_file), account(dovecot.ca_file, "localhost"), account(None, verify=False)):
        steps = await imap.test_connection(trusted)
        assert all(step.ok for step in steps), steps
        assert any("TLSv1.3" in step.detail for step in steps)
    for untrusted in (account(None), account(make_certificate(tmp_path).certificate_file)):
        with pytest.raises(ImapError, match="certificate was not accepted: ") as caught:
            async with open_mailbox(untrusted):
                pass
        assert caught.value.step == "tls"


async def test_a_connection_test_reports_each_step_up_to_the_failure(account: ImapAccount, dovecot: Dovecot) -> None:
    steps = await imap.test_connection(account)
    assert [step.name for step in steps] == ["DNS", "TCP", "greeting", "login", "select", "search", "logout"]
    assert all(step.ok and step.duration_ms >= 0 for step in steps)
    *_, last = await imap.test_connection(account, "Nowhere")
    assert (last.name, last.ok) == ("select", False)
    assert "Nowhere" in last.detail
    assert "inbound folders" in last.hint


async def test_a_kick_in_mid_session_is_an_error_at_once(dovecot: Dovecot, user: str, account: ImapAccount) -> None:
    async def look() -> None:
        async with open_mailbox(account) as mailbox, asyncio.timeout(5):
            dovecot.kick(user)
            while True:
                await mailbox.uids()

    with pytest.raises(ImapError):
        await look()


async def test_a_kick_ends_waiting(dovecot: Dovecot, user: str, account: ImapAccount) -> None:
    async def wait() -> None:
        async with open_mailbox(account) as mailbox, asyncio.timeout(5):
            waiting = asyncio.create_task(mailbox.wait_for_change(60))
            await asyncio.to_thread(dovecot.kick, user)
            await waiting

    with pytest.raises(ImapError, match="at idle"):
        await wait()


async def test_new_mail_wakes_who_waits(dovecot: Dovecot, user: str, account: ImapAccount) -> None:
    async with open_mailbox(account) as mailbox, asyncio.timeout(10):
        assert await mailbox.wait_for_change(0.05) is False
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(mailbox.wait_for_change(60))
            await asyncio.to_thread(dovecot.deliver, user, mail("news"))
        assert waiting.result() is True
        assert await mailbox.wait_for_change(60) is True, "until somebody looks"
        assert len(await mailbox.unseen_uids()) == 1
        assert await mailbox.wait_for_change(0.05) is False


async def test_cancelling_leaves_no_task_and_no_socket(dovecot: Dovecot, user: str, account: ImapAccount) -> None:
    before = asyncio.all_tasks()

    async def wait() -> None:
        async with open_mailbox(account) as mailbox:
            ready.set()
            await mailbox.wait_for_change(60)

    ready = asyncio.Event()
    waiting = asyncio.create_task(wait())
    await ready.wait()
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert asyncio.all_tasks() == before


async def test_what_we_read_is_what_another_client_reads(dovecot: Dovecot, user: str, account: ImapAccount) -> None:
    dovecot.deliver(user, mail("Tagged"), b"Subject: odd\r\n\r\nA1 OK done\r\n* BYE {5}\r\n)\r\n", b"\r\n")
    with imaplib.IMAP4("127.0.0.1", dovecot.port) as other:
        other.login(user, PASSWORD)
        other.select(readonly=True)
        theirs = [other.fetch(number, "(BODY.PEEK[])")[1][0] for number in "123"]
    async with open_mailbox(account) as mailbox:
        ours = [item async for item in mailbox.fetch(await mailbox.uids())]
    assert [item.raw for item in ours if isinstance(item, FetchedMail)] == [
        pair[1] for pair in theirs if isinstance(pair, tuple)
    ]
