"""F26 and F27: what runs beside the sending, reports and addons, dies, hangs or raises."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from core.delivery import outgoing
from core.errors import RenderError
from core.runtime import Runtime, get_model
from tests.faults.oracle import require
from tests.faults.rig import drain, finish, hook, outcomes, queue, queue_some, states, use
from tests.servers.fake_mta import FakeMta, Script

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: dict[str, object]) -> dict[str, object]:
    return {**settings, "PDF_SECONDS": 2, "SMTP_FROM_EMAIL": "office@acme.test"}


@pytest.fixture
async def contact(host: Runtime) -> Any:
    """A contact that an invoice template with its PDF can be sent to."""
    model = await get_model("ModelRegistry").get(identifier="Contact")
    report = await get_model("ReportAction").create(
        identifier="page", name="Page", model=model, content="<p>{{ name }}</p>"
    )
    await get_model("EmailTemplate").create(
        identifier="invoice",
        name="Invoice",
        model=model,
        subject="Invoice",
        content="<p>Here it is.</p>",
        report=report,
    )
    return await get_model("Contact").create(name="Kim", email="kim@b.test")


@pytest.mark.parametrize("fault", ["killed", "hangs"])
async def test_f26_the_report_dies(host: Runtime, contact: Any, fault: str) -> None:
    """The child that lays a report out is killed, as by the kernel when memory is short, or never ends.

    Whoever asked is told; no mail without its document is queued; the next one works.
    """
    report = await get_model("ReportAction").get(identifier="page")
    assert await report.render_pdf(contact)
    await get_model("Attachment").all().delete()
    (child,) = host.pdf._idle
    os.kill(child._process.pid, signal.SIGSTOP)
    if fault == "killed":  # While it is at work: one that is found dead before is replaced.
        asyncio.get_running_loop().call_later(0.3, os.kill, child._process.pid, signal.SIGKILL)
    with pytest.raises(RenderError, match="broke its PDF worker" if fault == "killed" else "takes longer"):
        await report.render_pdf(contact)
    assert not await get_model("Attachment").exists()
    assert await report.render_pdf(contact)
    assert not await get_model("Message").exists()


async def test_f26_composition_hangs(host: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted as a failed try each time, and given up after the last; nobody else waits for it for long."""
    monkeypatch.setattr(outgoing, "_LONGEST_FILTERING_S", 0.1)

    async def filter_outgoing_email(email: Any, message: Any) -> None:
        if message["subject"] == "hangs":
            await asyncio.Event().wait()

    hook(host, filter_outgoing_email=filter_outgoing_email)
    async with FakeMta(Script()) as mta:
        await use(mta)
        message = await queue("hangs@b.test", subject="hangs")
        await queue_some(5)
        await drain()
        assert (await states())["hangs@b.test"] == "queued"
        assert len(mta.ledger) == 5
        await finish(4)
        await message.refresh_from_db()
        assert (message.send_state, message.retry_count) == ("Failed", host.settings.MAX_RETRIES)
        assert "took over" in message.error
        await require(mta.ledger, states={"sent": 5, "failed": 1})


FAULTS = [ValueError, FileNotFoundError, ConnectionRefusedError, TimeoutError]


@pytest.mark.parametrize("fault", [*FAULTS, asyncio.CancelledError])
async def test_f27_a_hook_raises_before_sending(host: Runtime, fault: type[BaseException]) -> None:
    """Whatever it raises is a temporary failure of this mail, with the addon's name, and of no other."""

    async def filter_outgoing_email(email: Any, message: Any) -> None:
        if message["subject"] == "bad":
            raise fault("no such luck")

    hook(host, filter_outgoing_email=filter_outgoing_email)
    async with FakeMta(Script()) as mta:
        await use(mta)
        message = await queue("bad@b.test", subject="bad")
        await queue_some(5)
        await drain()
        await message.refresh_from_db()
        assert (message.send_state, message.retry_count) == ("Failed", 1)
        assert "an_addon" in message.error
        assert sorted(await outcomes()) == ["sent"] * 5 + ["temporary"]
        host.hooks._manager.unregister(name="an_addon")
        await finish(1)
        await require(mta.ledger)


@pytest.mark.parametrize("fault", [*FAULTS, asyncio.CancelledError])
async def test_f27_a_hook_raises_after_sending(host: Runtime, fault: type[BaseException]) -> None:
    """Logged, and the mail is sent all the same."""

    async def message_sent(message: Any) -> None:
        raise fault("no such luck")

    hook(host, message_sent=message_sent)
    async with FakeMta(Script()) as mta:
        await use(mta)
        await queue_some(5)
        await drain()
        await finish(1)
        await require(mta.ledger)
