"""What IMAP and POP3 clients share in opening a session: looking the server up, connecting, and an OAuth 2 login."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from core.transport import sasl
from core.transport.dial import dial, is_loopback, look_up, shown_addresses, words_of
from core.transport.mailbox_account import LoginRefused, MailboxAccount, MailboxError
from core.transport.oauth import ClientRefused, OAuthError, SignInNeeded, TokenSource
from core.transport.step import StepLog

_T = TypeVar("_T")
METHODS = {"XOAUTH2": b"", "OAUTHBEARER": b"AQ=="}
"""The methods of a login by token, the best known first, and what each answers to the reason for a refusal."""


async def connect(account: MailboxAccount, error: type[MailboxError], log: StepLog) -> socket.socket:
    """Look the host up and open TCP to it, as two steps; raises an error of the given kind."""
    with log.step("DNS") as detail:
        found = await _within(account, error, look_up(account.host, account.port, account.peers))
        detail.extend(shown_addresses(found))
    with log.step("TCP") as detail:
        sock = await _within(account, error, dial(found, account.timeout_s))
        detail.append(str(sock.getpeername()[0]))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def is_private(transport: asyncio.BaseTransport) -> bool:
    """Tell whether nobody on the way can read along: encrypted, or on this machine."""
    if transport.get_extra_info("ssl_object") is not None:
        return True
    return is_loopback(transport.get_extra_info("peername")[0])


async def bear_token(
    account: MailboxAccount,
    source: TokenSource,
    offered: Iterable[str],
    log_in: Callable[[str, str, str], Awaitable[None]],
    error: type[MailboxError],
    refused: type[LoginRefused],
) -> str:
    """Log in by an access token and return the method; a refused token is renewed once, as providers end some early.

    `log_in` is called with a method, its base64 text and the token, and raises `refused`.
    """
    method = next((one for one in METHODS if one in offered), None)
    if method is None:
        raise error("login", str(account), "the server offers no login by sign-in (XOAUTH2 or OAUTHBEARER)")

    async def show(token: str) -> None:
        words = {
            "XOAUTH2": sasl.xoauth2(account.username, token),
            "OAUTHBEARER": sasl.oauthbearer(account.username, account.host, account.port, token),
        }
        await log_in(method, words[method], token)

    try:
        token = await source()
        try:
            await show(token)
        except refused:
            renewed = await source(refused=token)
            if renewed == token:
                raise
            await show(renewed)
    except (SignInNeeded, ClientRefused) as fault:
        raise refused("login", str(account), str(fault)) from None
    except OAuthError as fault:
        raise error("login", str(account), str(fault)) from None
    return method


async def _within(account: MailboxAccount, error: type[MailboxError], work: Awaitable[_T]) -> _T:
    try:
        async with asyncio.timeout(account.timeout_s):
            return await work
    except OSError as fault:
        raise error("connect", str(account), f"the connection failed: {words_of(fault)}") from fault
