"""Mail servers as an attacker meets them; each test names its row of the threat list (S3, S6-S8, S11, P4, W8, I18)."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet

from core.access import access_of
from core.delivery.engine import Engine
from core.delivery.servers import load_servers, overview, pauses
from core.errors import ConfigError, PostroomError, UserError
from core.orm import fields
from core.orm.rotation import rotate_secrets
from core.orm.serialize import plain_data
from core.runtime import Runtime, acting_as, get_model
from core.transport.smtp import SmtpAccount, SmtpError, Tls, open_session, test_connection
from core.web.fields import as_json, fields_of
from tests.databases import sqlite_alone as database_url
from tests.servers.certificate import make_certificate
from tests.servers.fake_mta import EXTENSIONS, Act, FakeMta, Script

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio

PASSWORD = "correct-horse-battery"
LOGIN = {"username": "kim@acme.test", "password": PASSWORD}


@pytest.fixture
def settings() -> dict[str, object]:
    return {"MAIL_MODE": "live", "MAIL_DOMAIN": "acme.test"}


async def _server(**values: Any) -> Any:
    fields_ = {"name": "Relay", "server": "127.0.0.1", "port": 1, "use_ssl": False, **values}
    return await get_model("OutgoingMailServer").create(**fields_)


async def _queue(sender: str = "office@acme.test", **options: Any) -> Any:
    return await get_model("Message").queue_email(
        None, ["x@customer.test"], "Hi", "<p>Hi</p>", from_email=sender, **options
    )


async def _drain() -> None:
    async with Engine() as engine:
        await engine.drain()


# S3: settings that could be read as a second command.


@pytest.mark.parametrize("evil", ["a\r\nMAIL FROM:<x>", "a\nb", "a\0b", "a b\r"])
@pytest.mark.parametrize("name", ["server", "username", "password", "name"])
async def test_s3_no_setting_of_a_server_ends_a_line(host: Runtime, name: str, evil: str) -> None:
    with pytest.raises((ConfigError, UserError)):
        await _server(**{name: evil})
    server = await _server()
    setattr(server, name, evil)
    with pytest.raises((ConfigError, UserError)):
        await server.save()


@pytest.mark.parametrize("name", ["a\r\nRSET", "a b", "ü.test"])
async def test_s3_nor_does_the_name_that_we_introduce_ourselves_by(name: str) -> None:
    with pytest.raises(ConfigError):
        SmtpAccount(host="mail.test", local_hostname=name)


# S6: what a server, or somebody on the way, may do before TLS.


@pytest.fixture(params=["omitted", "454", "self-signed", "wrong host", "expired", "injected", "pretended"])
async def treacherous(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[FakeMta, dict[str, Any]]]:
    """A server without trustworthy TLS, and how an account reaches it."""
    kind, trusted = request.param, True
    names, ends_at = ("localhost", "127.0.0.1"), datetime.now(UTC) + timedelta(days=1)
    options: dict[str, Any] = {}
    if kind == "454":
        options["steps"] = {"starttls": Act(reply="454 4.7.0 TLS not available")}
    elif kind == "self-signed":
        trusted = False
    elif kind == "wrong host":
        names = ("elsewhere.test",)
    elif kind == "expired":
        ends_at = datetime.now(UTC) - timedelta(days=1)
    elif kind == "injected":
        options["injected"] = b"250-AUTH PLAIN\r\n250 SIZE 1\r\n"
    elif kind == "pretended":
        options["steps"] = {"starttls": Act(reply="250 done already")}
    certificate = make_certificate(tmp_path, names, ends_at)
    if kind == "omitted":
        options["extensions"] = EXTENSIONS
    else:
        options["certificate"] = certificate
    async with FakeMta(Script(logins={"kim@acme.test": PASSWORD}, **options)) as mta:
        yield mta, {"host": "127.0.0.1", "port": mta.port, "ca_file": certificate.certificate_file if trusted else None}


async def test_s6_no_login_and_no_mail_without_trustworthy_tls(treacherous: tuple[FakeMta, dict[str, Any]]) -> None:
    mta, reached = treacherous
    for tls in (Tls.AUTO, Tls.STARTTLS):
        account = SmtpAccount(**reached, tls=tls, **LOGIN)
        with pytest.raises(SmtpError) as caught:
            await open_session(account)
        assert caught.value.phase == "tls"
        steps = await test_connection(account)
        assert not steps[-1].ok
        assert steps[-1].hint
    assert not any(line.startswith(("AUTH", "MAIL")) for line in mta.commands)
    assert mta.ledger == []


async def test_s6_the_server_is_said_to_be_misconfigured_and_mail_waits(host: Runtime) -> None:
    async with FakeMta(Script(logins={"kim@acme.test": PASSWORD})) as mta:
        await _server(port=mta.port, use_ssl=True, **LOGIN)
        message = await _queue()
        for _ in range(6):
            await get_model("Delivery").all().update(due_at=datetime(2020, 1, 1, tzinfo=UTC))
            await _drain()
        (state,) = [one for one in await overview() if one.name == "Relay"]
        assert state.paused_until is not None
        assert "STARTTLS" in state.reason
        assert not any(line.startswith(("AUTH", "MAIL")) for line in mta.commands)
    await message.refresh_from_db()
    assert (message.send_state, message.retry_count) == ("Queued", 0)


async def test_s6_switching_protection_off_is_visible_and_logged(
    host: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    await _server(name="Careless", server="mail.test", use_ssl=True, verify_certificate=False)
    await _server(name="Open", server="relay.test", tls="none")
    await _server(name="Sound", server="mail.test", use_ssl=True)
    await _server(name="Within", server="localhost", tls="none")
    risks = {one.name: one.server.risks for one in await overview() if one.server}
    assert risks == {
        "Careless": ("any certificate is accepted",),
        "Open": ("mail travels without TLS",),
        "Sound": (),
        "Within": (),
    }
    logged = capsys.readouterr().out
    assert "Careless" in logged
    assert "Open" in logged
    assert "Sound" not in logged


# S7: the password is nowhere.


async def test_s7_the_password_is_in_no_record_log_reply_or_error(
    host: Runtime, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = make_certificate(tmp_path)
    caplog.set_level(logging.DEBUG)
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        for reply in (f"535 5.7.8 {PASSWORD} is wrong", f"550 you said {PASSWORD}", f"999 {PASSWORD}"):
            script = Script(logins={"x": "y"}, certificate=certificate, steps={"auth": Act(reply=reply)})
            async with FakeMta(script) as mta:
                account = mta.account(**LOGIN)
                with pytest.raises(SmtpError) as caught:
                    await open_session(account)
                said.write(f"{caught.value} {caught.value.reply} {caught.value!r} {account!r} {vars(caught.value)}")
                said.write(str(await test_connection(account)))
        server = await _server(**LOGIN, port=1, use_ssl=True)
        await _queue()
        await _drain()
        access = await access_of(await get_model("User").create(login="root@acme.test", name="Root", is_admin=True))
        shown = [await plain_data(server), await as_json(server), await fields_of(server, access), repr(server)]
        attempts = [vars(one) for one in await get_model("Attempt").all()]
        pauses_ = [one.reason for one in await get_model("ServerPause").all()]
        (row,) = await host.database.fetch("SELECT * FROM outgoing_mail_server")
    for text in (said.getvalue(), caplog.text, str(shown), str(attempts), str(pauses_), str(row)):
        assert PASSWORD not in text
    assert "password" not in shown[0] | shown[1]


# S8: a server's words are shown as text, short, and without what a terminal obeys.


async def test_s8_a_servers_words_are_cut_and_cleaned(host: Runtime) -> None:
    script = Script(steps={"mail": Act(reply="550 5.1.0 \x1b[31m<script>alert(1)</script>\x9b2J" + "x" * 3000)})
    async with FakeMta(script) as mta:
        await _server(port=mta.port)
        message = await _queue()
        await _drain()
    (attempt,) = await get_model("Attempt").all()
    await message.refresh_from_db()
    for text in (attempt.reply, message.error):
        assert "\x1b" not in text
        assert "\x9b" not in text
        assert len(text) < 5000


async def test_s8_a_line_without_end_ends_the_connection() -> None:
    async with FakeMta(Script(steps={"ehlo": Act(raw=b"250-" + b"x" * 1_000_000)})) as mta:
        with pytest.raises(SmtpError) as caught:
            await open_session(mta.account())
        assert len(str(caught.value)) < 2000


# S11: From must belong to the server, and that is said before anything is queued.


async def test_s11_a_foreign_from_domain_is_refused_early(host: Runtime) -> None:
    await _server(from_domains=["acme.test", "Bücher.test"])
    with pytest.raises(UserError, match="may send as ceo@bank"):
        await _queue("ceo@bank.test")
    assert await get_model("Message").all().count() == 0
    for sender in ("office@ACME.test", "kim@xn--bcher-kva.test", "kim@bücher.test"):
        assert await _queue(sender)
    for sender in ("a@evil.acme.test", "a@acme.test.evil.test", "a@xacme.test"):
        with pytest.raises(UserError, match="may send as"):
            await _queue(sender)
    servers = await load_servers()
    assert servers.may_send_as(None, None, "kim@acme.test")
    assert not servers.may_send_as(None, None, "kim@bank.test")


async def test_s11_identities_belong_to_the_allow_list_too(host: Runtime) -> None:
    with pytest.raises(UserError, match="may not write as"):
        await _server(from_domains=["acme.test"], from_identities=[{"name": "CEO", "email": "ceo@bank.test"}])
    with pytest.raises(PostroomError):
        await _server(from_identities=["ceo@bank.test"])
    await _server(from_domains=["acme.test"], from_identities=[{"name": "Sales", "email": "sales@acme.test"}])


# P4, W8: hosts that a user names.


@pytest.mark.parametrize(
    "named", ["127.0.0.1", "localhost", "0", "2130706433", "0x7f000001", "::1", "::ffff:127.0.0.1"]
)
async def test_w8_a_users_server_is_never_inside_our_network(host: Runtime, named: str) -> None:
    user = await get_model("User").create(login="anna@acme.test", name="Anna")
    async with FakeMta(Script(steps={"connect": Act(raw=b"-ERR this is redis\r\n")})) as mta:
        server = await _server(server=named, port=mta.port, user=user)
        steps = await server.test_connection()
        assert mta.connections == 0
    assert not steps[-1].ok
    assert "127.0.0.1" not in steps[-1].detail.replace(str(server.server), "")
    assert "redis" not in str(steps)


async def test_w8_an_administrators_server_may_be_local_but_not_for_others_to_probe(host: Runtime) -> None:
    anna = await get_model("User").create(login="anna@acme.test", name="Anna")
    root = await get_model("User").create(login="root@acme.test", name="Root", is_admin=True)
    async with FakeMta(Script()) as mta:
        server = await _server(port=mta.port)
        with acting_as(anna):
            assert not (await server.test_connection())[-1].ok
        assert mta.connections == 0
        with acting_as(root):
            assert all(step.ok for step in await server.test_connection())


async def test_w8_what_the_operator_allows(host: Runtime) -> None:
    object.__setattr__(host.settings, "PRIVATE_HOSTS_ALLOWED", ("127.0.0.0/8",))
    user = await get_model("User").create(login="anna@acme.test", name="Anna")
    async with FakeMta(Script()) as mta:
        server = await _server(port=mta.port, user=user)
        assert all(step.ok for step in await server.test_connection())
    async with FakeMta(Script(steps={"connect": Act(raw=b"-ERR this is redis\r\n")})) as mta:
        server = await _server(name="Spy", port=mta.port, user=user)
        assert "redis" not in str(await server.test_connection())


async def test_p4_the_address_that_was_checked_is_the_one_connected_to(
    host: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers with an allowed address first and with ours later is asked once only."""
    object.__setattr__(host.settings, "PRIVATE_HOSTS_ALLOWED", ("127.0.0.2",))
    asked = []

    async def rebinding(name: Any, port: Any, **options: Any) -> list[Any]:
        asked.append(name)
        return [(2, 1, 6, "", ("127.0.0.2" if len(asked) == 1 else "127.0.0.1", port))]

    user = await get_model("User").create(login="anna@acme.test", name="Anna")
    async with FakeMta(Script()) as mta:
        server = await _server(server="rebinding.test", port=mta.port, user=user)
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebinding)
        assert not (await server.test_connection())[-1].ok
        assert mta.connections == 0
    assert asked == ["rebinding.test"]


# I18: a redirected server does not get the login.


async def test_i18_another_host_never_gets_the_login(host: Runtime) -> None:
    server = await _server(server="mail.acme.test", use_ssl=True, **LOGIN)
    server.server = "mail.evil.test"
    await server.save()
    assert (await get_model("OutgoingMailServer").get(id=server.pk)).password == ""
    server.server, server.password = "mail.acme.test", "a new one"
    await server.save(update_fields=["server", "password"])
    assert (await get_model("OutgoingMailServer").get(id=server.pk)).password == "a new one"
    server.server = "mail.evil.test"
    await server.save(update_fields=["server"])
    assert (await get_model("OutgoingMailServer").get(id=server.pk)).password == ""


async def test_i18_nor_does_another_mailbox(host: Runtime) -> None:
    mailboxes = get_model("IncomingMailServer")
    mailbox = await mailboxes.create(name="Office", server="imap.acme.test", **LOGIN)
    mailbox.server = "imap.evil.test"
    await mailbox.save()
    assert (await mailboxes.get(id=mailbox.pk)).password == ""


@pytest.mark.parametrize("domains", ['"acme.test"', [""], [7], {"acme.test": 1}])
async def test_s11_an_allow_list_is_a_list(host: Runtime, domains: Any) -> None:
    with pytest.raises(UserError, match="list of domains"):
        await _server(from_domains=domains)


# Secrets at rest: rotation, and a key that is lost.


async def test_secrets_rotate_and_a_lost_key_stops_one_server_only(host: Runtime) -> None:
    first, second, lost = (Fernet(Fernet.generate_key()) for _ in range(3))
    token = fields.secret_cipher.set(MultiFernet([first]))
    try:
        async with FakeMta(Script()) as mta:
            sound = await _server(name="Sound", port=mta.port, password="one", from_domains=["b.test"])
            fields.secret_cipher.set(MultiFernet([lost]))
            broken = await _server(name="Broken", port=mta.port, password="two", from_domains=["acme.test"])
            fields.secret_cipher.set(MultiFernet([second, first]))
            done = await rotate_secrets(host.database)
            assert done.unreadable == (f"OutgoingMailServer {broken.pk}, password",)
            assert done.count >= 1
            fields.secret_cipher.set(MultiFernet([second]))
            assert (await get_model("OutgoingMailServer").get(id=sound.pk)).password == "one"
            waiting = await _queue("office@acme.test")
            await _queue("office@b.test")
            await _drain()
            assert [one.sender for one in mta.ledger] != []
            assert len(mta.ledger) == 1
            await waiting.refresh_from_db()
            assert "The password of Broken was encrypted with another SECRET_KEY" in waiting.error
    finally:
        fields.secret_cipher.reset(token)


# The circuit, by the database's clock.


async def test_pauses_grow_and_success_ends_them(host: Runtime) -> None:
    from core.delivery.servers import note_fault, note_success  # The two ends of one circuit.

    await get_model("User").create(login="root@acme.test", name="Root", is_admin=True)
    server = await _server()
    key, waits = str(server.pk), []
    for _ in range(8):
        waits.append((await note_fault(key, "refused")).total_seconds())
        await get_model("ServerPause").filter(server=key).update(until_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert waits == [0, 0, 0, 0, 30, 60, 120, 240]
    await note_fault(key, "refused")
    left = (await pauses())[key]
    assert 400 < left <= 480.1
    assert 400 < (await note_fault(key, "again")).total_seconds() <= 480.1
    assert await get_model("Notification").all().count() == 1
    await note_success(key)
    assert await pauses() == {}
