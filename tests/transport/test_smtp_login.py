"""Logging in at a real Postfix that asks a real Dovecot: password, XOAUTH2 and OAUTHBEARER, over STARTTLS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from core.mail.retry import Outcome, classify
from core.transport.smtp import Envelope, SmtpAccount, SmtpError, open_session, test_connection
from tests.servers.dovecot import Dovecot
from tests.servers.free_port import free_port
from tests.servers.postfix import Postfix

pytestmark = pytest.mark.anyio

USER, TOKEN = "kim@acme.test", "ya29.a0AfH6SMBx-Token_of/kim+="


@dataclass(frozen=True, slots=True)
class Held:
    """Tokens as a test has them at hand: the first one until it is refused, then the second."""

    first: str
    second: str = ""

    async def __call__(self, refused: str = "") -> str:
        return self.second if refused == self.first and self.second else self.first


class _Logins(Dovecot):
    """Answers Postfix's questions about logins, of one kind only."""

    def __init__(self, mechanisms: str) -> None:
        super().__init__()
        self.mechanisms = mechanisms
        self.auth_port = free_port()

    def _config(self) -> str:
        usual = "auth_mechanisms = plain login xoauth2 oauthbearer"
        config = super()._config()
        assert usual in config
        config = config.replace(usual, f"auth_mechanisms = {self.mechanisms}")
        return config + f"service auth {{\n inet_listener {{\n  port = {self.auth_port}\n }}\n}}\n"


class _Submission(Postfix):
    def __init__(self, auth_port: int) -> None:
        super().__init__({}, default="DISCARD")
        self.auth_port = auth_port

    def _main(self) -> str:
        return super()._main() + (
            "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_tls_auth_only = yes\n"
            f"smtpd_sasl_path = inet:127.0.0.1:{self.auth_port}\nsmtpd_sasl_security_options = noanonymous\n"
        )


@pytest.fixture(scope="module", params=["plain login", "xoauth2", "oauthbearer"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, Postfix]]:
    with _Logins(request.param) as logins:
        logins.add_user(USER, TOKEN)
        logins.tokens[TOKEN] = USER
        with _Submission(logins.auth_port) as postfix:
            yield request.param, postfix


def account_at(mechanisms: str, postfix: Postfix, secret: str) -> SmtpAccount:
    account = SmtpAccount(host="127.0.0.1", port=postfix.port, username=USER, ca_file=postfix.ca_file)
    if mechanisms == "plain login":
        return replace(account, password=secret)
    return replace(account, token=Held(secret))


async def test_a_right_login(server: tuple[str, Postfix]) -> None:
    steps = await test_connection(account_at(*server, TOKEN), Envelope(USER, ("x@customer.test",), 100))
    assert [step for step in steps if not step.ok] == []
    assert f"as {USER}" in next(step.detail for step in steps if step.name == "AUTH")


async def test_a_wrong_login_pauses_the_server_and_is_hinted_at(server: tuple[str, Postfix]) -> None:
    with pytest.raises(SmtpError) as caught:
        await open_session(account_at(*server, "wrong-secret"))
    assert classify(caught.value.phase, caught.value.reply_code, caught.value.enhanced) is Outcome.SERVER
    assert "wrong-secret" not in str(caught.value)
    steps = await test_connection(account_at(*server, "wrong-secret"))
    assert (steps[-1].name, steps[-1].ok) == ("AUTH", False)
    assert "username and password" in steps[-1].hint


async def test_a_token_that_ended_early_is_renewed_on_the_same_connection(server: tuple[str, Postfix]) -> None:
    mechanisms, _ = server
    if mechanisms == "plain login":
        return
    session = await open_session(replace(account_at(*server, TOKEN), token=Held("ended", TOKEN)))
    assert (await session.begin(Envelope(USER, ("x@customer.test",), 100))).is_open
    assert (await session.content(b"Subject: Hi\r\n\r\nHi\r\n")).ok
    await session.quit()
