"""How a mailbox does: who is told of failures, how long it is left alone, when it is switched off, what mends it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import clock
from core.gateway.fetch import fetch_all, fetch_server
from core.runtime import Runtime, get_model
from tests.gateway.conftest import mail
from tests.gateway.mailboxes import make_server, spooled
from tests.servers.authorization_server import AuthorizationServer
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.free_port import free_port

pytestmark = pytest.mark.anyio


@pytest.fixture
async def admin(host: Runtime) -> Any:
    return await get_model("User").create(login="admin", name="Admin", is_admin=True)


async def notices() -> list[str]:
    rows: list[str] = await get_model("Notification").all().order_by("id").values_list("message__subject", flat=True)
    return rows


async def fail(server: Any, times: int = 1) -> None:
    for _ in range(times):
        await server.refresh_from_db()
        assert (await fetch_server(server)).error


async def test_a_failure_that_lasts_is_told_once(dovecot: Dovecot, user: str, admin: Any) -> None:
    server = await make_server(dovecot, user, port=free_port())
    await fail(server, 2)
    assert await notices() == []
    await fail(server, 3)
    assert await notices() == [f"No mail is fetched from “{user}”"]
    await get_model("IncomingMailServer").all().update(failing_since_at=clock.now() - timedelta(days=30))
    await fail(server, 10)
    await server.refresh_from_db()
    assert server.active, "a network that is away for a month switches nothing off"


async def test_a_refused_login_is_told_at_once_and_switches_off_after_a_week(
    dovecot: Dovecot, user: str, admin: Any
) -> None:
    server = await make_server(dovecot, user, password="wrong")
    await fail(server)
    assert await notices() == [f"No mail is fetched from “{user}”"]
    await server.refresh_from_db()
    assert server.next_fetch_at > datetime.now(UTC) + timedelta(minutes=5)
    assert "password" in server.last_hint
    await fail(server, 10)
    await server.refresh_from_db()
    assert server.active
    await get_model("IncomingMailServer").all().update(failing_since_at=clock.now() - timedelta(days=8))
    await fail(server)
    await server.refresh_from_db()
    assert (server.active, server.state) == (False, "off")
    assert (await notices())[-1] == f"The mailbox “{user}” is switched off"
    text = await get_model("Message").all().order_by("-id").first().values_list("text", flat=True)
    assert "postroom inbound resume" in text
    assert await fetch_all() == []
    dovecot.deliver(user, mail("waited"))
    server.password, server.active = PASSWORD, True
    await server.save()
    assert (await fetch_all())[0].stored == 1
    await server.refresh_from_db()
    assert (server.failure_count, server.failing_since_at, server.last_error) == (0, None, "")


async def test_pauses_grow_by_chance_and_not_for_ever(host: Runtime, dovecot: Dovecot, user: str) -> None:
    server = await make_server(dovecot, user, port=free_port())
    pauses = []
    for _ in range(9):
        await fail(server)
        await server.refresh_from_db()
        pauses.append((server.next_fetch_at - datetime.now(UTC)).total_seconds())
    for number, pause_s in enumerate(pauses):
        expected_s = min(60 * 2**number, 3600)
        assert 0.75 * expected_s < pause_s < 1.21 * expected_s
    assert len({round(pause_s) for pause_s in pauses[-3:]}) == 3


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
async def test_a_mailbox_by_sign_in(host: Runtime, dovecot: Dovecot, user: str, protocol: str, admin: Any) -> None:
    async with AuthorizationServer() as provider:
        account = await get_model("OAuthAccount").create(**provider.sign_in())
        server = await make_server(dovecot, user, protocol=protocol, password="", oauth=account)
        dovecot.tokens.clear()
        dovecot.tokens[provider.access_tokens[-1]] = user
        dovecot.deliver(user, mail("One"))
        assert all(step.ok for step in await server.test_connection())
        assert (await fetch_server(server)).stored == 1
        # The token ends early, as the provider wishes: another one is asked for, once.
        dovecot.tokens.clear()
        asked = len(provider.requests)
        fetched = await fetch_server(server)
        assert "is refused" in fetched.error
        assert len(provider.requests) == asked + 1
        dovecot.tokens[provider.access_tokens[-1]] = user
        await server.resume()
        assert (await fetch_server(server)).error == ""
        # The sign-in is over: a person must do something, and is told what.
        provider.is_revoked = True
        dovecot.tokens.clear()
        fetched = await fetch_server(server)
        assert "Sign in again" in fetched.error + fetched.hint
        assert fetched.is_refused
        assert f"No mail is fetched from “{user}”" in await notices()
        assert len(await spooled()) == 1
        # And signing in is all that is to be done.
        url = await account.begin_sign_in()
        answer = provider.consent(url).partition("?")[2].replace("code=", "").replace("state=", "").split("&")
        await get_model("OAuthAccount").end_sign_in(state=answer[1], code=answer[0])
        dovecot.tokens[provider.access_tokens[-1]] = user
        assert (await fetch_all())[0].error == ""


async def test_another_host_gets_no_login(host: Runtime, dovecot: Dovecot, user: str) -> None:
    account = await get_model("OAuthAccount").create(
        name="Office", client_id="x", authorization_url="https://a.test/a", token_url="https://a.test/t"
    )
    server = await make_server(dovecot, user, oauth=account)
    server.server = "evil.test"
    await server.save()
    await server.refresh_from_db()
    assert (server.password, server.oauth_id) == ("", None)
