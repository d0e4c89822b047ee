"""What the host itself writes: by its own account where one is set, and as nobody's mail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.config import load_configuration
from core.delivery.servers import load_servers, overview
from core.errors import UserError
from core.host.host import open_host
from core.host.install import update_schema
from core.runtime import Runtime, get_model
from tests.servers.fake_mta import FakeMta, Script

pytestmark = pytest.mark.anyio


@pytest.fixture
async def own() -> AsyncIterator[FakeMta]:
    async with FakeMta(Script(logins={"host@acme.example": "own secret"})) as server:
        yield server


@pytest.fixture
async def usual() -> AsyncIterator[FakeMta]:
    async with FakeMta(Script()) as server:
        yield server


async def opened(url: str, folder: Any, **keys: object) -> Any:
    configuration = load_configuration(
        environment={}, overrides={"DATABASE_URL": url, "VAR_DIR": str(folder), "ADDONS": ["core"], **keys}
    )
    return open_host(configuration)


def keys(own: FakeMta | None, usual: FakeMta) -> dict[str, object]:
    values: dict[str, object] = {
        "MAIL_MODE": "live",
        "SMTP_SERVER": "127.0.0.1",
        "SMTP_PORT": usual.port,
        "SMTP_FROM_EMAIL": "office@acme.example",
    }
    if own is not None:
        values |= {
            "SYSTEM_MAIL_SMTP_SERVER": "127.0.0.1",
            "SYSTEM_MAIL_SMTP_PORT": own.port,
            "SYSTEM_MAIL_USERNAME": "host@acme.example",
            "SYSTEM_MAIL_PASSWORD": "own secret",
            "SYSTEM_MAIL_FROM": "host@acme.example",
            "SYSTEM_MAIL_FROM_NAME": "The host",
        }
    return values


async def write() -> Any:
    return await get_model("Message").queue_system_email("ann@acme.example", "Hello", "<p>From the host</p>")


async def test_it_leaves_by_its_own_account_and_other_mail_does_not(
    database_url: str, tmp_path: Any, own: FakeMta, usual: FakeMta
) -> None:
    async with await opened(database_url, tmp_path, **keys(own, usual)) as runtime:
        await update_schema(runtime)
        await (await write()).send_now()
        other = await get_model("Message").queue_email(None, ["bob@acme.example"], "Hi", "<p>Hi</p>")
        await other.send_now()
        assert [one.recipient for one in own.ledger] == ["ann@acme.example"]
        assert [one.recipient for one in usual.ledger] == ["bob@acme.example"]
        assert b"From: The host <host@acme.example>\r\n" in own.ledger[0].raw
        assert b"Auto-Submitted: auto-generated\r\n" in own.ledger[0].raw
        assert [one.key for one in await overview()] == ["config", "system"]
        assert "own secret" not in repr(await load_servers())


async def test_without_an_account_it_leaves_as_other_mail(database_url: str, tmp_path: Any, usual: FakeMta) -> None:
    async with await opened(database_url, tmp_path, **keys(None, usual)) as runtime:
        await update_schema(runtime)
        message = await write()
        await message.send_now()
        assert [one.recipient for one in usual.ledger] == ["ann@acme.example"]
        assert (message.kind, message.server, message.email_from) == (
            "system",
            None,
            '"Postroom" <office@acme.example>',
        )


async def test_catch_and_hold_are_for_it_too(database_url: str, tmp_path: Any, own: FakeMta, usual: FakeMta) -> None:
    async with await opened(database_url, tmp_path, **{**keys(own, usual), "MAIL_MODE": "catch"}) as runtime:
        await update_schema(runtime)
        await (await write()).send_now()
        assert await get_model("CaughtEmail").all().count() == 1
    async with await opened(database_url, tmp_path, **{**keys(own, usual), "MAIL_MODE": "hold"}):
        held = await write()
        await held.send_now()
        assert held.send_state == "Queued"
    assert own.ledger == []


async def test_a_host_without_an_address_says_so(host: Runtime) -> None:
    with pytest.raises(UserError, match="SYSTEM_MAIL_FROM"):
        await write()


async def test_mail_may_name_its_server_and_waits_for_it(database_url: str, tmp_path: Any, usual: FakeMta) -> None:
    async with await opened(database_url, tmp_path, MAIL_MODE="live") as runtime:
        await update_schema(runtime)
        server = await get_model("OutgoingMailServer").create(
            name="One", server="127.0.0.1", port=usual.port, tls="none"
        )
        for named in ("7777", "config", "x"):
            with pytest.raises(UserError, match="was queued for"):
                await named_mail(named)
        message = await named_mail(str(server.pk))
        server.active = False
        await server.save()
        await message.send_now()
        assert (message.send_state, "switched off or gone" in message.error) == ("Queued", True)


async def named_mail(server: str) -> Any:
    queue = get_model("Message").queue_email
    return await queue(None, ["x@y.example"], "Hi", "<p>x</p>", from_email="a@acme.example", server=server)
