"""What is taken from a mailbox, what happens to it there, and what has to stay."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import pytest

from core import clock
from core.errors import ConfigError, UserError
from core.gateway import fetch_imap
from core.gateway.fetch import fetch_server
from core.runtime import Runtime, acting_as, get_model
from core.transport.imap import Folder
from tests.gateway.conftest import change_settings, mail
from tests.gateway.mailboxes import count, delete, mailbox_of, make_server, set_flags, spooled, subjects, unseen
from tests.servers.dovecot import Dovecot

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["imap", "pop3"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def bring_old_mail(dovecot: Dovecot, user: str) -> None:
    """Put in a mail of a month ago, unread; one of today, read; and one of today, unread."""
    long_ago = (clock.now() - timedelta(days=30)).strftime("%d-%b-%Y %H:%M:%S +0000")
    received = "Received: from a by b; " + (clock.now() - timedelta(days=30)).strftime("%a, %d %b %Y %H:%M:%S +0000")
    with mailbox_of(dovecot, user) as mailbox:
        mailbox.append("INBOX", "", f'"{long_ago}"', received.encode() + b"\r\n" + mail("old"))
        mailbox.append("INBOX", r"(\Seen)", "", mail("read", Date=clock.now().strftime("%a, %d %b %Y %H:%M:%S +0000")))
        mailbox.append("INBOX", "", "", mail("new", Date=clock.now().strftime("%a, %d %b %Y %H:%M:%S +0000")))


@pytest.mark.parametrize(
    ("old_mail", "days", "by_imap", "by_pop3"),
    [
        ("unseen", 7, ["new"], ["read", "new"]),
        ("unseen", 0, ["old", "new"], ["old", "read", "new"]),
        ("since", 7, ["read", "new"], ["read", "new"]),
        ("all", 7, ["old", "read", "new"], ["old", "read", "new"]),
        ("none", 7, [], []),
    ],
)
async def test_old_mail_is_taken_as_the_record_says_and_later_mail_in_any_case(
    host: Runtime,
    dovecot: Dovecot,
    user: str,
    protocol: str,
    old_mail: str,
    days: int,
    by_imap: list[str],
    by_pop3: list[str],
) -> None:
    bring_old_mail(dovecot, user)
    server = await make_server(dovecot, user, protocol=protocol, old_mail=old_mail, old_mail_days=days)
    await fetch_server(server)
    wanted = by_imap if protocol == "imap" else by_pop3
    assert await subjects() == wanted
    dovecot.deliver(user, mail("later"))
    await fetch_server(server)
    assert await subjects() == [*wanted, "later"]
    assert (await fetch_server(server)).stored == 0


async def test_mail_that_another_program_has_read_is_fetched(host: Runtime, dovecot: Dovecot, user: str) -> None:
    server = await make_server(dovecot, user)
    await fetch_server(server)
    dovecot.deliver(user, mail("read by a person at once"))
    set_flags(dovecot, user, "+FLAGS")
    assert (await fetch_server(server)).stored == 1


@pytest.mark.parametrize("after_fetch", ["seen", "keep", "move", "delete"])
async def test_what_happens_to_a_mail_there(host: Runtime, dovecot: Dovecot, user: str, after_fetch: str) -> None:
    dovecot.create_folder(user, "Done")
    server = await make_server(dovecot, user, after_fetch=after_fetch, move_to="Done")
    dovecot.deliver(user, mail("One"), mail("Two"))
    for _ in range(2):
        await fetch_server(server)
    assert len(await spooled()) == 2
    assert count(dovecot, user) == (2 if after_fetch in ("seen", "keep") else 0)
    assert unseen(dovecot, user) == (2 if after_fetch == "keep" else 0)
    assert count(dovecot, user, "Done") == (2 if after_fetch == "move" else 0)


async def test_pop3_keeps_or_deletes(host: Runtime, dovecot: Dovecot, user: str) -> None:
    server = await make_server(dovecot, user, protocol="pop3")
    dovecot.deliver(user, mail("One"), mail("Two"))
    assert (await fetch_server(server)).stored == 2
    assert (await fetch_server(server)).known == 0
    assert count(dovecot, user) == 2
    server.after_fetch = "delete"
    await server.save()
    dovecot.deliver(user, mail("Three"))
    assert (await fetch_server(server)).stored == 1
    assert count(dovecot, user) == 0
    assert not await get_model("MailUid").all().exists()
    assert await subjects() == ["One", "Two", "Three"]


async def test_a_folder_to_move_to_that_is_missing_stops_no_mail(host: Runtime, dovecot: Dovecot, user: str) -> None:
    server = await make_server(dovecot, user, after_fetch="move", move_to="Nowhere")
    dovecot.deliver(user, mail("One"))
    fetched = await fetch_server(server)
    assert (fetched.stored, fetched.error) == (1, "")
    await server.refresh_from_db()
    assert "does not move mail to Nowhere" in server.last_error
    assert "Make that folder" in server.last_hint
    dovecot.deliver(user, mail("Two"))
    assert (await fetch_server(server)).stored == 1


async def test_several_folders_of_one_mailbox(host: Runtime, dovecot: Dovecot, user: str) -> None:
    dovecot.create_folder(user, "Sent")
    for folder in ("Sales", "Büro & Co"):
        dovecot.create_folder(user, folder)
        dovecot.deliver(user, mail(folder))
        dovecot.move_all(user, folder)
    dovecot.deliver(user, mail("in"))
    server = await make_server(dovecot, user, folders=["INBOX", "Missing", "Sales", "Büro & Co"])
    fetched = await fetch_server(server)
    assert fetched.stored == 3
    await server.refresh_from_db()
    assert "does not open Missing" in server.last_error
    assert "inbound folders" in server.last_hint
    assert (server.failure_count, server.state) == (0, "used")
    assert {source.split(":")[2] for source in await spooled()} == {"INBOX", "Sales", "Büro & Co"}
    shown = {folder.name: folder for folder in await server.folder_list()}
    assert shown["Büro & Co"] == Folder("Büro & Co")
    assert shown["Sent"].special_use == "sent"
    assert "INBOX" in shown


async def test_a_visit_ends_after_a_number_of_mails_and_goes_on(
    host: Runtime, dovecot: Dovecot, user: str, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setattr(fetch_imap, "MAILS_PER_VISIT", 3)
    monkeypatch.setattr("core.gateway.fetch_pop3.MAILS_PER_VISIT", 3)
    dovecot.deliver(user, *(mail(str(number)) for number in range(7)))
    server = await make_server(dovecot, user, protocol=protocol, old_mail="all")
    visits = [await fetch_server(server) for _ in range(3)]
    assert [visit.stored for visit in visits] == [3, 3, 1]
    assert [visit.more for visit in visits] == [True, True, False]
    assert await subjects() == [str(number) for number in range(7)]


async def test_a_visit_that_lasts_too_long_ends_and_goes_on(
    host: Runtime, dovecot: Dovecot, user: str, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setattr("core.gateway.fetch_lease.VISIT_S", 0)
    monkeypatch.setattr(f"core.gateway.fetch_{protocol}.BATCH_COUNT", 2)
    dovecot.deliver(user, *(mail(str(number)) for number in range(5)))
    server = await make_server(dovecot, user, protocol=protocol, old_mail="all")
    visits = [await fetch_server(server) for _ in range(4)]
    assert [visit.stored for visit in visits] == [2, 2, 1, 0]
    assert visits[0].more
    assert await subjects() == [str(number) for number in range(5)]


async def test_what_was_too_large_comes_when_the_limit_allows_it(
    host: Runtime, dovecot: Dovecot, user: str, protocol: str
) -> None:
    change_settings(host, MAX_MAIL_BYTES=5000)
    server = await make_server(dovecot, user, protocol=protocol)
    dovecot.deliver(user, mail("Large", body="x" * 78 + "\r\n" * 3000), mail("Small"))
    for _ in range(2):
        await fetch_server(server)
        await server.refresh_from_db()
        assert "stays there unread" in server.last_error
        assert "MAX_MAIL_BYTES" in server.last_hint
    assert await subjects() == ["Small"]
    change_settings(host, MAX_MAIL_BYTES=50_000)
    fetched = await fetch_server(server)
    assert (fetched.stored, fetched.left_behind) == (1, [])
    assert await subjects() == ["Small", "Large"]


async def test_what_was_too_large_and_is_gone_is_forgotten(host: Runtime, dovecot: Dovecot, user: str) -> None:
    change_settings(host, MAX_MAIL_BYTES=5000)
    server = await make_server(dovecot, user)
    dovecot.deliver(user, mail("Large", body="x" * 78 + "\r\n" * 3000))
    await fetch_server(server)
    delete(dovecot, user)
    with clock.clock_at(clock.now() + timedelta(days=2)):
        assert (await fetch_server(server)).left_behind == []


async def test_another_mailbox_of_the_same_numbers_is_another_one(host: Runtime, dovecot: Dovecot, user: str) -> None:
    server = await make_server(dovecot, user)
    dovecot.deliver(user, mail("One"))
    await fetch_server(server)
    other = f"box-{secrets.token_hex(4)}@mail.test"
    dovecot.add_user(other)
    dovecot.deliver(other, mail("One"))
    server.username = other
    await server.save()
    assert (await fetch_server(server)).stored == 1
    assert len(set(await spooled())) == 2


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"folders": ["a\r\nA1 DELETE INBOX"]}, ConfigError),
        ({"folders": ["INBOX", "INBOX"]}, UserError),
        ({"folders": ["*"]}, ConfigError),
        ({"folders": []}, UserError),
        ({"folders": {"INBOX": 1}}, UserError),
        ({"username": "a\r\nb"}, ConfigError),
        ({"password": "a\nb"}, ConfigError),
        ({"server": "a b"}, ConfigError),
        ({"after_fetch": "move", "move_to": "x\r\ny"}, ConfigError),
        ({"after_fetch": "move", "move_to": ""}, ConfigError),
        ({"after_fetch": "move", "move_to": "INBOX"}, UserError),
        ({"after_fetch": "move", "move_to": "Done", "protocol": "pop3"}, UserError),
        ({"old_mail_days": -1}, UserError),
    ],
)
async def test_settings_that_cannot_be_meant_are_refused(
    host: Runtime, dovecot: Dovecot, values: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await make_server(dovecot, "box@mail.test", **values)


async def test_a_host_that_no_administrator_named_must_be_public(host: Runtime, dovecot: Dovecot, user: str) -> None:
    agent = await get_model("User").create(login="agent", name="Agent")
    with acting_as(agent):
        server = await make_server(dovecot, user)
    fetched = await fetch_server(server)
    assert "no public address" in fetched.error
    assert (await server.test_connection())[-1].hint
    admins = await make_server(dovecot, user, name="admin's")
    with acting_as(agent):
        *_, last = await admins.test_connection()
    assert "no public address" in last.detail
    assert (await fetch_server(admins)).error == ""


async def test_what_is_written_by_hand_leaves_the_fetchers_words_alone(
    host: Runtime, dovecot: Dovecot, user: str
) -> None:
    server = await make_server(dovecot, user)
    stale = await get_model("IncomingMailServer").get(id=server.id)
    await fetch_server(server)
    stale.name = "Another name"
    await stale.save()
    await server.refresh_from_db()
    assert (server.name, server.last_success_at is not None) == ("Another name", True)
