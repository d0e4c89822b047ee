"""Logging in to a real Dovecot by access token (OAuth 2), over IMAP and POP3."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from core.transport import imap, pop3
from core.transport.mailbox_account import LoginRefused, MailboxAccount, MailboxError
from core.transport.mailbox_open import bear_token
from core.transport.oauth import OAuthError, SignInNeeded
from core.transport.tls import Tls
from tests.servers.dovecot import Dovecot

pytestmark = pytest.mark.anyio
TOKEN = "a-token.of-Some/length=="


@dataclass
class Source:
    """Gives its tokens in turn, the next one after each refusal."""

    tokens: list[str]
    refusals: list[str] = field(default_factory=list)

    async def __call__(self, refused: str = "") -> str:
        if refused:
            self.refusals.append(refused)
            if self.tokens[0] == refused and len(self.tokens) > 1:
                self.tokens.pop(0)
        return self.tokens[0]


@pytest.fixture(params=["imap", "pop3"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def user(dovecot: Dovecot) -> str:
    name = f"user{secrets.token_hex(4)}@mail.test"
    dovecot.add_user(name, "never used")
    dovecot.tokens[TOKEN] = name
    return name


def account_of(dovecot: Dovecot, protocol: str, user: str, source: Source) -> MailboxAccount:
    kind = imap.ImapAccount if protocol == "imap" else pop3.Pop3Account
    port = dovecot.port if protocol == "imap" else dovecot.pop3_port
    return kind(host="127.0.0.1", port=port, tls=Tls.NONE, username=user, token=source, timeout_s=10)


async def log_in(account: MailboxAccount) -> None:
    if isinstance(account, imap.ImapAccount):
        async with imap.open_mailbox(account) as mailbox:
            assert await mailbox.uids() == ()
    else:
        assert isinstance(account, pop3.Pop3Account)
        async with pop3.open_session(account) as session:
            assert await session.listing() == ()


async def test_a_token_logs_in(dovecot: Dovecot, protocol: str, user: str) -> None:
    source = Source([TOKEN])
    await log_in(account_of(dovecot, protocol, user, source))
    assert source.refusals == []


async def test_a_refused_token_is_renewed_once(dovecot: Dovecot, protocol: str, user: str) -> None:
    source = Source(["ended-early", TOKEN])
    await log_in(account_of(dovecot, protocol, user, source))
    assert source.refusals == ["ended-early"]


async def test_a_token_that_stays_refused_is_a_refused_login(dovecot: Dovecot, protocol: str, user: str) -> None:
    for source in (Source(["bad"]), Source(["bad", "worse"])):
        with pytest.raises(LoginRefused) as caught:
            await log_in(account_of(dovecot, protocol, user, source))
        assert not any(token in str(caught.value) for token in ("bad", "worse"))


class Failing:
    def __init__(self, error: OAuthError):
        self.error = error

    async def __call__(self, refused: str = "") -> str:
        raise self.error


async def test_a_sign_in_that_is_over_is_a_refused_login_and_one_that_waits_is_not(
    dovecot: Dovecot, protocol: str, user: str
) -> None:
    for error, is_refused in ((SignInNeeded("Sign in again."), True), (OAuthError("busy"), False)):
        with pytest.raises(MailboxError, match=str(error)) as caught:
            await log_in(account_of(dovecot, protocol, user, Failing(error)))  # type: ignore[arg-type]
        assert isinstance(caught.value, LoginRefused) is is_refused


Login = Callable[[str, str, str], Awaitable[None]]


async def test_the_method_is_the_servers(dovecot: Dovecot, protocol: str, user: str) -> None:
    account = account_of(dovecot, protocol, user, Source([TOKEN]))
    assert account.token is not None
    shown: list[str] = []

    async def show(method: str, words: str, token: str) -> None:
        shown.append(method)

    for offered in (["PLAIN", "OAUTHBEARER"], ["XOAUTH2", "OAUTHBEARER"]):
        await bear_token(account, account.token, offered, show, MailboxError, LoginRefused)
    assert shown == ["OAUTHBEARER", "XOAUTH2"]
    with pytest.raises(MailboxError, match="no login by sign-in"):
        await bear_token(account, account.token, ["PLAIN"], show, MailboxError, LoginRefused)
