"""The pool of SMTP connections: kept while good, closed when worn, idle or broken; and the sink as its own process."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from core.transport.smtp import Envelope, PoolLimits, SmtpAccount, SmtpError, SmtpPool, SmtpSession, Timeouts
from tests.servers.fake_mta import Act, FakeMta, Script

pytestmark = pytest.mark.anyio

CONTENT = b"Message-ID: <1@x.test>\r\n\r\nbody\r\n"
ENVELOPE = Envelope("from@x.test", ("to@x.test",), len(CONTENT))


async def send(session: SmtpSession) -> None:
    assert (await session.begin(ENVELOPE)).is_open
    assert (await session.content(CONTENT)).ok


async def send_through(pool: SmtpPool) -> None:
    async with pool.session() as session:
        await send(session)


async def test_a_good_connection_is_used_again_and_closed_at_the_end() -> None:
    async with FakeMta(Script()) as mta:
        async with SmtpPool(mta.account()) as pool:
            for _ in range(3):
                await send_through(pool)
        assert (mta.connections, mta.messages) == (1, 3)
        assert mta.commands[-1] == "QUIT"


async def test_no_more_connections_than_allowed() -> None:
    async with FakeMta(Script()) as mta, SmtpPool(mta.account(), PoolLimits(connections=2)) as pool:
        await asyncio.gather(*(send_through(pool) for _ in range(10)))
        assert (mta.connections, mta.messages) == (2, 10)


async def test_no_more_messages_per_connection_than_allowed() -> None:
    limits = PoolLimits(connections=1, messages_per_connection=3)
    async with FakeMta(Script()) as mta, SmtpPool(mta.account(), limits) as pool:
        sent = 0
        while sent < 7:
            async with pool.session() as session:
                opened = await session.begin(ENVELOPE)
                while opened.is_open:
                    has_room = session.messages + 1 < limits.messages_per_connection
                    following = ENVELOPE if has_room and sent < 6 else None
                    assert (await session.content(CONTENT, following)).ok
                    sent += 1
                    if following is None:
                        break
                    opened = await session.begun()
        assert (mta.connections, mta.messages) == (3, 7)


async def test_a_broken_connection_is_not_used_again() -> None:
    async with FakeMta(Script(steps={"mail": (Act(drop=True),)})) as mta, SmtpPool(mta.account()) as pool:
        with pytest.raises(SmtpError):
            await send_through(pool)
        await send_through(pool)
        assert (mta.connections, mta.messages) == (2, 1)


async def test_a_connection_left_with_an_open_mail_is_closed() -> None:
    async with FakeMta(Script()) as mta, SmtpPool(mta.account()) as pool:
        async with pool.session() as session:
            await session.begin(ENVELOPE)
        await send_through(pool)
        assert (mta.connections, mta.messages) == (2, 1)


async def test_an_idle_connection_is_closed() -> None:
    async with FakeMta(Script()) as mta, SmtpPool(mta.account(), PoolLimits(idle_s=0.02)) as pool:
        await send_through(pool)
        await asyncio.sleep(0.05)
        assert mta.commands[-1] == "QUIT"
        await send_through(pool)
        assert (mta.connections, mta.messages) == (2, 2)


async def test_a_connection_that_died_while_idle_is_replaced() -> None:
    noop = (None, Act(drop=True))
    async with FakeMta(Script(steps={"noop": noop})) as mta, SmtpPool(mta.account(), PoolLimits(fresh_s=0)) as pool:
        for _ in range(3):
            await send_through(pool)
        assert (mta.connections, mta.messages) == (2, 3)
        assert mta.commands.count("NOOP") == 2


async def test_a_server_that_cannot_be_reached_frees_the_place(free_tcp_port: int) -> None:
    async with SmtpPool(SmtpAccount(host="127.0.0.1", port=free_tcp_port), PoolLimits(connections=1)) as pool:
        for _ in range(3):
            with pytest.raises(SmtpError):
                await send_through(pool)


async def test_a_mute_server_does_not_hold_up_the_end() -> None:
    script = Script(steps={"quit": Act(silent=True)})
    async with FakeMta(script) as mta:
        async with SmtpPool(mta.account(timeouts=Timeouts(quit_s=0.05))) as pool:
            await send_through(pool)
        assert mta.messages == 1


@pytest.mark.parametrize("scripted", [False, True])
async def test_the_fake_server_as_a_process_of_its_own(tmp_path: Path, scripted: bool) -> None:
    """Its ledger is on disk before anyone is told; that is what the tests that kill rely on."""
    ledger, script = tmp_path / "ledger.jsonl", tmp_path / "script.json"
    script.write_text(json.dumps({"steps": {"dot": [{"reply": "451 4.3.0 later"}, None]}}))
    options = ["--ledger", str(ledger), "--events", "--raw", *(["--script", str(script)] if scripted else [])]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.servers.fake_mta", *options, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    port = json.loads(await process.stdout.readline())["port"]
    async with SmtpPool(SmtpAccount(host="127.0.0.1", port=port)) as pool, pool.session() as session:
        await session.begin(ENVELOPE)
        answer = await session.content(CONTENT, ENVELOPE)
        assert answer.ok is not scripted
        await session.begun()
        assert (await session.content(CONTENT)).ok
    process.send_signal(signal.SIGTERM)
    said, _ = await process.communicate()
    events = [json.loads(line) for line in said.splitlines()]
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [line["message_id"] for line in lines] == ["<1@x.test>"] * (1 if scripted else 2)
    assert [event["event"] for event in events[:-1]] == (["dot", "dot", "accepted"] if scripted else ["accepted"] * 2)
    assert events[-1] == {"messages": len(lines), "connections": 1}
    assert process.returncode == 0
