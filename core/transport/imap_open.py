"""Opening a session with an IMAP server: DNS, TCP, TLS, greeting and login, each a step with a deadline.

A password or token travels encrypted, or to this machine, or not at all. Before TLS, what the server says is believed
as little as possible.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from core.errors import ConfigError
from core.pattern import pattern
from core.transport import sasl
from core.transport.imap_account import ImapAccount, ImapAuthenticationError, ImapError
from core.transport.imap_mailbox import ImapSession, Mailbox
from core.transport.imap_names import quoted
from core.transport.mailbox_account import without_secrets
from core.transport.mailbox_hints import tell
from core.transport.mailbox_open import METHODS, bear_token, connect, is_private
from core.transport.step import Step, StepLog
from core.transport.tls import Tls

if TYPE_CHECKING:
    from core.transport.imap_protocol import Answer, ImapProtocol

_LOGOUT_WITHIN_S = 5
# Refusals that say nothing about the password (RFC 5530).
_NOT_NOW = pattern(rb"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG|CONTACTADMIN)\]", re.IGNORECASE)


@asynccontextmanager
async def open_session(account: ImapAccount, log: StepLog | None = None) -> AsyncIterator[ImapSession]:
    """Connect and log in; on leaving, log out and close, whatever happened.

    Raises ImapError, and ImapAuthenticationError if the login was refused.
    """
    # Here and not above, because aioimaplib takes long to import and most processes fetch no mail.
    from core.transport.imap_protocol import ImapProtocol

    log = log or StepLog()
    protocol = ImapProtocol(str(account), account.is_implicit_tls)
    try:
        sock = await connect(account, ImapError, log)
        await protocol.connect(sock, account.timeout_s)
        await _encrypt(protocol, account, log)
        with log.step("login") as detail:
            detail.append(await _log_in(protocol, account))
        yield ImapSession(protocol, account, await _capabilities(protocol, account))
        # What was done is done; a server that takes no proper leave spoils nothing.
        with suppress(ImapError), log.step("logout"):
            await protocol.run("logout", "LOGOUT", within_s=_LOGOUT_WITHIN_S)
    finally:
        await protocol.wait_closed()


@asynccontextmanager
async def open_mailbox(account: ImapAccount, folder: str = "INBOX") -> AsyncIterator[Mailbox]:
    """Open a session and a folder in it; raises what `open_session` and `select` raise."""
    async with open_session(account) as session:
        yield await session.select(folder)


async def test_connection(account: ImapAccount, *folders: str) -> tuple[Step, ...]:
    """Do what fetching does, short of fetching, and return each step with its time; the last one tells of a failure."""
    log = StepLog()
    try:
        async with open_session(account, log) as session:
            for folder in folders or ("INBOX",):
                with log.step("select") as detail:
                    mailbox = await session.select(folder)
                    detail.append(folder)
                with log.step("search") as detail:
                    counts = len(await mailbox.unseen_uids()), len(await mailbox.uids())
                    detail.append(f"{counts[0]} unseen of {counts[1]} mails")
    except ImapError as error:
        tell(log, error)
    return tuple(log.steps)


# A test by name only; pytest must not collect it where it is imported.
test_connection.__test__ = False  # type: ignore[attr-defined]


async def _encrypt(protocol: ImapProtocol, account: ImapAccount, log: StepLog) -> None:
    """Encrypt as the account asks, and hear the greeting."""
    if account.is_implicit_tls:
        with log.step("TLS") as detail:
            detail.append(await protocol.start_tls(account))
    with log.step("greeting"):
        is_known = await protocol.hello(account.timeout_s)
    if account.is_implicit_tls or account.tls is Tls.NONE:
        return
    with log.step("STARTTLS") as detail:
        # Who is greeted as logged in already can no longer encrypt: that is how a password is lured into the open.
        answer = None if is_known else await protocol.run("starttls", "STARTTLS", within_s=account.timeout_s)
        if answer is None or answer.status != "OK":
            said = answer.text if answer else protocol.greeting
            raise ImapError("starttls", str(account), "the server does not encrypt, so no password is sent", said)
        detail.append(await protocol.start_tls(account))


async def _log_in(protocol: ImapProtocol, account: ImapAccount) -> str:
    """Log in and say how."""
    if protocol.is_logged_in:
        return "logged in already"
    if not is_private(protocol.transport):
        raise ImapError("login", str(account), "the connection is not encrypted, so no password is sent over it")
    capabilities = await _capabilities(protocol, account)
    if account.token is None:
        return f"{await _show_password(protocol, account, capabilities)} as {account.username}"

    async def show(method: str, words: str, token: str) -> None:
        at_once = "SASL-IR" in capabilities
        dismissal, within_s = METHODS[method], account.timeout_s
        answer = await protocol.authenticate(method, words, dismissal, at_once=at_once, within_s=within_s)
        _require_login(account, answer, protocol.challenge, words, token)

    offered = [word.removeprefix("AUTH=") for word in capabilities if word.startswith("AUTH=")]
    method = await bear_token(account, account.token, offered, show, ImapError, ImapAuthenticationError)
    return f"{method} as {account.username}"


async def _show_password(protocol: ImapProtocol, account: ImapAccount, capabilities: frozenset[str]) -> str:
    # SASL first: only there may a name or password be other than ASCII.
    if "AUTH=PLAIN" in capabilities:
        words, at_once = sasl.plain(account.username, account.password), "SASL-IR" in capabilities
        answer = await protocol.authenticate("PLAIN", words, b"*", at_once=at_once, within_s=account.timeout_s)
        _require_login(account, answer)
        return "PLAIN"
    if "LOGINDISABLED" in capabilities:
        raise ImapError("login", str(account), "the server offers no login by password")
    try:
        arguments = quoted(account.username), quoted(account.password)
    except ConfigError as error:
        raise ImapError("login", str(account), "the server takes no login with other than ASCII characters") from error
    answer = await protocol.run("login", "LOGIN", *arguments, within_s=account.timeout_s, secret=arguments[1])
    _require_login(account, answer)
    return "LOGIN"


def _require_login(account: ImapAccount, answer: Answer, challenge: bytes = b"", *secrets: str) -> None:
    said = without_secrets(answer.text + (b" " + challenge if challenge else b""), account.password, *secrets)
    if answer.status == "NO" and not _NOT_NOW.search(answer.text):
        reason = f"the login as {account.username} is refused"
        raise ImapAuthenticationError("login", str(account), reason, said)
    if answer.status != "OK":
        raise ImapError("login", str(account), "the server does not take the login", said)


async def _capabilities(protocol: ImapProtocol, account: ImapAccount) -> frozenset[str]:
    answer = await protocol.run("capability", "CAPABILITY", within_s=account.timeout_s)
    lines = [line.upper().split() for line, *_ in answer.responses]
    words = [word for line in lines if line[1:2] == [b"CAPABILITY"] for word in line[2:]]
    return frozenset(word.decode("ascii", "replace") for word in words)
