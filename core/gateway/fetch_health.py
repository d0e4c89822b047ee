"""How a mailbox does: what a visit brought, when it is tried again, and who is told when it fails.

Pauses grow, with chance in them, by the database's clock. A failure that only a person can mend, a refused login, is
tried ever more seldom, and after a week the mailbox is switched off, which administrators are told of before and then.
Nothing else switches a mailbox off.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from shlex import quote
from typing import Any

import structlog

from core import clock
from core.errors import ConfigError
from core.gateway.fetch_lease import Lease
from core.runtime import get_model, runtime
from core.transport.mailbox_account import LoginRefused
from core.transport.mailbox_hints import hint_for

log = structlog.get_logger(__name__)

WATCH_TOPIC = "mailbox"
"""What the bell rings when a mailbox was made or changed."""
_FIRST_PAUSE_S = 60
_LONGEST_PAUSE_S = 3600
_REFUSED_PAUSE_S = 600
"""Servers lock a login that is refused again and again."""
_JITTER = 0.2
_TOLD_AFTER = 3
_OFF_AFTER = timedelta(days=7)
_OFF_AFTER_FAILURES = 10
_SHOWN_CHARACTERS = 2000
_LEFT_HINT = (
    "Fetch it with a mail program, or raise MAX_MAIL_BYTES where it is too large; it is tried again once a day."
)


class State(StrEnum):
    """How a mailbox stands."""

    OFF = "off"
    """Not active."""
    NEW = "new"
    """Never visited."""
    FAILING = "failing"
    """The last visit failed; it is tried again by itself."""
    WAITED_ON = "instant"
    """A worker waits in it and fetches what comes at once."""
    USED = "used"
    """Visited by the clock."""


@dataclass(slots=True)
class Fetched:
    """What one visit to a server brought: mails stored, copies only marked, what had to stay there, what went wrong.

    `more` says that the visit ended before the mailbox did; `skipped` why there was no visit at all; `hint` what to do
    about `error`.
    """

    server: str
    stored: int = 0
    known: int = 0
    left_behind: list[str] = field(default_factory=list)
    error: str = ""
    hint: str = ""
    more: bool = False
    skipped: str = ""
    is_refused: bool = False
    """Whether only a person can mend the error."""
    refusal: str = ""
    """What the server refused while all else went well: opening one of the folders, or marking what is stored."""

    def refuse(self, error: Exception) -> None:
        """Note what the server refused, though the visit went on."""
        self.refusal, self.hint = str(error), hint_for(error)

    def fail(self, error: Exception) -> None:
        """Note what ended the visit."""
        self.error, self.hint = str(error), hint_for(error)
        if isinstance(error, ConfigError):
            self.hint = "Correct the record of this server."
        self.is_refused = isinstance(error, LoginRefused | ConfigError)


def state_of(server: Any) -> State:
    """Return how an IncomingMailServer stands."""
    if not server.active:
        return State.OFF
    if server.failure_count:
        return State.FAILING
    if server.watch_until is not None and server.watch_until > clock.now():
        return State.WAITED_ON
    return State.USED if server.last_success_at else State.NEW


async def note(server: Any, lease: Lease, fetched: Fetched) -> None:
    """Write on the record what a visit came to, where the visit is still ours, and tell whom it concerns."""
    database = runtime().database
    dialect = database.dialect
    told = fetched.error or " ".join(filter(None, [fetched.refusal, *fetched.left_behind]))
    hint = fetched.hint or (_LEFT_HINT if told else "")
    if fetched.error:
        pause_s = _pause_s(server.failure_count, fetched.is_refused)
        outcome = f"""failure_count = failure_count + 1, next_fetch_at = {dialect.now(pause_s)},
                      failing_since_at = COALESCE(failing_since_at, {dialect.now()})"""
    else:
        outcome = f"failure_count = 0, failing_since_at = NULL, next_fetch_at = NULL, last_success_at = {dialect.now()}"
    noted = await database.fetch(
        f"""UPDATE incoming_mail_server SET last_error = {dialect.param(3)}, last_hint = {dialect.param(4)}, {outcome}
            WHERE id = {dialect.param(2)} AND {lease.right}_token = {dialect.param(1)}
            RETURNING failure_count""",
        [lease.token, lease.server_id, told.replace("\0", "")[:_SHOWN_CHARACTERS], hint],
    )
    if noted and fetched.error:
        log.warning("fetch failed", server=server.name, failures=noted[0]["failure_count"], error=fetched.error)
        await _tell(lease.server_id, int(noted[0]["failure_count"]), fetched)
    elif noted and fetched.refusal:
        await _tell_of_refusal(server, fetched)


def _pause_s(failures_before: int, is_refused: bool) -> float:
    first_s = _REFUSED_PAUSE_S if is_refused else _FIRST_PAUSE_S
    pause_s: float = min(first_s * 2 ** min(failures_before, 10), _LONGEST_PAUSE_S)
    return pause_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - jitter


async def _tell(server_id: int, failures: int, fetched: Fetched) -> None:
    server = await get_model("IncomingMailServer").get(id=server_id)
    since = server.failing_since_at or clock.now()
    is_over = fetched.is_refused and failures >= _OFF_AFTER_FAILURES and clock.now() - since >= _OFF_AFTER
    if is_over and await get_model("IncomingMailServer").filter(id=server_id, active=True).update(active=False):
        log.error("mailbox switched off", server=server.name, error=fetched.error)
        await get_model("Notification").tell_admins(
            f"The mailbox “{server.name}” is switched off",
            f"Its login has been refused since {since:%Y-%m-%d}: {fetched.error} {fetched.hint} Mail stays on its "
            f"server. Mend that, then switch it on: postroom inbound resume {quote(server.name)}",
        )
    elif failures >= _TOLD_AFTER or (failures == 1 and fetched.is_refused):
        ends = f" It is switched off on {since + _OFF_AFTER:%Y-%m-%d} if nothing changes." if fetched.is_refused else ""
        await get_model("Notification").tell_admins(
            f"No mail is fetched from “{server.name}”",
            f"{fetched.error} {fetched.hint} It is tried again now and then; mail waits on its server.{ends} "
            f"See the page Servers, or run: postroom server test {quote(server.name)}",
        )


async def _tell_of_refusal(server: Any, fetched: Fetched) -> None:
    log.warning("the mail server refused something", server=server.name, error=fetched.refusal)
    await get_model("Notification").tell_admins(
        f"The mailbox “{server.name}” needs a look",
        f"{fetched.refusal}. {fetched.hint} Its mail is fetched; what was to be marked, moved or deleted stays.",
    )
