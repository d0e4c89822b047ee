"""Visits to mail accounts: pulling what is new, pushing what waits, or both, and what came of it in words for members.

An account that fails stops no other. Members are told that a server failed, never its address or what it said: those
are for administrators, on the page of the servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.delivery import stored_mail
from core.delivery.stored_mail import Pushed
from core.errors import ConfigError, PostroomError
from core.gateway.fetch import Fetched
from core.gateway.stored_mail import deal_with_arrivals
from core.runtime import acting_as, get_model
from core.transport.step import Step

_ACCOUNTS_AT_ONCE = 4
_ROUNDS = 5
"""A mailbox with more than so many visits' worth says that there is more."""
_REFUSED = "The mail server refused the login, or the account's settings cannot be used; tell an administrator."
_BROKEN = "The mail server could not be reached, or broke off; what waits is tried again."
_UNSENT = "The mail server takes no mail just now; what waits stays in the queue and is tried again."
_FAULTY = "The account's settings cannot be used; tell an administrator."


@dataclass(frozen=True, slots=True)
class Ways:
    """What a visit is for; `debug` asks for each step of a connection."""

    pull: bool
    push: bool
    debug: bool = False


@dataclass(slots=True)
class AccountVisit:
    """What came of a visit. `pulled` are new mails, `more` says that the mailbox holds further ones."""

    account: str
    pulled: int = 0
    more: bool = False
    pushed: Pushed = field(default_factory=Pushed)
    skipped: str = ""
    errors: list[str] = field(default_factory=list)
    steps: list[tuple[str, Step]] = field(default_factory=list)
    """Each with the protocol that it is of."""


async def visit_all(accounts: Sequence[Any], ways: Ways, author: Any) -> list[AccountVisit]:
    """Visit some accounts, a few at a time, in the order given; never raises for one."""
    gate = asyncio.Semaphore(_ACCOUNTS_AT_ONCE)

    async def one(account: Any) -> AccountVisit:
        async with gate:
            return await _visit(account, ways, author)

    return list(await asyncio.gather(*map(one, accounts)))


async def _visit(account: Any, ways: Ways, author: Any) -> AccountVisit:
    visit = AccountVisit(account.account)
    # The servers are the administrator's word; who asks for the visit has no say in where they are.
    with acting_as(None):
        for is_wanted, go in ((ways.pull, _pull), (ways.push, _push)):
            if is_wanted:
                await _guarded(go, account, visit, ways.debug, author)
    return visit


async def _guarded(go: Any, account: Any, visit: AccountVisit, debug: bool, author: Any) -> None:
    try:
        await go(account, visit, debug, author)
    except ConfigError:
        visit.errors.append(_FAULTY)
    except PostroomError:
        visit.errors.append(_BROKEN)


async def _pull(account: Any, visit: AccountVisit, debug: bool, _author: Any) -> None:
    server = await get_model("IncomingMailServer").get_or_none(mail_account_id=account.pk)
    if server is None:
        visit.skipped = "The account has no mail_pop3_server, so nothing is fetched."
        return
    if debug:
        visit.steps += [("pop3", step) for step in await server.test_connection()]
    for _ in range(_ROUNDS):
        fetched = await server.fetch()
        _note(fetched, visit)
        if fetched.error or not fetched.more:
            break
    await deal_with_arrivals(account.pk)


def _note(fetched: Fetched, visit: AccountVisit) -> None:
    visit.pulled += fetched.stored
    visit.more = fetched.more
    visit.skipped = fetched.skipped
    if fetched.error:
        visit.errors.append(_REFUSED if fetched.is_refused else _BROKEN)


async def _push(account: Any, visit: AccountVisit, debug: bool, author: Any) -> None:
    server = await get_model("OutgoingMailServer").get_or_none(mail_account_id=account.pk)
    if debug and server is not None:
        visit.steps += [("smtp", step) for step in await server.test_connection()]
    visit.pushed = await stored_mail.push(account, author)
    if server is not None and await get_model("ServerPause").filter(server=str(server.pk), failures__gt=0).exists():
        visit.errors.append(_UNSENT)
