"""The test servers themselves: they start, keep data over a restart, and leave nothing behind."""

from __future__ import annotations

import imaplib
import smtplib
import ssl
import time
from collections.abc import Callable

import asyncpg
import pytest

from tests.servers.daemon import ServerMissingError, program
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.free_port import free_port
from tests.servers.postfix import Postfix
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.anyio


async def test_postgres_gives_databases_that_survive_a_crash() -> None:
    with Postgres() as server:
        url, other = server.create_database(), server.create_database()
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE kept (x int); INSERT INTO kept VALUES (7)")
        server.stop_immediately()
        connection.terminate()
        server.start()
        assert server.execute("SELECT x FROM kept", url.rpartition("/")[2]) == "7"
        assert url != other
        server.drop_database(url)
        assert url.rpartition("/")[2] not in server.execute("SELECT datname FROM pg_database")
    assert not server.folder.exists()


def test_a_mail_through_postfix_arrives_in_dovecot_and_a_bounce_comes_back(dovecot: Dovecot) -> None:
    dovecot.add_user("box@mail.test")
    with Postfix({"mail.test": dovecot.transport}, aliases={"@crm.test": "box@mail.test"}) as postfix:
        with smtplib.SMTP("127.0.0.1", postfix.port) as relay:
            relay.starttls(context=ssl.create_default_context(cafile=str(postfix.ca_file)))
            for number, recipient in enumerate(("box@mail.test", "anyone@crm.test", "nobody@elsewhere.test")):
                relay.sendmail("box@mail.test", [recipient], f"Subject: mail {number}\r\n\r\n".encode())
        with imaplib.IMAP4("127.0.0.1", dovecot.port) as mailbox:
            mailbox.login("box@mail.test", PASSWORD)
            _wait_for(lambda: mailbox.select()[1] == [b"3"])
            headers = str(mailbox.fetch("1:*", "(BODY.PEEK[HEADER])"))
    assert "Subject: mail 0" in headers
    assert "Subject: mail 1" in headers
    assert "Subject: Undelivered Mail Returned to Sender" in headers


def test_postfix_keeps_mail_for_a_server_that_is_down_over_a_restart(dovecot: Dovecot) -> None:
    dovecot.add_user("later@mail.test")
    with Postfix({"mail.test": f"lmtp:inet:127.0.0.1:{free_port()}"}) as postfix:
        with smtplib.SMTP("127.0.0.1", postfix.port) as relay:
            relay.sendmail("me@mail.test", ["later@mail.test"], b"Subject: patience\r\n\r\n")
        postfix.stop()
        postfix.routes["mail.test"] = dovecot.transport
        postfix.start()
        with imaplib.IMAP4("127.0.0.1", dovecot.port) as mailbox:
            mailbox.login("later@mail.test", PASSWORD)
            _wait_for(lambda: mailbox.select()[1] == [b"1"])


def test_dovecot_kicks_a_user(dovecot: Dovecot) -> None:
    dovecot.add_user("kicked")
    mailbox = imaplib.IMAP4("127.0.0.1", dovecot.port)
    try:
        mailbox.login("kicked", PASSWORD)
        dovecot.kick("kicked")
        with pytest.raises(imaplib.IMAP4.abort):
            _wait_for(lambda: mailbox.noop()[0] != "OK")
    finally:
        mailbox.shutdown()


def _wait_for(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_a_server_that_is_not_installed_names_its_package() -> None:
    with pytest.raises(ServerMissingError, match="apt-get install no-such-package"):
        program("no-such-program", "no-such-package")
