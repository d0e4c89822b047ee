"""`postroom queue show`: how a mail stands and what to do next, for each thing that can become of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.api import now
from core.cli.command import Options, options
from core.cli.queue import show
from core.runtime import Runtime, get_model
from tests.databases import sqlite_alone as database_url
from tests.faults.rig import drain, use
from tests.servers.fake_mta import Act, FakeMta, Script

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio
Told = Callable[[Any], Awaitable[str]]


@pytest.fixture
def settings() -> dict[str, object]:
    return {"MAIL_MODE": "live"}


@pytest.fixture
async def message(host: Runtime, database_url: str, tmp_path: Path) -> Any:
    """A queued mail, in a host whose configuration commands find."""
    keys = {"DATABASE_URL": database_url, "VAR_DIR": str(tmp_path / "var"), "ADDONS": ["core"]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**keys, "MAIL_MODE": "live"}))
    options.set(Options(config=tmp_path / "config.yaml"))
    return await queued("kim@b.test")


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    async def run(mail: Any) -> str:
        capsys.readouterr()
        await show(mail.pk)
        return capsys.readouterr().out

    return run


async def queued(*to: str, **options: Any) -> Any:
    return await get_model("Message").queue_email(None, to, "x", "<p>x</p>", from_email="o@acme.test", **options)


async def test_who_is_suppressed_does_not_count_as_reached(message: Any, told: Told) -> None:
    await get_model("Suppression").suppress("gone@b.test", reason="hard_bounce", note="550 no such user")
    mail = await queued("gone@b.test", "kim@b.test")
    async with FakeMta() as mta:
        await use(mta)
        await drain()
    said = await told(mail)
    assert "A server accepted it for 1 of 2 people" in said
    assert "not sent: The address is suppressed: bounced" in said


async def test_what_waits_says_for_what(message: Any, told: Told) -> None:
    await message.hold()
    assert f"postroom queue release {message.pk}" in await told(message)
    await message.release()
    assert "It is due; `postroom doctor`" in await told(message)
    await get_model("QueueSuspension").suspend("The relay moves")
    assert "The queue is suspended: The relay moves" in await told(message)
    later = await queued("kim@b.test", scheduled_at=now() + timedelta(days=2))
    await get_model("QueueSuspension").resume()
    assert "Waiting to be sent to 1 person; due 2" in await told(later)
    await message.cancel()
    assert f"postroom queue retry {message.pk}" in await told(message)


async def test_refusals_doubt_and_bounces_are_told(message: Any, told: Told) -> None:
    steps = {"rcpt": (Act(reply="550 5.1.1 unknown"), Act(reply="451 later"), None, None), "dot": (Act(drop=True),)}
    async with FakeMta(Script(steps=steps)) as mta:
        await use(mta)
        await message.cancel()
        mails = []
        for policy in ("retry", "retry", "hold", "hold"):
            mails.append(await queued("kim@b.test", on_unknown=policy))
            await drain()
    refused, put_off, doubtful, sent = mails
    assert f"Mend the cause, then `postroom queue retry {refused.pk}`" in await told(refused)
    assert "Retrying, next try 2" in await told(put_off)
    assert f"`postroom queue retry {doubtful.pk}` or `postroom queue cancel {doubtful.pk}`" in await told(doubtful)
    delivery = await get_model("Delivery").get(message=sent)
    await get_model("MailEvent").create(
        key="1",
        kind="bounced",
        provider="x",
        recipient="kim@b.test",
        delivery=delivery,
        proven=True,
        reason="full",
    )
    await get_model("Delivery").filter(id=delivery.pk).update(bounced_at=now())
    await get_model("Message").filter(id=sent.pk).update(bounced_at=now())
    said = await told(sent)
    assert "it came back" in said
    assert "kim@b.test: Bounced" in said
    assert "bounced: full" in said


async def test_programs_get_the_same(message: Any, capsys: pytest.CaptureFixture[str]) -> None:
    await show(message.pk, as_json=True)
    row = json.loads(capsys.readouterr().out)
    assert row["standing"].startswith("Waiting to be sent to 1 person")
    assert row["next_step"]
    assert [one["events"] for one in row["deliveries"]] == [[]]
