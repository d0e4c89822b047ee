"""F1 to F5: what goes wrong before the first envelope is the server's fault, burns no retry and stops nobody else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from core import clock
from core.runtime import Runtime, get_model
from core.transport.tls import client_context
from tests.faults.conftest import MakeWorkers
from tests.faults.oracle import require
from tests.faults.rig import HASTY, drain, finish, queue, queue_some, sending, until, use
from tests.servers.certificate import make_certificate
from tests.servers.fake_mta import Act, FakeMta, Script

pytestmark = pytest.mark.anyio

MAILS = 6
FAULTS_UNTIL_PAUSE = 5


@contextmanager
def _refusing() -> Iterator[tuple[str, int]]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield "127.0.0.1", bound.getsockname()[1]


@contextmanager
def _hanging() -> Iterator[tuple[str, int]]:
    """A full backlog: the kernel answers no further SYN."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield "127.0.0.1", port
        for one in waiting:
            one.close()


@contextmanager
def _without_dns() -> Iterator[tuple[str, int]]:
    with pytest.MonkeyPatch.context() as patch:

        async def unknown(*_: Any, **__: Any) -> Any:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

        patch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
        yield "mx.b.test", 25


@contextmanager
def _without_route() -> Iterator[tuple[str, int]]:
    yield "255.255.255.255", 25


UNREACHABLE = {"refused": _refusing, "no name": _without_dns, "no route": _without_route, "hangs": _hanging}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("how", UNREACHABLE)
async def test_f01_unreachable(host: Runtime, how: str) -> None:
    messages = await queue_some(MAILS)
    async with FakeMta(Script()) as mta:
        with UNREACHABLE[how]() as (address, port):
            server = await use(mta, server=address, port=port)
            await _try_until_paused()
        pause = await _pause_of(server)
        assert f"{address}:{port}, at connect" in pause.reason
        await _none_is_burnt(messages)
        await get_model("OutgoingMailServer").filter(id=server.pk).update(server="127.0.0.1", port=mta.port)
        await finish(1)
        await require(mta.ledger)


GREETINGS = {
    "421": (Act(reply="421 4.3.2 try later", drop=True), "421 4.3.2 try later"),
    "554": (Act(reply="554 5.7.1 no mail from you", drop=True), "554 5.7.1 no mail from you"),
    "dripped": (Act(raw=b"220 " + b"a" * 2000, drip_s=0.05), "no answer in time"),
    "endless": (Act(raw=b"220-and more\r\n" * 100_000, drip_s=0.01, piece_bytes=1400), ""),
}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("greeting", GREETINGS)
async def test_f02_greeting(host: Runtime, greeting: str) -> None:
    act, words = GREETINGS[greeting]
    async with FakeMta(Script(steps={"connect": act})) as sick, FakeMta(Script()) as well:
        server = await use(sick, from_domains=["acme.test"])
        await use(well, from_domains=["well.test"])
        messages = await queue_some(MAILS)
        async with sending():
            started_at = monotonic()
            for number in range(5):
                await queue(f"other{number}@b.test", from_email="office@well.test")
            await until(lambda: len(well.ledger) == 5, "the mail of the server that is well")
            assert monotonic() - started_at < 15
            await until(lambda: _is_paused(server), "the pause", 20)
        pause = await _pause_of(server)
        assert words in pause.reason
        await _none_is_burnt(messages)
        sick.script = Script()
        await finish(1)
        await require([*sick.ledger, *well.ledger])


@pytest.mark.usefixtures("hasty")
async def test_f02_a_dripped_greeting_ends_at_its_deadline(host: Runtime) -> None:
    """Bytes that keep coming do not move it: connect and greeting together take at most their two limits."""
    async with FakeMta(Script(steps={"connect": GREETINGS["dripped"][0]})) as mta:
        await use(mta)
        await queue()
        started_at = monotonic()
        await drain()
        assert monotonic() - started_at < FAULTS_UNTIL_PAUSE * (HASTY.connect_s + HASTY.greeting_s)


async def test_f03_ehlo_unknown_falls_back_to_helo(host: Runtime) -> None:
    async with FakeMta(Script(steps={"ehlo": Act(reply="502 5.5.1 what?")})) as mta:
        await use(mta)
        await queue_some(3)
        await drain()
        assert any(command.startswith("HELO") for command in mta.commands)
        await require(mta.ledger)


async def test_f03_ehlo_421(host: Runtime) -> None:
    async with FakeMta(Script(steps={"ehlo": Act(reply="421 4.3.2 restarting", drop=True)})) as mta:
        server = await use(mta)
        messages = await queue_some(MAILS)
        await _try_until_paused()
        assert "421 4.3.2 restarting" in (await _pause_of(server)).reason
        await _none_is_burnt(messages)
        mta.script = Script()
        await finish(1)
        await require(mta.ledger)


LOGIN = {"username": "office", "password": "correct horse", "tls": "starttls"}
TLS_FAULTS = {
    "missing": ({}, "does not offer STARTTLS"),
    "454": ({"steps": {"starttls": Act(reply="454 4.7.0 TLS not available")}}, "454 4.7.0 TLS not available"),
    "bad certificate": ({}, "certificate was not accepted"),
    "injected": ({"injected": b"250 2.0.0 logged in\r\n"}, "slipped in"),
}


@pytest.mark.parametrize("fault", TLS_FAULTS)
async def test_f04_starttls(host: Runtime, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, words = TLS_FAULTS[fault]
    certificate = make_certificate(tmp_path) if fault != "missing" else None
    if fault == "injected":
        # Trusted, so that nothing but the injected bytes can be wrong.
        monkeypatch.setattr("core.transport.smtp_open.client_context", lambda *_: _trusting(certificate))
    async with FakeMta(Script(certificate=certificate, logins={"office": "correct horse"}, **options)) as mta:
        server = await use(mta, **LOGIN)
        messages = await queue_some(MAILS)
        await _try_until_paused()
        pause = await _pause_of(server)
        assert words in pause.reason
        assert not [command for command in mta.commands if command.startswith(("AUTH", "MAIL"))]
        await _none_is_burnt(messages)
        await require(mta.ledger, states={"queued": MAILS})


def _trusting(certificate: Any) -> Any:
    return client_context(True, certificate.certificate_file)


AUTH_REFUSALS = {"454": "454 4.7.0 temporary authentication failure", "535": "535 5.7.8 wrong user or password"}


@pytest.mark.parametrize("code", AUTH_REFUSALS)
async def test_f05_auth(host: Runtime, code: str, workers: MakeWorkers) -> None:
    refusal = Act(reply=AUTH_REFUSALS[code])
    async with FakeMta(Script(logins={"office": "correct horse"}, steps={"auth": refusal})) as mta:
        server = await use(mta, username="office", password="correct horse")
        messages = await queue_some(MAILS)
        await _try_until_paused()
        pause = await _pause_of(server)
        assert AUTH_REFUSALS[code] in pause.reason
        assert "correct horse" not in pause.reason
        await _none_is_burnt(messages)
        if code == "535":
            told = await asyncio.to_thread(workers(mta).site.call, "doctor", code=1)
            assert AUTH_REFUSALS[code] in told
            assert "postroom server test fake" in told
        mta.script = Script(logins={"office": "correct horse"})
        await finish(1)
        await require(mta.ledger)


async def _try_until_paused() -> None:
    """Mail that its server failed under steps aside; each round of time brings it back."""
    for _ in range(FAULTS_UNTIL_PAUSE + 1):
        await drain()
        if await get_model("ServerPause").exists(until_at__gt=clock.now()):
            return
        await get_model("Delivery").filter(state="queued").update(due_at=clock.now())
    raise AssertionError("the server was never paused")


async def _is_paused(server: Any) -> bool:
    await get_model("Delivery").filter(state="queued").update(due_at=clock.now())
    return await get_model("ServerPause").exists(server=str(server.pk), until_at__gt=clock.now())


async def _pause_of(server: Any) -> Any:
    pause = await get_model("ServerPause").get(server=str(server.pk))
    assert pause.failures >= FAULTS_UNTIL_PAUSE
    assert pause.until_at > clock.now()
    return pause


async def _none_is_burnt(messages: list[Any]) -> None:
    for message in messages:
        await message.refresh_from_db()
        assert (message.send_state, message.retry_count) == ("Queued", 0), message.error
    ids = [message.pk for message in messages]
    attempts = get_model("Attempt").filter(delivery__message_id__in=ids)
    assert set(await attempts.values_list("outcome", flat=True)) <= {"server"}
