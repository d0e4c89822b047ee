"""Mail accounts of teams, on real sockets and both databases: what they keep, who may use them, what they send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.errors import AccessDenied, UnknownName, UserError
from core.runtime import Runtime, acting_as, get_model, runtime
from tests.servers.fake_mta import Act, FakeMta, Script
from tests.servers.scripted_pop3 import Misbehaviour, ScriptedPop3, scripted_pop3

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> dict[str, object]:
    return {"MAIL_MODE": "live", "CRON_POLL_SECONDS": 0.2}


@pytest.fixture
async def mta(host: Runtime) -> AsyncIterator[FakeMta]:
    async with FakeMta(Script(logins={"example_username": "example_password"})) as server:
        yield server


@pytest.fixture
async def pop3(host: Runtime) -> AsyncIterator[ScriptedPop3]:
    async with scripted_pop3() as server:
        yield server


@pytest.fixture
async def ann(host: Runtime) -> Any:
    return await get_model("User").create(login="ann@acme.example", name="Ann")


async def team_of(*members: Any, name: str = "Invoices") -> Any:
    team = await get_model("Team").create(name=name, type="mail")
    await team.members.add(*members)
    return team


async def account_of(team: Any, smtp_port: int = 0, pop3_port: int = 0, **values: Any) -> Any:
    return await get_model("MailAccount").create(
        **{
            "team": team,
            "account": "e-invoice",
            "mail_pop3_server": "127.0.0.1" if pop3_port else "",
            "mail_pop3_port": pop3_port or 110,
            "mail_smtp_server": "127.0.0.1" if smtp_port else "",
            "mail_smtp_port": smtp_port or 25,
            "mail_username": "example_username",
            "mail_password": "example_password",
            "mail_from": "invoices@acme.example",
            "mail_from_name": "Acme, Invoices",
            **values,
        }
    )


@pytest.fixture
async def account(ann: Any, mta: FakeMta, pop3: ScriptedPop3) -> Any:
    return await account_of(await team_of(ann), mta.port, pop3.port)


async def insert(**values: Any) -> None:
    """Put a row into storage as any program would, by SQL."""
    param = runtime().database.dialect.param
    places = ", ".join(param(at) for at in range(1, len(values) + 1))
    await runtime().database.execute(f"INSERT INTO mail ({', '.join(values)}) VALUES ({places})", list(values.values()))


WAITING = {"mail_account": "e-invoice", "mail_subject": "Put here", "mail_to": "x@y.example", "mail_body_text": "Hello"}


async def test_a_push_sends_what_sql_put_into_storage(account: Any, mta: FakeMta) -> None:
    await insert(**{**WAITING, "mail_to": '"Doe, Jo" <x@y.example>; z@y.example'})
    (visit,) = await get_model("MailAccount").visit([account], push=True)
    assert (visit.pushed.queued, visit.pushed.sent, visit.errors) == (1, 1, [])
    assert {one.recipient for one in mta.ledger} == {"x@y.example", "z@y.example"}
    assert b'From: "Acme, Invoices" <invoices@acme.example>\r\n' in mta.ledger[0].raw
    mail = await get_model("Mail").get()
    assert (mail.state, mail.direction, mail.account_id) == ("sent", "outgoing", account.pk)
    assert mail.mail_from == '"Acme, Invoices" <invoices@acme.example>'
    (visit,) = await get_model("MailAccount").visit([account], push=True)
    assert (visit.pushed.queued, visit.pushed.sent, len(mta.ledger)) == (0, 0, 2)


async def test_pushes_at_once_send_each_row_once(account: Any, mta: FakeMta) -> None:
    for number in range(6):
        await insert(**{**WAITING, "mail_subject": f"Number {number}"})
    pushes = [get_model("MailAccount").visit([account], push=True) for _ in range(3)]
    visits = [visit for (visit,) in await asyncio.gather(*pushes)]
    assert sum(visit.pushed.queued for visit in visits) == 6
    assert len(mta.ledger) == 6
    assert await get_model("Mail").filter(state="sent").count() == 6


async def test_a_row_that_cannot_be_sent_stops_no_other(account: Any, mta: FakeMta) -> None:
    await insert(**{**WAITING, "mail_to": "nobody"})
    await insert(**{**WAITING, "mail_attachments": "not-a-file"})
    await insert(**{**WAITING, "mail_attachments": "a7590409-b792-8f1c-81d0-0191a509d671"})
    await insert(**{**WAITING, "mail_to": " , "})
    await insert(**WAITING)
    (visit,) = await get_model("MailAccount").visit([account], push=True)
    assert (visit.pushed.queued, visit.pushed.failed, visit.pushed.sent) == (1, 4, 1)
    mails = await get_model("Mail").filter(state="failed").order_by("id")
    assert "nobody" in mails[0].error
    assert "not-a-file" in mails[1].error
    assert "a7590409" in mails[2].error
    assert "mail_to, mail_cc or mail_bcc" in mails[3].error


async def test_what_sqlite_takes_for_a_date_or_a_text_stops_no_other(account: Any, mta: FakeMta) -> None:
    if runtime().database.dialect.name != "sqlite":
        return  # Others refuse such a row themselves.
    await insert(**{**WAITING, "mail_date": "01/02/2026"})
    await insert(**{**WAITING, "mail_body_html": b"<p>Hello</p>"})
    await insert(**WAITING)
    (visit,) = await get_model("MailAccount").visit([account], push=True)
    assert (visit.pushed.queued, visit.pushed.failed, visit.pushed.sent) == (2, 1, 2)
    failed = await get_model("Mail").get(state="failed")
    assert failed.error == "mail_body_html holds no text."


async def test_a_sent_mail_has_its_files_and_stays_in_storage(account: Any, ann: Any, mta: FakeMta) -> None:
    file = await get_model("Attachment").keep("TEST 7.pdf", b"%PDF-1.4 seven", "application/pdf")
    values = {
        "mail_to": "x@y.example",
        "mail_subject": "Żółw",
        "mail_body_text": "Przesyłam",
        "mail_bcc": "b@y.example",
    }
    mail, known = await account.send(ann, {**values, "mail_attachments": file.uuid})
    assert (mail.state, known) == ("queued", False)
    (visit,) = await get_model("MailAccount").visit([account], push=True)
    assert visit.pushed.sent == 1
    assert {one.recipient for one in mta.ledger} == {"x@y.example", "b@y.example"}
    assert b"b@y.example" not in mta.ledger[0].raw
    mail = await get_model("Mail").get()
    assert mail.mail_attachments == (
        f"<ArrayOfFile><file><name>TEST 7.pdf</name><bytes>14</bytes><hash>{file.uuid}</hash>"
        "<extension>.pdf</extension></file></ArrayOfFile>"
    )


async def test_the_same_mail_again_is_that_mail(account: Any, ann: Any, mta: FakeMta) -> None:
    values = {"mail_to": "x@y.example", "mail_remote_id": "932304ce", "mail_remote_source": "saleinvoice"}
    asked = await asyncio.gather(*(account.send(ann, values) for _ in range(4)))
    assert len({mail.pk for mail, _ in asked}) == 1
    assert sorted(known for _, known in asked) == [False, True, True, True]
    reminder, known = await account.send(ann, {**values, "mail_subject": "Reminder"})
    assert (reminder.pk == asked[0][0].pk, known) == (False, False)
    await get_model("Mail").filter(id=reminder.pk).update(state="failed")
    _, known = await account.send(ann, {**values, "mail_subject": "Reminder"})
    assert known is False


async def test_html_in_storage_is_safe_and_leaves_as_it_was(account: Any, ann: Any) -> None:
    html = '<p onclick="x()">Hi</p><script>alert(1)</script>'
    mail, _ = await account.send(ann, {"mail_to": "x@y.example", "mail_body_html": html})
    assert ("script" in mail.mail_body_html, "onclick" in mail.mail_body_html, "Hi" in mail.mail_body_html) == (
        False,
        False,
        True,
    )
    with pytest.raises(UserError):
        await account.send(ann, {"mail_body_text": "to nobody"})
    assert await get_model("Mail").all().count() == 1


async def test_a_sent_mail_has_both_bodies_in_storage_and_leaves_as_it_was(
    account: Any, ann: Any, mta: FakeMta
) -> None:
    await account.send(ann, {"mail_to": "x@y.example", "mail_body_text": "1 < 2\nhttps://a.example/b"})
    await account.send(ann, {"mail_to": "x@y.example", "mail_body_html": "<p>See <b>this</b></p>"})
    await get_model("MailAccount").visit([account], push=True)
    text, html = await get_model("Mail").all().order_by("id")
    assert text.mail_body_html.startswith('1 &lt; 2<br>\n<a href="https://a.example/b"')
    assert text.mail_body_text == "1 < 2\nhttps://a.example/b"
    assert (html.mail_body_html, html.mail_body_text.strip()) == ("<p>See <b>this</b></p>", "See this")
    assert [b"text/html" in one.raw for one in mta.ledger] == [False, True]


async def test_a_pull_fills_storage_and_the_inbox_keeps_quiet(account: Any, pop3: ScriptedPop3) -> None:
    pop3.mails["file"] = (
        b"From: Carla <carla@shop.example>\r\nTo: invoices@acme.example\r\nSubject: Scan\r\nMessage-ID: <s@x>\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: text/html\r\n\r\n<p>See <b>this</b><script>x</script></p>\r\n--b\r\n"
        b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nabc\r\n--b--\r\n"
    )
    (visit,) = await get_model("MailAccount").visit([account], pull=True)
    assert (visit.pulled, visit.errors, visit.skipped) == (4, [], "")
    mail = await get_model("Mail").get(mail_subject="Scan")
    assert (mail.direction, mail.state, mail.mail_account) == ("incoming", "received", "e-invoice")
    assert mail.mail_from == "Carla <carla@shop.example>" or mail.mail_from == '"Carla" <carla@shop.example>'
    assert ("<b>this</b>" in mail.mail_body_html, "script" in mail.mail_body_html) == (True, False)
    assert "See this" in mail.mail_body_text
    file = await get_model("Attachment").get()
    assert (file.name, file.res_model, file.res_id, bytes(file.content)) == ("a.txt", "Mail", mail.pk, b"abc")
    assert file.uuid in mail.mail_attachments
    rows = await get_model("InboundEmail").all()
    assert {(one.state, one.outcome) for one in rows} == {("ignored", "stored")}
    (visit,) = await get_model("MailAccount").visit([account], pull=True)
    assert (visit.pulled, await get_model("Mail").all().count()) == (0, 4)


async def test_pulls_at_once_bring_each_mail_once(account: Any) -> None:
    visits = await asyncio.gather(*(get_model("MailAccount").visit([account], pull=True) for _ in range(3)))
    assert sum(visit.pulled for (visit,) in visits) == 3
    assert await get_model("Mail").filter(state="received").count() == 3


async def test_a_broken_account_stops_no_other(ann: Any, mta: FakeMta, pop3: ScriptedPop3) -> None:
    team = await team_of(ann)
    good = await account_of(team, mta.port, pop3.port)
    async with scripted_pop3(Misbehaviour.REFUSED) as refusing:
        bad = await account_of(team, 1, refusing.port, account="broken", mail_from="b@acme.example")
        await insert(**{**WAITING, "mail_account": "broken"})
        visits = await get_model("MailAccount").visit([bad, good], pull=True, push=True, debug=True)
    assert [bool(visit.errors) for visit in visits] == [True, False]
    assert visits[1].pulled == 3
    said = " ".join(visits[0].errors)
    assert ("127.0.0.1" in said, "refused the login" in said) == (False, True)
    assert visits[0].pushed.waiting == 1
    assert {protocol for protocol, _ in visits[1].steps} == {"pop3", "smtp"}
    assert "example_password" not in repr(visits)


async def test_nobody_but_members_is_told_of_an_account(account: Any, ann: Any) -> None:
    bob = await get_model("User").create(login="bob@acme.example", name="Bob", is_admin=True)
    assert [one.account for one in await get_model("MailAccount").all_of(ann)] == ["e-invoice"]
    assert await get_model("MailAccount").all_of(bob) == []
    for name in ("e-invoice", "nothing"):
        with pytest.raises(UnknownName, match=f'There is no mail account "{name}"'):
            await get_model("MailAccount").of(bob, name)
    with acting_as(bob), pytest.raises(UnknownName):
        await get_model("Mail").create(**WAITING)


async def test_who_acts_says_nothing_of_what_became_of_a_mail(account: Any, ann: Any) -> None:
    with acting_as(ann):
        mail = await get_model("Mail").create(**WAITING, state="fetched", direction="incoming", error="x")
        assert (mail.state, mail.direction, mail.error, mail.account_id) == ("new", "outgoing", None, account.pk)
        mail.state, mail.mail_subject = "sent", "Other"
        await mail.save()
    await mail.refresh_from_db()
    assert (mail.state, mail.mail_subject) == ("new", "Other")
    await get_model("MailAccount").visit([account], push=True)
    await mail.refresh_from_db()
    mail.mail_body_html = "<script>x</script>"
    with acting_as(ann), pytest.raises(UserError, match="is sent, so it stays"):
        await mail.save()


async def test_nobody_sends_a_file_that_is_not_theirs_to_read(account: Any, ann: Any) -> None:
    file = await get_model("Attachment").keep("secret.txt", b"x")
    with acting_as(ann), pytest.raises((UserError, AccessDenied)):
        await account.send(ann, {"mail_to": "x@y.example", "mail_attachments": file.uuid})
    assert await get_model("Mail").all().count() == 0


async def test_only_administrators_set_accounts_up_and_only_in_mail_teams(account: Any, ann: Any) -> None:
    with acting_as(ann), pytest.raises(AccessDenied):
        await account.save()
    general = await get_model("Team").create(name="All")
    with pytest.raises(UserError, match="type mail"):
        await account_of(general, 25, account="other")
    team = await get_model("Team").get(id=account.team_id)
    team.type = "general"
    with pytest.raises(UserError, match="has mail accounts"):
        await team.save()


async def test_the_servers_follow_the_account(account: Any) -> None:
    outgoing = await get_model("OutgoingMailServer").get(mail_account_id=account.pk)
    incoming = await get_model("IncomingMailServer").get(mail_account_id=account.pk)
    assert (outgoing.tls, incoming.tls, incoming.protocol) == ("none", "none", "pop3")
    account.mail_username, account.mail_smtp_port, account.mail_usessl = "recent:me@gmail.com", 465, True
    await account.save()
    await outgoing.refresh_from_db()
    await incoming.refresh_from_db()
    assert (outgoing.username, outgoing.tls, outgoing.password) == ("me@gmail.com", "implicit", "example_password")
    assert incoming.username == "recent:me@gmail.com"
    account.mail_smtp_server = "smtp.elsewhere.example"
    await account.save()
    await outgoing.refresh_from_db()
    await incoming.refresh_from_db()
    assert {account.mail_password, outgoing.password, incoming.password} == {""}
    account.mail_pop3_server = ""
    await account.save()
    assert await get_model("IncomingMailServer").all().count() == 0
    await account.delete()
    assert await get_model("OutgoingMailServer").all().count() == 0


async def test_other_mail_leaves_by_no_account(account: Any, ann: Any, mta: FakeMta) -> None:
    message = await get_model("Message").queue_email(ann, ["x@y.example"], "Hi", "<p>Hi</p>")
    await message.send_now()
    assert (message.send_state, mta.ledger) == ("Queued", [])
    assert "No outgoing mail server" in message.error


async def test_a_server_that_takes_nothing_keeps_the_mail_waiting(ann: Any) -> None:
    async with FakeMta(Script(steps={"mail": Act(reply="421 later")})) as busy:
        account = await account_of(await team_of(ann), busy.port, mail_username="", mail_password="")
        for _ in range(3):
            await insert(**WAITING)
        (visit,) = await get_model("MailAccount").visit([account], push=True)
    assert (visit.pushed.queued, visit.pushed.sent, visit.pushed.waiting) == (3, 0, 3)
    assert visit.errors


async def test_what_an_account_sends_is_its_rows(account: Any, ann: Any, mta: FakeMta, pop3: ScriptedPop3) -> None:
    mail, _ = await account.send(ann, {"mail_to": "x@y.example", "mail_body_text": "Hello"})
    message = await get_model("Message").get()
    assert (message.res_model, message.res_id, message.reply_to) == ("Mail", mail.pk, "invoices@acme.example")
    await get_model("MailAccount").visit([account], push=True)
    pop3.mails = {
        "answer": b"From: x@y.example\r\nTo: invoices@acme.example\r\nSubject: Re: Hello\r\nMessage-ID: <r@y>\r\n"
        b"In-Reply-To: " + message.message_id.encode() + b"\r\n\r\nThanks\r\n"
    }
    await get_model("MailAccount").visit([account], pull=True)
    answer = await get_model("Message").get(direction="Inbound")
    assert (answer.res_model, answer.res_id) == ("Mail", mail.pk)
    stored = await get_model("Mail").get(direction="incoming")
    assert (stored.mail_subject, stored.message_id) == ("Re: Hello", answer.pk)
