"""One bad row, one bad server record, one slow addon or one stalled connection stops nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from core import clock
from core.delivery import engine
from core.delivery.engine import Engine
from core.delivery.job import Claimed
from core.delivery.ledger import Ledger
from core.delivery.results import Result
from core.delivery.servers import load_servers
from core.delivery.share import Share
from core.errors import UserError
from core.hookspecs import hookimpl
from core.mail.retry import Outcome
from core.mail.values import Mailbox
from core.orm.transaction import transaction
from core.runtime import Runtime, get_model
from tests.servers.fake_mta import Act, FakeMta, Script

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> dict[str, object]:
    return {"MAIL_MODE": "live", "SMTP_CONCURRENCY": 4, "MAIL_DOMAIN": "acme.test", "CRON_POLL_SECONDS": 0.2}


async def _server(mta: FakeMta | None, **values: Any) -> Any:
    account = {"name": "fake", "server": "127.0.0.1", "port": mta.port if mta else 1, "use_ssl": False}
    return await get_model("OutgoingMailServer").create(**{**account, **values})


async def _queue(to: str, **options: Any) -> Any:
    keywords = {"subject": "Invoice", "from_email": "office@acme.test", **options}
    return await get_model("Message").queue_email(None, [to], keywords.pop("subject"), "<p>Hello</p>", **keywords)


def _hook(host: Runtime, **functions: Callable[..., Awaitable[Any]]) -> None:
    module = ModuleType("an_addon")
    for name, function in functions.items():
        setattr(module, name, hookimpl(function))
    assert host.hooks.register("an_addon", module) is None


@asynccontextmanager
async def _running() -> AsyncIterator[asyncio.Task[None]]:
    """A worker's engine, which must still run at the end of the block and stop when told to."""
    stop = asyncio.Event()
    async with Engine() as engine:
        running = asyncio.create_task(engine.run(stop))
        yield running
        assert not running.done()
        stop.set()
        async with asyncio.timeout(10):
            await running


async def _arrive(mta: FakeMta, *recipients: str) -> None:
    async with asyncio.timeout(8):
        while not {one.recipient for one in mta.ledger}.issuperset(recipients):
            await asyncio.sleep(0.02)


async def test_a_broken_sender_fails_alone(host: Runtime) -> None:
    async with FakeMta(Script()) as mta:
        await _server(mta)
        bad = await _queue("bad@b.test")
        await get_model("Message").filter(id=bad.pk).update(email_from="no address")
        await _queue("good@b.test")
        async with _running():
            await _arrive(mta, "good@b.test")
        await bad.refresh_from_db()
        assert bad.send_state == "Failed"
        assert "no usable sender" in bad.error


async def test_a_server_record_that_cannot_be_used_is_left_out(host: Runtime) -> None:
    async with FakeMta(Script()) as mta:
        broken = await _server(None, name="broken", priority=1)
        await get_model("OutgoingMailServer").filter(id=broken.pk).update(server="mail host")
        await _server(mta)
        await _queue("good@b.test")
        async with _running():
            await _arrive(mta, "good@b.test")


async def test_a_message_deleted_on_its_way_takes_nobody_along(host: Runtime) -> None:
    async with FakeMta(Script(steps={"dot": (Act(delay_s=0.5), None)})) as mta:
        await _server(mta)
        doomed = await _queue("doomed@b.test")
        async with _running():
            async with asyncio.timeout(5):
                while not await get_model("Delivery").exists(state="sending"):
                    await asyncio.sleep(0.02)
            await doomed.delete()
            await _queue("good@b.test")
            await _arrive(mta, "good@b.test")


async def test_words_that_no_database_holds_are_made_storable(host: Runtime) -> None:
    async def refuse(email: Any, message: Any) -> None:
        if message["subject"] == "bad":
            raise ValueError("NUL \0 and surrogate \udcff")

    _hook(host, filter_outgoing_email=refuse)
    async with FakeMta(Script()) as mta:
        await _server(mta)
        await _queue("bad@b.test", subject="bad")
        await _queue("good@b.test")
        async with _running():
            await _arrive(mta, "good@b.test")


async def test_an_addon_may_not_write_as_another_domain(host: Runtime) -> None:
    async def foreign(email: Any, message: Any) -> Any:
        return email._replace(sender=Mailbox("", "office@elsewhere.test"))

    _hook(host, filter_outgoing_email=foreign)
    async with FakeMta(Script()) as mta:
        await _server(mta)
        message = await _queue("a@b.test")
        async with Engine() as engine:
            await engine.drain()
    await message.refresh_from_db()
    assert mta.ledger == []
    assert "server and signature were chosen" in message.error


@pytest.mark.parametrize("misbehaviour", ["hangs", "cancels", "raises"])
async def test_an_addon_that_is_told_stops_no_lane(host: Runtime, misbehaviour: str) -> None:
    async def told(message: Any) -> None:
        if message.subject != "bad":
            return
        if misbehaviour == "hangs":
            await asyncio.sleep(2)
        raise asyncio.CancelledError if misbehaviour == "cancels" else RuntimeError

    _hook(host, message_sent=told)
    async with FakeMta(Script()) as mta:
        await _server(mta)
        await _queue("bad@b.test", subject="bad")
        async with _running():
            await _arrive(mta, "bad@b.test")
            await _queue("good@b.test")
            await _arrive(mta, "good@b.test")


async def test_a_server_that_hangs_stops_no_other(host: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """F2"""
    monkeypatch.setattr(engine, "_GRACE_S", 0.5)
    async with FakeMta(Script()) as mta, FakeMta(Script(steps={"connect": Act(silent=True)})) as dead:
        await _server(mta, from_domains=["acme.test"])
        await _server(dead, name="dead", from_domains=["dead.test"])
        await _queue("stuck@b.test", from_email="x@dead.test")
        await _queue("first@b.test")
        stop = asyncio.Event()
        async with Engine() as worker:
            running = asyncio.create_task(worker.run(stop))
            await _arrive(mta, "first@b.test")
            await _queue("second@b.test")
            await _arrive(mta, "second@b.test")
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        states = await get_model("Delivery").all().values_list("state", flat=True)
        assert "sending" not in states
        assert "claimed" not in states


async def test_mail_for_a_server_that_hangs_does_not_use_up_the_engine(
    host: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F2, whatever that server's concurrency is."""
    monkeypatch.setattr(engine, "_STALLED_S", 0.05)
    monkeypatch.setattr(engine, "_GRACE_S", 0.5)
    async with FakeMta(Script()) as mta, FakeMta(Script(steps={"connect": Act(silent=True)})) as dead:
        await _server(mta, from_domains=["acme.test"])
        await _server(dead, name="dead", from_domains=["dead.test"], concurrency=100)
        stop = asyncio.Event()
        async with Engine() as worker:
            running = asyncio.create_task(worker.run(stop))
            for number in range(engine._FLUSHES_AT_ONCE + 1):
                await _queue(f"stuck{number}@b.test", from_email="x@dead.test")
                await asyncio.sleep(0.05)
            for _ in range(20):
                await asyncio.sleep(0.05)
            await _queue("good@b.test")
            await _arrive(mta, "good@b.test")
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_slow_answer_to_one_mail_stops_no_other(host: Runtime) -> None:
    """F18"""
    async with FakeMta(Script(steps={"dot": (Act(delay_s=3),)})) as mta:
        await _server(mta)
        await _queue("slow@b.test")
        async with _running():
            await _arrive(mta, "slow@b.test")
            await _queue("quick@b.test")
            await _arrive(mta, "quick@b.test")


async def test_a_server_that_takes_its_time_slows_no_other_down(host: Runtime) -> None:
    """It answers each mail, if only after a while: nothing is at fault, and there is no reason to wait for it."""
    async with FakeMta(Script()) as quick, FakeMta(Script(steps={"dot": Act(delay_s=0.4)})) as slow:
        await _server(quick, from_domains=["acme.test"])
        await _server(slow, name="slow", from_domains=["slow.test"])
        for number in range(100):
            await _queue(f"{number}@b.test", from_email="x@slow.test")
            await _queue(f"{number}@b.test")
        async with _running():
            await _arrive(quick, *(f"{number}@b.test" for number in range(100)))
            assert len(slow.ledger) < 60


async def test_mail_that_trickles_in_shares_claims(host: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a server that is far away a claim for each mail would be as many at once as mails are on their way."""
    monkeypatch.setattr(engine, "_STALLED_S", 10)
    under_way, most = 0, 0
    flush = Engine.flush

    async def counted(self: Engine, **options: Any) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return await flush(self, **options)
        finally:
            under_way -= 1

    monkeypatch.setattr(Engine, "flush", counted)
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.5)})) as mta:
        await _server(mta, concurrency=16)
        names = [f"{number}@b.test" for number in range(12)]
        async with _running():
            for name in names:
                await _queue(name)
                await asyncio.sleep(0.03)
            await _arrive(mta, *names)
    assert 1 < most <= 4


async def test_urgent_mail_passes_what_a_slow_server_has_waiting(host: Runtime) -> None:
    async with FakeMta(Script()) as quick, FakeMta(Script(steps={"dot": Act(delay_s=0.4)})) as slow:
        await _server(quick, from_domains=["acme.test"])
        await _server(slow, name="slow", from_domains=["slow.test"])
        for number in range(100):
            await _queue(f"{number}@b.test", from_email="x@slow.test", priority="low")
            await _queue(f"{number}@b.test")
        async with _running():
            await _arrive(slow, "0@b.test")
            await _queue("urgent@b.test", from_email="x@slow.test", priority="high")
            await _arrive(slow, "urgent@b.test")
            assert len(slow.ledger) < 60


async def test_what_a_slow_server_gives_back_is_taken_up_again_at_once(
    host: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_LONGEST_HELD_S", 0.5)
    monkeypatch.setattr(engine, "_STALLED_S", 0.1)
    seldom = host.settings.model_copy(update={"CRON_POLL_SECONDS": 30})
    monkeypatch.setattr(engine, "settings", lambda: seldom)
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.2)})) as mta:
        await _server(mta, concurrency=1)
        names = [f"{number}@b.test" for number in range(8)]
        for name in names:
            await _queue(name)
        async with _running():
            await _arrive(mta, *names)


async def test_a_fault_of_ours_ends_the_worker_whichever_flush_it_befell(
    host: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Share, "_worked", fail)
    async with FakeMta(Script()) as mta:
        await _server(mta)
        await _queue("kim@b.test")
        async with Engine() as worker, asyncio.timeout(10):
            with pytest.raises(ExceptionGroup, match="works side by side"):
                await worker.run(asyncio.Event())


async def test_a_slow_drain_counts_each_delivery_once(host: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_LONGEST_HELD_S", 0.1)
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.1)})) as mta:
        await _server(mta, concurrency=1)
        for number in range(6):
            await _queue(f"{number}@b.test")
        async with Engine() as worker:
            assert await worker.drain() == 6


async def test_a_mail_never_goes_without_its_attachment(host: Runtime) -> None:
    """F37, C3"""
    file = await get_model("Attachment").create(name="a.txt", content=b"x", size_bytes=1, sha256="0" * 64)
    async with FakeMta(Script()) as mta:
        await _server(mta)
        message = await _queue("kim@b.test", attachments=[file])
        await file.delete()
        async with Engine() as engine:
            await engine.drain()
        await message.refresh_from_db()
        assert not mta.ledger
        assert "not all of them are there" in message.error


async def test_a_stale_copy_does_not_undo_what_was_sent(host: Runtime) -> None:
    async with FakeMta(Script()) as mta:
        await _server(mta)
        message = await _queue("kim@b.test")
        async with Engine() as engine:
            await engine.drain()
        message.priority = 1
        await message.save()
        await message.refresh_from_db()
        assert (message.send_state, message.priority) == ("Sent", 1)
        with pytest.raises(UserError, match="already"):
            await _queue("kim@b.test", message=message)


async def test_sending_inside_a_transaction_is_refused(host: Runtime) -> None:
    message = await _queue("kim@b.test")
    async with transaction():
        with pytest.raises(RuntimeError, match="inside a transaction"):
            await message.send_now()


async def test_a_clock_ahead_of_the_databases_delays_nothing(host: Runtime) -> None:
    """F34"""
    async with FakeMta(Script()) as mta:
        await _server(mta)
        with clock.clock_at(clock.now() + timedelta(minutes=10)):
            await _queue("kim@b.test")
        async with Engine() as engine:
            await engine.drain()
        assert len(mta.ledger) == 1


async def test_a_corrected_server_is_tried_at_once(host: Runtime) -> None:
    server = await _server(None)
    await get_model("ServerPause").create(
        server=str(server.pk), until_at=clock.now() + timedelta(minutes=5), failures=5, reason="refused"
    )
    await _queue("kim@b.test")
    async with FakeMta(Script()) as mta:
        server.port = mta.port
        await server.save()
        async with Engine() as engine:
            await engine.drain()
        assert len(mta.ledger) == 1


async def test_closing_does_not_wait_for_ever_for_a_database(host: Runtime) -> None:
    """A worker that is stopped while the database is away ends; what it knew is found in doubt later."""
    ledger = Ledger("worker")
    result = Result(Claimed(1, 1, "kim@b.test", 0), "token", Outcome.SENT, "content")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host.database, "batch", _away)
        ledger.record([result])
        async with asyncio.timeout(5):
            await ledger.aclose(grace_s=0.1)


async def _away(statements: object) -> None:
    raise OSError("connection lost")


async def test_send_email_queues_or_sends_at_once(host: Runtime) -> None:
    """reference/000: a Contact as author; without any server sending at once is a UserError, and nothing waits."""
    contact = await get_model("Contact").create(name="Office", email="office@acme.test")
    servers = get_model("OutgoingMailServer")
    with pytest.raises(UserError, match="SMTP_SERVER"):
        await servers.send_email(contact, ["kim@b.test"], "Hi", "<p>Hi</p>", send_immediately=True)
    assert not await get_model("Message").exists()
    async with FakeMta(Script()) as mta:
        await _server(mta)
        queued = await servers.send_email(
            author=contact, contact_emails=["later@b.test"], subject="Hi", body="<p>Hi</p>"
        )
        assert (queued.send_state, queued.email_from) == ("Queued", '"Office" <office@acme.test>')
        sent = await servers.send_email(
            contact, ["now@b.test"], "Hi", "<p>Hi</p>", send_immediately=True, cc=["copy@b.test"], text="Hi there"
        )
        assert sent.send_state == "Sent"
        assert sorted(one.recipient for one in mta.ledger) == ["copy@b.test", "now@b.test"]
        assert b"Hi there" in mta.ledger[0].raw


async def test_a_contact_sends_as_the_user_that_it_is(host: Runtime) -> None:
    """reference/000: the author's signature and own server, where send_email is given the sender's Contact."""
    contact = await get_model("Contact").create(name="Kim", email="kim@acme.test")
    user = await get_model("User").create(login="kim", name="Kim", contact=contact, signature="<p>Kim, sales</p>")
    await get_model("User").create(login="former", name="Former", contact=contact, active=False)
    stranger = await get_model("Contact").create(name="Lee", email="lee@else.test")
    async with FakeMta(Script()) as mta:
        await _server(mta)
        own = await _server(mta, name="own", user=user)
        for author, who, is_kim in ((contact, (user.pk, None), True), (stranger, (None, stranger.pk), False)):
            sent = await get_model("OutgoingMailServer").send_email(author, ["bo@b.test"], "Hi", "<p>Hi</p>")
            assert (sent.author_id, sent.author_contact_id) == who
            chosen = (await load_servers()).for_message(sent)
            assert chosen is not None
            assert (chosen.key == str(own.pk)) is is_kim
            assert (b"Kim, sales" in await sent.eml()) is is_kim


@pytest.mark.parametrize("model", ["IncomingMailServer", "OutgoingMailServer"])
async def test_a_server_needs_no_name_of_its_own(host: Runtime, model: str) -> None:
    """reference/000: both hold server, port, use_ssl, username, password."""
    account = {"server": "mail.acme.test", "port": 993, "use_ssl": True, "username": "kim", "password": "secret"}
    made = await get_model(model).create(**account)
    assert (made.name, made.display_name) == ("mail.acme.test", "mail.acme.test")
