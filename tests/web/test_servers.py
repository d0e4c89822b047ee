"""The mail servers' pages: state and reasons, tests with hints, the choice explained, and signing in."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest

from core import clock
from core.runtime import get_model
from tests.servers.authorization_server import AuthorizationServer
from tests.servers.fake_mta import Act, FakeMta, Script
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: dict[str, object]) -> dict[str, object]:
    return {**settings, "MAIL_MODE": "hold"}


async def _server(**values: Any) -> Any:
    fields = {"name": "Relay", "server": "127.0.0.1", "port": 1, "use_ssl": False}
    return await get_model("OutgoingMailServer").create(**fields | values)


async def test_the_list_says_what_state_each_is_in(world: World, visitor: Visitor) -> None:
    server = await _server(server="relay.test", from_domains=["acme.test"], password="hunter2-secret")
    await get_model("ServerPause").create(
        server=str(server.pk), until_at=clock.now() + timedelta(minutes=5), failures=5, reason="<b>refused</b>"
    )
    root = await visitor("root")
    page = (await root.get("/servers")).text
    for words in ("Relay", "acme.test", "Paused", "&lt;b&gt;refused", "mail travels without TLS"):
        assert words in page
    assert "hunter2" not in page
    assert (await root.post(f"/servers/{server.pk}/resume")).status_code == 303
    assert "In use" in (await root.get("/servers")).text


async def test_a_server_whose_pause_is_over_is_not_called_well(world: World, visitor: Visitor) -> None:
    """Without mail nothing tries it again, so nothing is known to be mended."""
    server = await _server(use_ssl=False)
    await get_model("ServerPause").create(
        server=str(server.pk), until_at=clock.now() - timedelta(minutes=5), failures=5, reason="refused"
    )
    page = (await (await visitor("root")).get("/servers")).text
    assert "Failing" in page
    assert "no TLS, on this machine" in page


async def test_a_test_is_told_step_by_step(world: World, visitor: Visitor) -> None:
    """S8: the server's words are shown as text."""
    root = await visitor("root")
    async with FakeMta(
        Script(steps={"ehlo": Act(reply="550 <script>alert(1)</script>"), "helo": Act(drop=True)})
    ) as mta:
        server = await _server(port=mta.port)
        page = (await root.post(f"/servers/{server.pk}/test")).text
    assert "<script>alert" not in page
    assert "What to do:" in page
    assert "DNS" in page


async def test_the_choice_is_explained(world: World, visitor: Visitor) -> None:
    user = await get_model("User").get(login="ann")
    await _server(name="Ann's own", user=user)
    await _server(name="Acme only", from_domains=["acme.test"])
    root = await visitor("root")
    page = unescape((await root.get("/servers/explain?from=kim@other.test&user=ann")).text)
    assert re.search(r"Ann's own.*Sends it.*Acme only.*not as other.test", page, re.DOTALL)
    page = unescape((await root.get("/servers/explain?from=kim@acme.test")).text)
    assert re.search(r"Ann's own.*another user's own.*Acme only.*Sends it", page, re.DOTALL)
    assert (await root.get("/servers/explain?from=nonsense")).status_code == 422


@pytest.mark.parametrize("login", ["ann", "guest", "nora"])
async def test_servers_are_for_administrators(world: World, visitor: Visitor, login: str) -> None:
    server = await _server()
    browser = await visitor(login)
    assert (await browser.get("/servers")).status_code == 403
    assert (await browser.post(f"/servers/{server.pk}/test")).status_code == 403
    assert (await browser.get("/servers/oauth/callback?state=a&code=b")).status_code == 403


async def test_signing_in_from_the_page(world: World, visitor: Visitor) -> None:
    root, other = await visitor("root"), await visitor("root")
    async with AuthorizationServer() as provider:
        account = await get_model("OAuthAccount").create(**provider.account())
        page = await root.post(f"/servers/sign-ins/{account.pk}")
        link = re.search(rf'href="({provider.url}/authorize[^"]*)"', page.text)
        assert link
        back = provider.consent(unescape(link[1]))
        path = back[back.index("/servers/oauth") :]
        assert (await other.get(path)).status_code == 422
        answer = await root.get(path)
        assert answer.status_code == 200
        assert "Signed in" in answer.text
        assert (await root.get(path)).status_code == 422
        await account.refresh_from_db()
        assert account.status == "ready"
        page_text = (await root.get("/servers")).text
        assert "Signed in" in page_text
        assert account.access_token not in page_text
    denied = await root.get("/servers/oauth/callback?error=access_denied&error_description=<b>no</b>")
    assert denied.status_code == 422
    assert "<b>no" not in denied.text


async def test_the_senders_that_a_user_may_choose(world: World, visitor: Visitor) -> None:
    """reference/002: smtpOptions"""
    ann = await get_model("User").get(login="ann")
    identity = {"name": "Sales", "email": "sales@acme.test"}
    shared = await _server(
        username="smtp@acme.test", password="hunter2", from_domains=["acme.test"], from_identities=[identity]
    )
    own = await _server(name="Ann's", user=ann, from_domains=["ann.test"], disable_tracking=True)
    await _server(name="Any domain")
    await _server(name="Theirs", company=world.other_company, from_domains=["theirs.test"])
    browser = await visitor("ann")
    options = (await browser.client.post("/api/email/smtpOptions", json={})).json()
    assert options == [
        {"id": own.pk, "label": "Ann's", "fromDomains": ["ann.test"], "fromIdentities": [], "disablePixel": True},
        {
            "id": shared.pk,
            "label": "smtp@acme.test",
            "fromDomains": ["acme.test"],
            "fromIdentities": [identity],
            "disablePixel": False,
        },
    ]
    assert (await (await visitor()).client.post("/api/email/smtpOptions", json={})).status_code == 401


async def test_a_mailbox_says_how_it_does_and_what_to_do(world: World, visitor: Visitor) -> None:
    server = await get_model("IncomingMailServer").create(
        name="Leads", server="127.0.0.1", port=1, use_ssl=False, username="leads@acme.test", password="hunter2-secret"
    )
    await (
        get_model("IncomingMailServer")
        .filter(id=server.pk)
        .update(
            failure_count=3,
            failing_since_at=clock.now(),
            next_fetch_at=clock.now() + timedelta(minutes=9),
            last_error="<b>the login is refused</b>",
            last_hint="Check username and password.",
        )
    )
    root = await visitor("root")
    page = (await root.get("/servers")).text
    for words in ("Leads", "leads@acme.test", "Failing", "&lt;b&gt;the login", "Check username and password."):
        assert words in page
    assert "hunter2" not in page
    assert "connection" in unescape((await root.post(f"/servers/incoming/{server.pk}/test")).text)
    assert (await root.post(f"/servers/incoming/{server.pk}/resume")).status_code == 303
    page = (await root.get("/servers")).text
    assert "Not visited yet" in page
    ann = await visitor("ann")
    assert (await ann.post(f"/servers/incoming/{server.pk}/test")).status_code in (403, 404)
