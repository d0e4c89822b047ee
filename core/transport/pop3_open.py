"""Opening a session with a POP3 server: DNS, TCP, TLS, greeting and login, each a step with a deadline.

Capabilities (RFC 2449), STLS (RFC 2595), login by SASL (RFC 5034) or USER and PASS. A password or token travels
encrypted, or to this machine, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from core.pattern import pattern
from core.transport import sasl
from core.transport.mailbox_account import without_secrets
from core.transport.mailbox_hints import tell
from core.transport.mailbox_open import METHODS, bear_token, connect, is_private
from core.transport.pop3_account import Pop3Account, Pop3AuthenticationError, Pop3Error
from core.transport.pop3_session import Pop3Session
from core.transport.pop3_wire import Pop3Wire
from core.transport.step import Step, StepLog
from core.transport.tls import Tls

_CAPABILITY_BYTES = 64 * 1024
# Refusals that say nothing about the password (RFC 2449 section 8, RFC 3206).
_NOT_NOW = pattern(rb"\[(?:IN-USE|LOGIN-DELAY|SYS/)", re.IGNORECASE)


@asynccontextmanager
async def open_session(account: Pop3Account, log: StepLog | None = None) -> AsyncIterator[Pop3Session]:
    """Connect and log in; on leaving in peace quit, which deletes what was marked, and in any case close.

    Raises Pop3Error, and Pop3AuthenticationError if the login was refused.
    """
    log = log or StepLog()
    wire = Pop3Wire(account)
    try:
        sock = await connect(account, Pop3Error, log)
        await wire.connect(sock)
        capabilities = await _encrypt(wire, account, log)
        with log.step("login") as detail:
            detail.append(await _log_in(wire, account, capabilities))
        # Some servers tell more to whom they know.
        session = Pop3Session(wire, account, await _capabilities(wire, account))
        yield session
        if not session.is_over:
            with suppress(Pop3Error), log.step("quit"):
                await session.quit()
    finally:
        await wire.wait_closed()


async def test_connection(account: Pop3Account) -> tuple[Step, ...]:
    """Do what fetching does, short of fetching, and return each step with its time; the last one tells of a failure."""
    log = StepLog()
    try:
        async with open_session(account, log) as session:
            with log.step("list") as detail:
                mails = await session.listing()
                detail.append(f"{len(mails)} mails, {sum(one.size_bytes for one in mails)} bytes")
                if any(not one.uid for one in mails):
                    detail.append("without lasting ids, so that each visit reads them all again")
    except Pop3Error as error:
        tell(log, error)
    return tuple(log.steps)


# A test by name only; pytest must not collect it where it is imported.
test_connection.__test__ = False  # type: ignore[attr-defined]


async def _encrypt(wire: Pop3Wire, account: Pop3Account, log: StepLog) -> Mapping[str, Sequence[str]]:
    """Encrypt as the account asks, and hear the greeting and what the server can do."""
    if account.is_implicit_tls:
        with log.step("TLS") as detail:
            detail.append(await wire.start_tls())
    with log.step("greeting"):
        greeting = await wire.within("greeting", account.timeout_s, wire.line())
        if not greeting.startswith(b"+OK"):
            is_pop3 = greeting.startswith(b"-ERR")
            reason = "the server takes no sessions now" if is_pop3 else "the server broke the protocol: it greets so"
            raise wire.fail("greeting", reason, greeting)
    if not account.is_implicit_tls and account.tls is not Tls.NONE:
        with log.step("STLS") as detail:
            answer = await _ask(wire, "starttls", "STLS")
            if not answer.startswith(b"+OK"):
                raise wire.fail("starttls", "the server does not encrypt, so no password is sent", answer)
            detail.append(await wire.start_tls())
    return await _capabilities(wire, account)


async def _log_in(wire: Pop3Wire, account: Pop3Account, capabilities: Mapping[str, Sequence[str]]) -> str:
    """Log in and say how."""
    if not is_private(wire.transport):
        raise wire.fail("login", "the connection is not encrypted, so no password is sent over it")
    offered = capabilities.get("SASL", ())
    if account.token is not None:

        async def show(method: str, words: str, token: str) -> None:
            await _authenticate(wire, method, words, METHODS[method], token)

        method = await bear_token(account, account.token, offered, show, Pop3Error, Pop3AuthenticationError)
    elif "PLAIN" in offered:
        method = "PLAIN"
        await _authenticate(wire, method, sasl.plain(account.username, account.password), b"*", account.password)
    else:
        method = "USER"
        answer = await _ask(wire, "login", f"USER {account.username}")
        if answer.startswith(b"+OK"):
            answer = await _ask(wire, "login", f"PASS {account.password}")
        _require_login(account, answer, account.password)
    return f"{method} as {account.username}"


async def _authenticate(wire: Pop3Wire, method: str, words: str, dismissal: bytes, secret: str) -> None:
    """Log in by a SASL method; a challenge after the words is a refusal in disguise, which `dismissal` makes plain."""
    answer = await _ask(wire, "login", f"AUTH {method}")
    challenge = b""
    if answer.startswith(b"+ ") or answer == b"+":
        answer = await _ask(wire, "login", words)
        if answer.startswith(b"+ "):
            challenge = sasl.challenge_words(answer[2:])
            answer = await _ask(wire, "login", dismissal.decode("ascii"))
    _require_login(wire.account, answer, secret, words, challenge=challenge)


def _require_login(account: Pop3Account, answer: bytes, *secrets: str, challenge: bytes = b"") -> None:
    if answer.startswith(b"+OK"):
        return
    said = without_secrets(answer + (b" " + challenge if challenge else b""), *secrets)
    if answer.startswith(b"-ERR") and not _NOT_NOW.search(answer):
        raise Pop3AuthenticationError("login", str(account), f"the login as {account.username} is refused", said)
    raise Pop3Error("login", str(account), "the server does not take the login", said)


async def _capabilities(wire: Pop3Wire, account: Pop3Account) -> dict[str, list[str]]:
    """Return what the server says that it can do, by upper-case word; nothing where it knows no CAPA."""
    answer = await _ask(wire, "capa", "CAPA")
    if not answer.startswith(b"+OK"):
        return {}
    text = await wire.within("capa", account.timeout_s, wire.text(_CAPABILITY_BYTES))
    lines = [line.upper().decode("ascii", "replace").split() for line in text.splitlines()]
    return {line[0]: line[1:] for line in lines if line}


async def _ask(wire: Pop3Wire, step: str, command: str) -> bytes:
    wire.send(command)
    return await wire.within(step, wire.account.timeout_s, wire.line())
