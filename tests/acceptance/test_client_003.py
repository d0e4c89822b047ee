"""A program written from the description of the mailing service alone, against the real `postroom serve`.

It knows the paths, the header `Authorization: Token`, the names of the fields and that rows may be put into the table
`mail`; the standard library is all that it uses. The servers of its account are Dovecot, by POP3, and one that keeps
what it is sent.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

import asyncpg
import pytest

from tests.acceptance.command import Postroom, Running, wait_for
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.fake_mta import FakeMta, Script

pytestmark = pytest.mark.anyio

ACCOUNT = "e-invoice"


@dataclass(frozen=True, slots=True)
class Client:
    """The program."""

    host: str
    token: str

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{self.host}{path}", data, headers, method=method), timeout=60) as answer:
            return json.load(answer)

    def refused(self, method: str, path: str, body: Any = None) -> int:
        with pytest.raises(HTTPError) as refusal:
            self.ask(method, path, body)
        with refusal.value as answer:
            return answer.code

    def upload(self, name: str, content: bytes) -> str:
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/pdf"}
        asked = Request(f"{self.host}/api/files?name={name}", content, headers, method="POST")
        with urlopen(asked, timeout=60) as answer:
            return str(json.load(answer)["uuid"])


@dataclass(frozen=True, slots=True)
class Desk:
    """The started host, with a member of the account's team and somebody else."""

    database_url: str
    member: Client
    stranger: Client
    mta: FakeMta

    async def storage(self, sql: str, *values: Any) -> list[Any]:
        """Speak SQL to the database as another program does; parameters are `?`."""
        if self.database_url.startswith("sqlite"):
            with (
                closing(sqlite3.connect(self.database_url.removeprefix("sqlite://"), timeout=30)) as database,
                database,
            ):
                return database.execute(sql, values).fetchall()
        database = await asyncpg.connect(self.database_url)
        try:
            for number in range(1, len(values) + 1):
                sql = sql.replace("?", f"${number}", 1)
            return [tuple(row) for row in await database.fetch(sql, *values)]
        finally:
            await database.close()


@pytest.fixture
def mailbox(dovecot: Dovecot) -> str:
    name = f"invoices-{uuid4().hex[:8]}@acme.test"
    dovecot.add_user(name)
    return name


@pytest.fixture
async def mta(mailbox: str) -> AsyncIterator[FakeMta]:
    async with FakeMta(Script(logins={mailbox: PASSWORD})) as server:
        yield server


@pytest.fixture
def postroom(tmp_path: Path, database_url: str) -> Postroom:
    return Postroom(tmp_path / "host", DATABASE_URL=database_url, ADDONS=["core"], MAIL_MODE="live", HTTP_PORT=0)


@pytest.fixture
def running(postroom: Postroom, mta: FakeMta, dovecot: Dovecot, mailbox: str) -> Iterator[tuple[Running, str, str]]:
    postroom.call("init")
    (postroom.folder / "pw").write_text("correct horse battery")
    for login in ("member@acme.test", "stranger@acme.test"):
        postroom.call("user", "add", login, "--name", login, "--group", "user", "--password-file", "pw")
    account = {
        "account": ACCOUNT,
        "mail_pop3_server": "127.0.0.1",
        "mail_pop3_port": dovecot.pop3_port,
        "mail_smtp_server": "127.0.0.1",
        "mail_smtp_port": mta.port,
        "mail_smtp_valid_cert": True,
        "mail_usessl": False,
        "mail_starttls": False,
        "mail_username": mailbox,
        "mail_password": PASSWORD,
        "mail_from": "invoices@acme.test",
        "mail_from_name": "Example Sender",
    }
    (postroom.folder / "secret.json").write_text(json.dumps(account))
    postroom.call("account", "add", "secret.json", "--team", "Invoices", "--member", "member@acme.test")
    scopes = ("--scope", "mail", "--scope", "write", "--scope", "read")
    tokens = [
        postroom.call("token", "create", login, "--name", "client", *scopes).strip()
        for login in ("member@acme.test", "stranger@acme.test")
    ]
    with postroom.running("serve") as process:
        yield process, tokens[0], tokens[1]


@pytest.fixture
async def desk(running: tuple[Running, str, str], database_url: str, mta: FakeMta) -> Desk:
    process, member, stranger = running
    host = await asyncio.to_thread(process.address)
    return Desk(database_url, Client(host, member), Client(host, stranger), mta)


def mail(number: int, with_file: bool = False) -> bytes:
    email = EmailMessage()
    email["From"], email["To"] = "Carla Customer <carla@shop.test>", "invoices@acme.test"
    email["Subject"], email["Message-ID"] = f"Question {number}", f"<q{number}@shop.test>"
    email["Date"] = "Mon, 16 Nov 2026 10:00:00 +0000"
    email.set_content("What is this invoice for?\n")
    if with_file:
        email.add_attachment(b"%PDF-1.4 scan", "application", "pdf", filename="TEST 7.pdf")
    return email.as_bytes(policy=policy.SMTP)


async def test_a_client_written_from_the_document(desk: Desk, dovecot: Dovecot, mailbox: str) -> None:
    """One host for all of it: setting one up takes longer than each of the parts."""
    await who_is_no_member_is_told_nothing(desk)
    await a_mail_is_sent_with_its_file_by_the_account(desk)
    await what_is_put_into_storage_leaves_with_a_push_once(desk)
    await a_sync_does_both(desk, dovecot, mailbox)
    await mail_is_pulled_into_storage(desk, dovecot, mailbox)


async def a_mail_is_sent_with_its_file_by_the_account(desk: Desk) -> None:
    file = await asyncio.to_thread(desk.member.upload, "F001.pdf", b"%PDF-1.4 invoice")
    body = {
        "mail_subject": "Document attached F001/202401",
        "mail_to": "customer@shop.test",
        "mail_cc": "boss@shop.test; accounts@shop.test",
        "mail_body_text": "Przesyłam dokument \n\nPozdrawiama\n",
        "mail_remote_id": "932304ce-497d-4699-9c81-aa7decad31f6",
        "mail_remote_source": "saleinvoice",
        "mail_attachments": file,
        "mail_account": ACCOUNT,
    }
    sent = await asyncio.to_thread(desk.member.ask, "POST", f"/api/core/mail/send/{ACCOUNT}", body)
    again = await asyncio.to_thread(desk.member.ask, "POST", f"/api/core/mail/send/{ACCOUNT}", body)
    assert (sent["state"], sent["id"]) == ("queued", again["id"])
    await asyncio.to_thread(desk.member.ask, "POST", f"/api/core/mail/push/{ACCOUNT}")
    assert {one.recipient for one in desk.mta.ledger} == {"customer@shop.test", "boss@shop.test", "accounts@shop.test"}
    assert len({one.raw for one in desk.mta.ledger}) == 1
    email = message_from_bytes(desk.mta.ledger[0].raw, policy=policy.default)
    assert (email["From"], email["Subject"]) == ("Example Sender <invoices@acme.test>", body["mail_subject"])
    text = email.get_body(("plain",))
    assert text is not None
    assert "Przesyłam dokument" in text.get_content()
    assert [one.get_filename() for one in email.iter_attachments()] == ["F001.pdf"]
    rows = await desk.storage("SELECT state, mail_remote_id, mail_remote_source FROM mail")
    assert rows == [("sent", body["mail_remote_id"], "saleinvoice")]


async def mail_is_pulled_into_storage(desk: Desk, dovecot: Dovecot, mailbox: str) -> None:
    await asyncio.to_thread(dovecot.deliver, mailbox, mail(1), mail(2, with_file=True))
    for method, path in (("GET", f"/{ACCOUNT}"), ("POST", "/"), ("GET", "?debug=true")):
        told = await asyncio.to_thread(desk.member.ask, method, f"/api/core/mail/pull{path}")
        assert (told["ok"], [one["account"] for one in told["accounts"]]) == (True, [ACCOUNT])
    assert PASSWORD not in json.dumps(told)
    assert {step["step"] for step in told["accounts"][0]["debug"]} >= {"TCP", "login"}
    columns = "mail_subject, mail_from, mail_body_text, mail_account, direction, mail_attachments"
    first, second = await desk.storage(
        f"SELECT {columns} FROM mail WHERE mail_subject IN ('Question 1', 'Question 2') ORDER BY mail_subject"
    )
    assert (first[0], first[3], first[4]) == ("Question 1", ACCOUNT, "incoming")
    assert "carla@shop.test" in first[1]
    assert "What is this invoice for?" in first[2]
    (file,) = ElementTree.fromstring(second[5]).findall("file")
    assert [file.findtext(name) for name in ("name", "bytes", "extension")] == ["TEST 7.pdf", "13", ".pdf"]
    hash_of = file.findtext("hash")
    assert await desk.storage("SELECT name FROM attachment WHERE uuid = ?", hash_of) == [("TEST 7.pdf",)]
    # Ours, beside the description: the rows and files are there by the API as well, for members alone.
    seen = [await asyncio.to_thread(one.ask, "GET", "/api/records/Mail") for one in (desk.member, desk.stranger)]
    assert [len(one["items"]) > 0 for one in seen] == [True, False]
    put = {"mail_account": ACCOUNT, "mail_to": "open@shop.test", "mail_bcc": "blind@shop.test", "mail_subject": "Both"}
    made = await asyncio.to_thread(desk.member.ask, "POST", "/api/records/Mail", put)
    shown = await asyncio.to_thread(desk.member.ask, "GET", "/api/records/Mail")
    assert "open@shop.test" in str(shown)
    assert "blind@shop.test" not in str([made, shown])
    known = await asyncio.to_thread(desk.member.ask, "GET", f"/api/files/{hash_of}")
    assert known["name"] == "TEST 7.pdf"
    assert await asyncio.to_thread(desk.stranger.refused, "GET", f"/api/files/{hash_of}") == 404


async def what_is_put_into_storage_leaves_with_a_push_once(desk: Desk) -> None:
    insert = "INSERT INTO mail (mail_account, mail_subject, mail_to, mail_body_text) VALUES (?, ?, ?, ?)"
    desk.mta.ledger.clear()
    for number in range(5):
        await desk.storage(insert, ACCOUNT, f"Put {number}", f"c{number}@shop.test", "Straight into storage")
    pushes = [asyncio.to_thread(desk.member.ask, "POST", "/api/core/mail/push") for _ in range(3)]
    told = await asyncio.gather(*pushes)
    assert sum(one["accounts"][0]["pushed"]["queued"] for one in told) == 5
    await asyncio.to_thread(wait_for, lambda: len(desk.mta.ledger) >= 5, "five mails")
    assert sorted(one.recipient for one in desk.mta.ledger) == [f"c{number}@shop.test" for number in range(5)]


async def a_sync_does_both(desk: Desk, dovecot: Dovecot, mailbox: str) -> None:
    desk.mta.ledger.clear()
    await asyncio.to_thread(dovecot.deliver, mailbox, mail(9))
    insert = "INSERT INTO mail (mail_account, mail_subject, mail_to) VALUES (?, ?, ?)"
    await desk.storage(insert, ACCOUNT, "Hello", "sync@shop.test")
    told = await asyncio.to_thread(desk.member.ask, "GET", f"/api/core/mail/sync/{ACCOUNT}")
    assert (told["ok"], told["pulled"] >= 1, told["sent"]) == (True, True, 1)
    assert [one.recipient for one in desk.mta.ledger] == ["sync@shop.test"]


async def who_is_no_member_is_told_nothing(desk: Desk) -> None:
    for name in (ACCOUNT, "nothing"):
        for method, path in (("POST", "send"), ("GET", "pull"), ("POST", "push"), ("GET", "sync")):
            body = {"mail_to": "x@shop.test"} if path == "send" else None
            asked = (method, f"/api/core/mail/{path}/{name}", body)
            assert await asyncio.to_thread(desk.stranger.refused, *asked) == 404
    assert (await asyncio.to_thread(desk.stranger.ask, "GET", "/api/core/mail/pull"))["accounts"] == []
    nobody = Client(desk.member.host, "nonsense")
    assert await asyncio.to_thread(nobody.refused, "GET", "/api/core/mail/pull") == 401
    assert desk.mta.ledger == []
