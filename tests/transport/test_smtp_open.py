"""Opening an SMTP connection: rows 1 to 5 of the fault matrix, and what must never be said without TLS."""

from __future__ import annotations

import asyncio
import re
import socket
import traceback
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from core.mail.retry import Outcome, Phase, classify
from core.transport.smtp import Envelope, SmtpAccount, SmtpError, Timeouts, Tls, open_session, test_connection
from tests.servers.certificate import Certificate, make_certificate
from tests.servers.fake_mta import EXTENSIONS, Act, FakeMta, Script

pytestmark = pytest.mark.anyio

HASTY = Timeouts(connect_s=0.3, greeting_s=0.3, tls_s=0.3, command_s=0.3, quit_s=0.1)
LOGIN = {"username": "anna", "password": "s3cret-pass"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


async def fault_of(account: SmtpAccount) -> SmtpError:
    """Return the error of opening; every one of them blames the server or its settings, never a message."""
    with pytest.raises(SmtpError) as caught:
        await open_session(account)
    error = caught.value
    assert classify(error.phase, error.reply_code, error.enhanced) is Outcome.SERVER
    assert error.host == str(account)
    return error


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that a further one hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address):
            yield address[1]


# Connecting and the greeting.


async def test_a_refused_connection(free_tcp_port: int) -> None:
    error = await fault_of(SmtpAccount(host="127.0.0.1", port=free_tcp_port))
    assert error.phase is Phase.CONNECT
    assert "refused" in str(error)


async def test_a_connection_that_hangs() -> None:
    with deaf_port() as port:
        error = await fault_of(SmtpAccount(host="127.0.0.1", port=port, timeouts=HASTY))
    assert error.phase is Phase.CONNECT
    assert "no answer in time" in str(error)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 300 + ".test", "x..test"])
async def test_a_name_that_does_not_resolve(host: str) -> None:
    assert (await fault_of(SmtpAccount(host=host, timeouts=HASTY))).phase is Phase.CONNECT


async def test_the_hosts_next_address_is_tried() -> None:
    """`localhost` may well be ::1 first, where nobody listens."""
    async with FakeMta() as mta:
        session = await open_session(mta.account(host="localhost", timeouts=HASTY))
        await session.quit()


@pytest.mark.parametrize(
    ("act", "reply_code", "words"),
    [
        (Act(reply="421 4.3.2 busy"), 421, "busy"),
        (Act(reply="554 5.7.1 go away"), 554, "go away"),
        (Act(drop=True), None, ""),
        (Act(silent=True), None, "in time|Timed out"),
        (Act(drip_s=0.02), None, "in time|Timed out"),
        (Act(raw=b"220-more\r\n" * 20_000), None, "protocol"),
        (Act(raw=b"SSH-2.0-OpenSSH\r\n"), None, "protocol"),
        (Act(raw=b"999 what\r\n"), None, "protocol"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, Act) else None,
)
async def test_a_bad_greeting_within_its_total_deadline(act: Act, reply_code: int | None, words: str) -> None:
    async with FakeMta(Script(steps={"connect": act})) as mta:
        started = asyncio.get_running_loop().time()
        error = await fault_of(mta.account(timeouts=HASTY))
        assert asyncio.get_running_loop().time() - started < 2
        assert (error.phase, error.reply_code) == (Phase.GREETING, reply_code)
        assert re.search(words, str(error))


async def test_ehlo_refused_then_helo() -> None:
    async with FakeMta(Script(steps={"ehlo": Act(reply="502 5.5.1 what?")})) as mta:
        session = await open_session(mta.account())
        assert not session.features.pipelining
        assert (await session.begin(Envelope("a@x.test", ("b@x.test",), 3))).is_open
        assert (await session.content(b"a: b\r\n")).ok
        await session.quit()
        assert mta.commands[2] == "MAIL FROM:<a@x.test>"


@pytest.mark.parametrize("act", [Act(reply="421 4.3.2 busy"), Act(drop=True), Act(silent=True), Act(raw=b"no\r\n")])
async def test_ehlo_fails(act: Act) -> None:
    async with FakeMta(Script(steps={"ehlo": act})) as mta:
        error = await fault_of(mta.account(timeouts=HASTY))
        assert error.phase is Phase.EHLO
        assert error.reply_code == (421 if act.reply else None)


# TLS.


@pytest.mark.parametrize("tls", [Tls.AUTO, Tls.STARTTLS])
async def test_starttls_then_a_login(certificate: Certificate, tls: Tls) -> None:
    async with FakeMta(Script(certificate=certificate, logins={"anna": "s3cret-pass"})) as mta:
        session = await open_session(mta.account(tls=tls, **LOGIN))
        assert session.tls.startswith("TLSv1.3 TLS_")
        assert (await session.begin(Envelope("a@x.test", ("b@x.test",), 3))).is_open
        answer = await session.content(b"a: b\r\n", Envelope("a@x.test", ("c@x.test",), 3))
        assert answer.ok
        assert (await session.begun()).is_open
        assert (await session.content(b"c: d\r\n" * 100_000)).ok
        await session.quit()
    assert [command.split(" ")[0] for command in mta.commands[:4]] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]
    assert mta.messages == 2


async def test_implicit_tls(certificate: Certificate) -> None:
    async with FakeMta(Script(certificate=certificate, is_implicit_tls=True, logins={"anna": "s3cret-pass"})) as mta:
        session = await open_session(mta.account(tls=Tls.IMPLICIT, **LOGIN))
        assert session.tls.startswith("TLSv1.3")
        await session.quit()


def test_auto_is_implicit_on_its_port() -> None:
    assert SmtpAccount(host="x.test", port=465).is_implicit_tls
    assert not SmtpAccount(host="x.test", port=587).is_implicit_tls
    assert not SmtpAccount(host="x.test", port=465, tls=Tls.STARTTLS).is_implicit_tls


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.IMPLICIT])
@pytest.mark.parametrize("flaw", ["unknown", "other host", "expired"])
async def test_a_certificate_that_does_not_verify(tmp_path: Path, tls: Tls, flaw: str) -> None:
    names = ("elsewhere.test",) if flaw == "other host" else ("127.0.0.1",)
    made = make_certificate(tmp_path, names, datetime.now(UTC) - timedelta(hours=1) if flaw == "expired" else None)
    script = Script(certificate=made, is_implicit_tls=tls is Tls.IMPLICIT, logins={"anna": "s3cret-pass"})
    trust: dict[str, Any] = {"ca_file": None} if flaw == "unknown" else {}
    async with FakeMta(script) as mta:
        error = await fault_of(mta.account(tls=tls, **LOGIN, **trust))
        assert (error.phase, error.reply_code) == (Phase.TLS, None)
        assert "certificate was not accepted" in str(error)
        assert not any(command.startswith("AUTH") for command in mta.commands)
        session = await open_session(mta.account(tls=tls, verify=False, **LOGIN, **trust))
        assert session.tls
        await session.quit()


@pytest.mark.parametrize("tls", [Tls.AUTO, Tls.STARTTLS])
async def test_no_login_where_starttls_is_not_offered(tls: Tls) -> None:
    """A man in the middle who strips the offer gets no password (RFC 3207 section 6)."""
    async with FakeMta(Script(logins={"anna": "s3cret-pass"})) as mta:
        error = await fault_of(mta.account(tls=tls, **LOGIN))
        assert error.phase is Phase.TLS
        assert "does not offer STARTTLS" in str(error)
        await asyncio.sleep(0.01)
        assert [command.split(" ")[0] for command in mta.commands] == ["EHLO"]


@pytest.mark.parametrize("act", [Act(reply="454 4.7.0 not now"), Act(reply="220 go", drop=True), Act(silent=True)])
async def test_starttls_fails(certificate: Certificate, act: Act) -> None:
    async with FakeMta(Script(certificate=certificate, steps={"starttls": act})) as mta:
        error = await fault_of(mta.account(tls=Tls.STARTTLS, timeouts=HASTY))
        assert error.phase is Phase.TLS
        assert error.reply_code == (454 if act.reply.startswith("454") else None)


@pytest.mark.parametrize("injected", [b"250 AUTH PLAIN\r\n", b"x", b"235 welcome\r\n250 ok\r\n"])
async def test_bytes_before_the_handshake_end_it(certificate: Certificate, injected: bytes) -> None:
    script = Script(certificate=certificate, injected=injected, logins={"anna": "s3cret-pass"})
    async with FakeMta(script) as mta:
        error = await fault_of(mta.account(tls=Tls.STARTTLS, **LOGIN))
        assert error.phase is Phase.TLS
        assert "slipped in" in str(error)
        assert [command.split(" ")[0] for command in mta.commands] == ["EHLO", "STARTTLS"]


async def test_a_server_that_speaks_plain_on_the_tls_port() -> None:
    async with FakeMta() as mta:
        error = await fault_of(mta.account(tls=Tls.IMPLICIT, timeouts=HASTY))
        assert error.phase is Phase.TLS
        assert "handshake failed" in str(error)


async def test_a_ca_file_that_is_not_there(certificate: Certificate, tmp_path: Path) -> None:
    async with FakeMta(Script(certificate=certificate)) as mta:
        error = await fault_of(mta.account(tls=Tls.STARTTLS, ca_file=tmp_path / "missing.pem"))
        assert error.phase is Phase.TLS
        assert "missing.pem" in str(error)


async def test_without_a_login_loopback_is_not_encrypted_by_auto(certificate: Certificate) -> None:
    async with FakeMta(Script(certificate=certificate)) as mta:
        session = await open_session(mta.account(ca_file=None))
        assert session.tls == ""
        await session.quit()


# AUTH.


@pytest.mark.parametrize("methods", [("PLAIN", "LOGIN"), ("LOGIN",)])
async def test_a_plain_login_only_where_the_account_and_loopback_say_so(methods: tuple[str, ...]) -> None:
    async with FakeMta(Script(logins={"anna": "s3cret-pass"}, auth_methods=methods)) as mta:
        session = await open_session(mta.account(tls=Tls.NONE, **LOGIN))
        await session.quit()
        assert mta.commands[1].startswith(f"AUTH {methods[0]}")


@pytest.mark.parametrize("reply", ["454 4.7.0 later", "535 5.7.8 wrong", "534 5.7.9 stronger", "421 4.3.2 busy"])
async def test_a_refused_login_is_tried_once(reply: str) -> None:
    script = Script(logins={"anna": "s3cret-pass"}, steps={"auth": Act(reply=reply)})
    async with FakeMta(script) as mta:
        error = await fault_of(mta.account(tls=Tls.NONE, **LOGIN))
        assert (error.phase, error.reply_code, error.enhanced) == (Phase.AUTH, int(reply[:3]), reply[4:9])
        assert sum(command.startswith("AUTH") for command in mta.commands) == 1


@pytest.mark.parametrize("echoed", ["s3cret-pass", b64encode(b"\0anna\0s3cret-pass").decode()])
async def test_the_password_is_in_no_error(echoed: str) -> None:
    script = Script(logins={"anna": "s3cret-pass"}, steps={"auth": Act(reply=f"535 5.7.8 wrong: {echoed}")})
    async with FakeMta(script) as mta:
        account = mta.account(tls=Tls.NONE, **LOGIN)
        error = await fault_of(account)
        told = "".join(traceback.format_exception(error)) + repr(account) + str(account) + repr(vars(error))
        assert echoed not in told
        assert "s3cret" not in told


@pytest.mark.parametrize("methods", [("GSSAPI",), ()])
async def test_no_common_login_method(methods: tuple[str, ...]) -> None:
    async with FakeMta(Script(logins={"anna": "s3cret-pass"}, auth_methods=methods)) as mta:
        error = await fault_of(mta.account(tls=Tls.NONE, **LOGIN))
        assert error.phase is Phase.AUTH
        assert "no login method" in str(error)


@pytest.mark.parametrize("act", [Act(drop=True), Act(silent=True), Act(raw=b"\0\0\r\n")])
async def test_a_login_without_an_answer(act: Act) -> None:
    async with FakeMta(Script(logins={"anna": "s3cret-pass"}, steps={"auth": act})) as mta:
        assert (await fault_of(mta.account(tls=Tls.NONE, timeouts=HASTY, **LOGIN))).phase is Phase.AUTH


# Settings, and cancellation.


@pytest.mark.parametrize(
    "settings",
    [
        {"host": ""},
        {"host": "x.test\r\nEHLO y"},
        {"host": "x.test", "port": 0},
        {"host": "x.test", "local_hostname": "me\r\nMAIL FROM:<>"},
        {"host": "x.test", "local_hostname": "me you"},
        {"host": "x.test", "username": "a\r\nb"},
        {"host": "x.test", "password": "a\0b"},
    ],
)
def test_settings_that_could_speak_smtp_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        SmtpAccount(**settings)


async def test_cancelling_leaves_no_connection() -> None:
    async with FakeMta(Script(steps={"ehlo": Act(silent=True)})) as mta:
        task = asyncio.create_task(open_session(mta.account()))
        await asyncio.sleep(0.03)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# The connection test.


async def test_the_connection_test_tells_each_step(certificate: Certificate) -> None:
    script = Script(certificate=certificate, logins={"anna": "s3cret-pass"})
    async with FakeMta(script) as mta:
        steps = await test_connection(mta.account(tls=Tls.STARTTLS, **LOGIN), Envelope("a@x.test", ("b@x.test",), 1000))
    names = ["DNS", "TCP", "greeting", "EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL, RCPT"]
    assert [(step.name, step.ok) for step in steps] == [(name, True) for name in names]
    told = {step.name: step.detail for step in steps}
    assert "certificate of localhost, by localhost, valid until" in told["STARTTLS"]
    assert "TLSv1.3" in told["STARTTLS"]
    assert set(EXTENSIONS) <= set(told["EHLO"].split("; "))
    assert told["AUTH"] == "PLAIN as anna"
    assert mta.messages == 0
    assert not any(command == "DATA" for command in mta.commands)


@pytest.mark.parametrize(
    ("script", "failed"),
    [
        (Script(steps={"connect": Act(reply="554 no")}), "greeting"),
        (Script(steps={"ehlo": Act(drop=True)}), "EHLO"),
        (Script(steps={"mail": Act(reply="550 no")}), "MAIL, RCPT"),
        (Script(steps={"rcpt": Act(reply="550 \x1b[31m<script>")}), "MAIL, RCPT"),
        (Script(steps={"rcpt": Act(drop=True)}), "MAIL, RCPT"),
        (Script(extensions=("SIZE 10",)), "MAIL, RCPT"),
    ],
)
async def test_the_connection_test_never_raises(script: Script, failed: str) -> None:
    async with FakeMta(script) as mta:
        steps = await test_connection(mta.account(timeouts=HASTY), Envelope("a@x.test", ("b@x.test",), 1000))
    assert [step.name for step in steps if not step.ok] == [failed]
    assert steps[-1].name == failed
    assert steps[-1].detail.isprintable()


@pytest.mark.parametrize(
    ("script", "settings", "name", "hint"),
    [
        (Script(steps={"connect": Act(reply="554 5.7.1 go away")}), {}, "greeting", "block list"),
        (Script(steps={"connect": Act(raw=b"SSH-2.0\r\n")}), {}, "greeting", "port 465"),
        (Script(), {"tls": Tls.STARTTLS}, "TLS", "465"),
        (Script(), {**LOGIN}, "TLS", "no password is sent"),
        (Script(), {**LOGIN, "tls": Tls.NONE}, "AUTH", "another way to log in"),
        (Script(logins={"anna": "other"}), {**LOGIN, "tls": Tls.NONE}, "AUTH", "app password"),
        (Script(steps={"mail": Act(reply="550 5.7.1 not you")}), {}, "MAIL, RCPT", "as this sender"),
        (Script(steps={"rcpt": Act(reply="554 5.7.1 relay denied")}), {}, "MAIL, RCPT", "ask for a login"),
    ],
)
async def test_a_failed_test_says_what_to_do(script: Script, settings: dict[str, Any], name: str, hint: str) -> None:
    async with FakeMta(script) as mta:
        steps = await test_connection(mta.account(**settings), Envelope("a@x.test", ("b@x.test",), 10))
    assert (steps[-1].name, steps[-1].ok) == (name, False)
    assert hint in steps[-1].hint
    assert all(step.ok and not step.hint for step in steps[:-1])


async def test_a_failed_test_of_addresses_says_what_to_do(free_tcp_port: int) -> None:
    for host, port, hint in (("127.0.0.1", free_tcp_port, "port"), ("nowhere.invalid", 25, "spelt")):
        steps = await test_connection(SmtpAccount(host=host, port=port, timeouts=HASTY))
        assert hint in steps[-1].hint
