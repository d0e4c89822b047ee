"""What core does at its own hooks: administrators learn of what waits for them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from core import clock
from core.runtime import Runtime, get_model

pytestmark = pytest.mark.anyio


async def notices() -> list[tuple[str, str]]:
    rows = await get_model("Notification").filter(read_at=None).order_by("id").prefetch_related("message", "user")
    return [(row.user.name, row.message.subject) for row in rows]


async def make_users() -> None:
    users = get_model("User")
    await users.create(login="root", name="Root", is_admin=True)
    await users.create(login="clerk", name="Clerk")
    await users.create(login="gone", name="Gone", is_admin=True, active=False)


async def test_unmatched_mail_is_told_to_administrators_until_they_look(host: Runtime) -> None:
    await make_users()
    mail: Any = SimpleNamespace(sender="ann@sender.test")
    for _ in range(3):
        await host.hooks.emit("email_unmatched", email=mail)
    assert await notices() == [("Root", "Mail waits for a person")]
    await get_model("Notification").all().update(read_at=clock.now())
    await host.hooks.emit("email_unmatched", email=mail)
    assert await notices() == [("Root", "Mail waits for a person")]


async def test_a_job_that_was_switched_off_is_told_and_one_that_runs_is_not(host: Runtime) -> None:
    await make_users()
    run = SimpleNamespace(error="the disk is full", outcome="failed")
    for status in ("idle", "off"):
        job = SimpleNamespace(status=status, name="Fetch", failure_count=5)
        await host.hooks.emit("cron_finished", job=job, run=run)
    assert await notices() == [("Root", "The job “Fetch” was switched off")]
    message = await get_model("Message").get(kind="system")
    assert "the disk is full" in message.body


async def test_nobody_to_tell_leaves_nothing_behind(host: Runtime) -> None:
    await get_model("Notification").tell_admins("A <b>subject", "A <b>text")
    assert await get_model("Message").all().count() == 0


async def test_the_spool_forgets_a_deleted_record(host: Runtime) -> None:
    spool = get_model("InboundEmail")
    for number, res_id in enumerate((7, 8)):
        about = {"res_model": "SimpleNamespace", "res_id": res_id}
        await spool.create(source=f"load:{number}", sha256="0", size_bytes=1, **about)
    await host.hooks.emit("record_deleted", record=SimpleNamespace(pk=7))
    assert await spool.all().order_by("id").values_list("res_id", flat=True) == [None, 8]
