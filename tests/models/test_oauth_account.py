"""A sign-in's tokens: renewed in time and by one worker only, never lost, and told when a person is needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from core import clock
from core.delivery.engine import Engine
from core.errors import ConfigError, UserError
from core.orm.transaction import transaction
from core.runtime import Runtime, get_model, runtime
from core.transport.oauth import ClientRefused, OAuthError, SignInNeeded
from core.transport.smtp import SmtpError, open_session
from tests.servers.authorization_server import AuthorizationServer, Fault
from tests.servers.certificate import Certificate, make_certificate
from tests.servers.fake_mta import Act, FakeMta, Script

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> dict[str, object]:
    return {"BASE_URL": "https://postroom.test", "MAIL_MODE": "live", "MAIL_DOMAIN": "acme.test"}


@pytest.fixture
async def server(host: Runtime) -> AsyncIterator[AuthorizationServer]:
    async with AuthorizationServer() as running:
        yield running


async def signed_in(server: AuthorizationServer, **values: Any) -> Any:
    values = {"expires_at": clock.now() + timedelta(hours=1), **values}
    return await get_model("OAuthAccount").create(**server.sign_in() | values)


async def token_of(account: Any, refused: str = "") -> str:
    token: str = await get_model("OAuthAccount").current_token(account.pk, refused)
    return token


async def answered(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


# Signing in.


async def test_signing_in(host: Runtime, server: AuthorizationServer) -> None:
    accounts = get_model("OAuthAccount")
    account = await accounts.create(**server.account())
    back = server.consent(await account.begin_sign_in("session of the browser"))
    assert back.startswith("https://postroom.test/servers/oauth/callback?")
    ended = await accounts.end_sign_in(**await answered(back), session="session of the browser")
    assert (ended.pk, ended.status, ended.version) == (account.pk, "ready", 1)
    assert await token_of(ended) == server.access_tokens[0]
    with pytest.raises(UserError, match="not begun here"):
        await accounts.end_sign_in(**await answered(back), session="session of the browser")


@pytest.mark.parametrize(("begun", "ended"), [("mine", "another's"), ("mine", "")])
async def test_a_sign_in_of_another_browser_is_refused(
    host: Runtime, server: AuthorizationServer, begun: str, ended: str
) -> None:
    """Nobody can make an administrator's browser end a sign-in that a stranger began (RFC 9700 section 4.7)."""
    accounts = get_model("OAuthAccount")
    account = await accounts.create(**server.account())
    back = await answered(server.consent(await account.begin_sign_in(begun)))
    with pytest.raises(UserError, match="not begun here"):
        await accounts.end_sign_in(**back, session=ended)
    assert server.requests == []


async def test_a_sign_in_ends_in_time_and_with_the_right_state(host: Runtime, server: AuthorizationServer) -> None:
    accounts = get_model("OAuthAccount")
    account = await accounts.create(**server.account())
    back = await answered(server.consent(await account.begin_sign_in()))
    for state in ("", "other", back["state"][:-1]):
        with pytest.raises(UserError, match="not begun here"):
            await accounts.end_sign_in(state, back["code"])
    with clock.clock_at(clock.now() + timedelta(hours=1)), pytest.raises(UserError, match="too long"):
        await accounts.end_sign_in(**back)
    back = await answered(server.consent(await account.begin_sign_in()))
    with pytest.raises(UserError, match="no code"):
        await accounts.end_sign_in(back["state"], "")
    back = await answered(server.consent(await account.begin_sign_in()))
    with pytest.raises(UserError, match="could not be signed in"):
        await accounts.end_sign_in(back["state"], "another code")


async def test_a_provider_that_gives_no_refresh_token(host: Runtime, server: AuthorizationServer) -> None:
    accounts = get_model("OAuthAccount")
    account = await accounts.create(**server.account())
    back = await answered(server.consent(await account.begin_sign_in()))
    server.faults.append(Fault(200, b'{"access_token": "a", "token_type": "bearer"}'))
    with pytest.raises(UserError, match="offline"):
        await accounts.end_sign_in(**back)
    await account.refresh_from_db()
    assert account.status == "new"


# Renewing.


async def test_a_good_token_is_used_and_one_that_ends_is_renewed_before(
    host: Runtime, server: AuthorizationServer
) -> None:
    account = await signed_in(server)
    assert await token_of(account) == server.access_tokens[0]
    with clock.clock_at(clock.now() + timedelta(minutes=56)):
        renewed = await token_of(account)
        assert renewed == server.access_tokens[1]
        assert await token_of(account) == renewed
    assert len(server.requests) == 1


async def test_a_refused_token_is_renewed_once_for_all(host: Runtime, server: AuthorizationServer) -> None:
    account = await signed_in(server)
    refused = await token_of(account)
    renewed = await token_of(account, refused)
    assert renewed != refused
    assert await token_of(account, refused) == renewed
    assert len(server.requests) == 1


async def test_many_at_once_renew_once(host: Runtime, server: AuthorizationServer) -> None:
    """With rotation a second renewal by the same refresh token would end the sign-in."""
    account = await signed_in(server, expires_at=clock.now())
    server.answer_delay_s = 0.02
    tokens = await asyncio.gather(*(token_of(account) for _ in range(8)))
    assert set(tokens) == {server.access_tokens[-1]}
    assert (len(server.requests), server.reuses) == (1, 0)
    await account.refresh_from_db()
    assert account.refresh_token == server.refresh_token


async def test_nobody_waits_for_a_renewal_that_is_only_ahead(host: Runtime, server: AuthorizationServer) -> None:
    account = await signed_in(server, expires_at=clock.now() + timedelta(minutes=2))
    server.answer_delay_s = 0.05
    renewal = asyncio.create_task(token_of(account))
    while not server.requests:
        await asyncio.sleep(0.01)
    assert await token_of(account) == account.access_token
    assert await renewal == server.access_tokens[-1]


async def test_a_worker_that_stops_keeps_what_the_provider_gave(host: Runtime, server: AuthorizationServer) -> None:
    account = await signed_in(server, expires_at=clock.now())
    server.answer_delay_s = 0.02
    renewal = asyncio.create_task(token_of(account))
    while not server.requests:
        await asyncio.sleep(0.01)
    renewal.cancel()
    with pytest.raises(asyncio.CancelledError):
        await renewal
    assert await token_of(account) == server.access_tokens[-1]
    assert (len(server.requests), server.reuses) == (1, 0)


async def test_a_lease_of_a_dead_worker_ends(host: Runtime, server: AuthorizationServer) -> None:
    account = await signed_in(server, expires_at=clock.now())
    past = clock.now() - timedelta(seconds=1)
    await get_model("OAuthAccount").filter(id=account.pk).update(lease_token="dead", lease_until=past)
    assert await token_of(account) == server.access_tokens[-1]


async def test_an_edit_of_the_record_brings_back_no_older_token(host: Runtime, server: AuthorizationServer) -> None:
    account = await signed_in(server)
    edited = await get_model("OAuthAccount").get(id=account.pk)
    await token_of(account, account.access_token)
    edited.name = "Sales mail"
    await edited.save()
    await account.refresh_from_db()
    assert (account.name, account.refresh_token) == ("Sales mail", server.refresh_token)


async def test_a_new_sign_in_wins_over_a_renewal_under_way(host: Runtime, server: AuthorizationServer) -> None:
    account = await signed_in(server, expires_at=clock.now())
    stale = await get_model("OAuthAccount").get(id=account.pk)
    back = await answered(server.consent(await account.begin_sign_in()))
    ended = await get_model("OAuthAccount").end_sign_in(**back)
    assert not await stale._lease()
    assert ended.refresh_token == server.refresh_token


async def test_an_interrupted_provider_is_tried_again_and_the_old_token_used_meanwhile(
    host: Runtime, server: AuthorizationServer
) -> None:
    account = await signed_in(server, expires_at=clock.now() + timedelta(minutes=2))
    server.faults.extend([Fault(503), Fault(200, b"garbage"), Fault(0)])
    for _ in range(3):
        assert await token_of(account) == account.access_token
    assert await token_of(account) == server.access_tokens[-1]
    server.faults.append(Fault(503))
    with clock.clock_at(clock.now() + timedelta(hours=2)), pytest.raises(OAuthError, match="503"):
        await token_of(account)
    await account.refresh_from_db()
    assert account.status == "ready"


async def test_a_revoked_sign_in_is_over_and_the_operator_told_once(host: Runtime, server: AuthorizationServer) -> None:
    await get_model("User").create(login="admin@acme.test", name="Admin", is_admin=True)
    account = await signed_in(server, expires_at=clock.now())
    server.is_revoked = True
    for _ in range(3):
        with pytest.raises(SignInNeeded, match="server authorize"):
            await token_of(account)
    assert len(server.requests) == 1
    (told,) = await get_model("Notification").all().select_related("message")
    assert "Office mail" in told.message.subject
    assert "expired or revoked" in told.message.text


async def test_a_client_secret_that_ended_is_told_and_ends_no_sign_in(
    host: Runtime, server: AuthorizationServer
) -> None:
    await get_model("User").create(login="admin@acme.test", name="Admin", is_admin=True)
    account = await signed_in(server, expires_at=clock.now())
    server.client_secret = "a new one"
    for _ in range(2):
        with pytest.raises(ClientRefused):
            await token_of(account)
    assert await get_model("Notification").all().count() == 1
    await account.refresh_from_db()
    account.client_secret = "a new one"
    await account.save()
    assert await token_of(account) == server.access_tokens[-1]


async def test_idle_sign_ins_are_kept_alive(host: Runtime, server: AuthorizationServer) -> None:
    account = await signed_in(server, renewed_at=clock.now() - timedelta(days=2))
    assert (await get_model("OAuthAccount").cron_keep_alive()).items == 1
    assert (await get_model("OAuthAccount").cron_keep_alive()).items == 0
    await account.refresh_from_db()
    assert account.refresh_token == server.refresh_token


async def test_a_sign_in_that_ends_is_told_before(host: Runtime, server: AuthorizationServer) -> None:
    await get_model("User").create(login="admin@acme.test", name="Admin", is_admin=True)
    await signed_in(server, renewed_at=clock.now(), refresh_until_at=clock.now() + timedelta(days=3))
    for _ in range(2):
        await get_model("OAuthAccount").cron_keep_alive()
    (told,) = await get_model("Notification").all().select_related("message")
    assert "ends soon" in told.message.subject


async def test_no_network_inside_a_transaction(host: Runtime, server: AuthorizationServer) -> None:
    account = await signed_in(server)
    async with transaction():
        with pytest.raises(RuntimeError, match="inside a transaction"):
            await token_of(account)


# What is stored.


async def test_another_place_never_gets_the_tokens(host: Runtime, server: AuthorizationServer) -> None:
    """I18"""
    account = await signed_in(server)
    account.token_url = "https://elsewhere.test/token"
    await account.save()
    stored = await get_model("OAuthAccount").get(id=account.pk)
    assert (stored.status, stored.client_secret, stored.access_token, stored.refresh_token) == ("new", "", "", "")
    with pytest.raises(SignInNeeded, match="not signed in"):
        await token_of(account)


async def test_secrets_are_encrypted_and_addresses_checked(host: Runtime, server: AuthorizationServer) -> None:
    account = await signed_in(server)
    (row,) = await runtime().database.fetch("SELECT * FROM o_auth_account")
    for secret in (account.access_token, account.refresh_token, account.client_secret):
        assert secret not in str(row)
        assert secret not in repr(account)
    for values in ({"token_url": "http://provider.test/token"}, {"authorization_url": "javascript:alert(1)"}):
        with pytest.raises(ConfigError):
            await get_model("OAuthAccount").create(**server.account() | values)


# Through SMTP.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.mark.parametrize("method", ["XOAUTH2", "OAUTHBEARER"])
async def test_a_login_by_token_and_by_a_renewed_one(
    host: Runtime, server: AuthorizationServer, certificate: Certificate, method: str
) -> None:
    account = await signed_in(server)
    logins = {"kim@acme.test": account.access_token}
    script = Script(certificate=certificate, logins=logins, auth_methods=("PLAIN", method))
    source = get_model("OAuthAccount").tokens(account.pk)
    async with FakeMta(script) as mta:
        for _ in range(2):
            session = await open_session(mta.account(username="kim@acme.test", token=source))
            await session.quit()
            # The provider ends the token before its time: the next login renews it.
            if server.requests:
                break
            server.rotates = False
            given = server._give()["access_token"]
            logins["kim@acme.test"] = given
            server.faults.append(Fault(200, b'{"access_token": "%s", "token_type": "Bearer"}' % given.encode()))
        assert [one for one in mta.commands if one.startswith("answered")] == [
            "answered 'AQ=='" if method == "OAUTHBEARER" else "answered ''"
        ]
    assert len(server.requests) == 1


async def test_a_token_that_stays_refused(host: Runtime, server: AuthorizationServer, certificate: Certificate) -> None:
    account = await signed_in(server)
    source = get_model("OAuthAccount").tokens(account.pk)
    script = Script(certificate=certificate, logins={"kim@acme.test": "another"}, auth_methods=("XOAUTH2",))
    async with FakeMta(script) as mta:
        with pytest.raises(SmtpError, match="535"):
            await open_session(mta.account(username="kim@acme.test", token=source))
        assert len([one for one in mta.commands if one.startswith("AUTH")]) == 2
    assert len(server.requests) == 1
    async with FakeMta(Script(certificate=certificate, logins={"kim": "x"}, auth_methods=("PLAIN",))) as mta:
        with pytest.raises(SmtpError, match="no login method"):
            await open_session(mta.account(username="kim@acme.test", token=source))
    script = Script(
        certificate=certificate, logins={"k": "x"}, auth_methods=("XOAUTH2",), steps={"auth": Act(drop=True)}
    )
    async with FakeMta(script) as mta:
        with pytest.raises(SmtpError):
            await open_session(mta.account(username="kim@acme.test", token=source))


async def test_a_revoked_sign_in_holds_its_mail_and_stops_no_other(host: Runtime, server: AuthorizationServer) -> None:
    account = await signed_in(server, expires_at=clock.now())
    server.is_revoked = True
    servers = get_model("OutgoingMailServer")
    async with FakeMta(Script()) as mta:
        await servers.create(
            name="Google", server="smtp.acme.test", port=587, auth="oauth2", oauth=account,
            username="kim@acme.test", from_domains=["acme.test"],
        )  # fmt: skip
        await servers.create(name="relay", server="127.0.0.1", port=mta.port, use_ssl=False, from_domains=["b.test"])
        with pytest.raises(SignInNeeded):
            await token_of(account)
        queue_email = get_model("Message").queue_email
        waiting = await queue_email(None, ["x@c.test"], "Hi", "<p>Hi</p>", from_email="kim@acme.test")
        await queue_email(None, ["y@c.test"], "Hi", "<p>Hi</p>", from_email="kim@b.test")
        async with Engine() as engine:
            await engine.drain()
        assert [one.recipient for one in mta.ledger] == ["y@c.test"]
    await waiting.refresh_from_db()
    assert waiting.send_state == "Queued"
    assert waiting.retry_count == 0
    assert "Sign in again" in waiting.error
