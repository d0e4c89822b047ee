"""Which server sends a message, and whether it is left alone for a while.

The order is that of the documents: the author's own server, then the company's and the database's that may write as
this From domain, then the configuration. A server at fault is paused for all workers; its mail waits and burns no
retry (C7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from core import clock
from core.errors import ConfigError, UserError
from core.mail.address import domain_of, parse_address
from core.runtime import get_model, settings
from core.transport.smtp import SmtpAccount, Tls

log = structlog.get_logger(__name__)

CONFIG = "config"
_FAULTS_TOLERATED = 5
_LONGEST_PAUSE = timedelta(minutes=15)
NO_SERVER = "Make an OutgoingMailServer record that may write as this From address, or set SMTP_SERVER in config.yaml."


@dataclass(frozen=True, slots=True)
class Rate:
    """The most mails within a window of time, over all workers."""

    count: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Server:
    """A server that may send: `key` names it in pauses and pools.

    `concurrency` is connections at once per worker; `tracks` tells whether its mail may carry pixel and counted links.
    """

    key: str
    account: SmtpAccount
    user_id: int | None = None
    company_id: int | None = None
    from_domains: frozenset[str] = frozenset()
    concurrency: int = 1
    rates: tuple[Rate, ...] = ()
    tracks: bool = True

    def may_send(self, author_id: int | None, company_id: int | None, from_domain: str) -> bool:
        return (
            (self.user_id is None or self.user_id == author_id)
            and (self.company_id is None or self.company_id == company_id)
            and (not self.from_domains or from_domain in self.from_domains)
        )


@dataclass(frozen=True, slots=True)
class Servers:
    """All servers as they were a moment ago, best choice first, and the pauses."""

    candidates: tuple[Server, ...]
    paused_until: Mapping[str, datetime]
    left_out: tuple[str, ...] = ()
    """Why some servers cannot be used, each in a sentence."""

    def choose(self, author_id: int | None, company_id: int | None, from_address: str) -> Server | None:
        """Return the server for a message, or None where no one may send it."""
        domain = domain_of(from_address)
        return next((one for one in self.candidates if one.may_send(author_id, company_id, domain)), None)

    def for_message(self, message: Any) -> Server | None:
        """Return the server for a stored Message."""
        sender = parse_address(message.email_from).address
        return self.choose(message.author_id, message.company_id, sender)

    def none_for(self, sender: str) -> str:
        """Say why no server sends for `sender`."""
        return " ".join((f"No outgoing mail server may send as {sender}.", *self.left_out, NO_SERVER))


async def load_servers() -> Servers:
    """Read the servers and pauses: two queries."""
    records = await get_model("OutgoingMailServer").filter(active=True).order_by("priority", "id")
    ranked = sorted(records, key=lambda record: (record.user_id is None, record.company_id is None))
    candidates, left_out = [], []
    for record in ranked:
        try:
            candidates.append(server_of(record))
        except ConfigError as error:
            log.warning("mail server left out", server=record.name, error=str(error))
            left_out.append(f"{record.name} cannot be used: {error}")
    if settings().SMTP_SERVER:
        candidates.append(configured_server())
    pauses = await get_model("ServerPause").all()
    return Servers(tuple(candidates), {pause.server: pause.until_at for pause in pauses}, tuple(left_out))


def server_of(record: Any) -> Server:
    """Return an OutgoingMailServer record as a value."""
    tls = Tls(record.tls) if record.tls else (Tls.AUTO if record.use_ssl else Tls.NONE)
    account = SmtpAccount(
        host=record.server,
        port=record.port,
        tls=tls,
        username=record.username,
        password=record.password or "",
        verify=record.verify_certificate,
    )
    return Server(
        key=str(record.id),
        account=account,
        user_id=record.user_id,
        company_id=record.company_id,
        from_domains=frozenset(str(domain).casefold() for domain in record.from_domains),
        concurrency=record.concurrency or settings().SMTP_CONCURRENCY,
        rates=_rates(record.rate_per_second, record.rate_per_minute, record.rate_per_day),
        tracks=not record.disable_tracking,
    )


def configured_server() -> Server:
    """Return the server of the SMTP_* keys; UserError where none is set."""
    values = settings()
    if not values.SMTP_SERVER:
        raise UserError(NO_SERVER)
    account = SmtpAccount(
        host=values.SMTP_SERVER,
        port=values.SMTP_PORT,
        tls=Tls(values.smtp_tls),
        username=values.SMTP_USERNAME,
        password=values.SMTP_PASSWORD.get_secret_value(),
        verify=values.SMTP_VERIFY,
    )
    rates = _rates(values.SMTP_RATE_PER_SECOND, values.SMTP_RATE_PER_MINUTE, values.SMTP_RATE_PER_DAY)
    return Server(CONFIG, account, concurrency=values.SMTP_CONCURRENCY, rates=rates)


def _rates(per_second: int | None, per_minute: int | None, per_day: int | None) -> tuple[Rate, ...]:
    windows = ((per_second, 1), (per_minute, 60), (per_day, 86_400))
    return tuple(Rate(count, window_s) for count, window_s in windows if count)


async def note_fault(key: str, reason: str) -> timedelta:
    """Count a fault of a server and return how long it is left alone: not at all before the fifth in a row.

    Faults met by several connections at once, while the server is paused already, count for nothing.
    """
    model = get_model("ServerPause")
    pause, _ = await model.get_or_create(server=key, defaults={"until_at": clock.now(), "failures": 0})
    if pause.until_at > clock.now():
        left: timedelta = pause.until_at - clock.now()
        return left
    pause.failures += 1
    beyond = pause.failures - _FAULTS_TOLERATED
    wait = min(timedelta(seconds=30) * 2 ** min(beyond, 10), _LONGEST_PAUSE) if beyond >= 0 else timedelta(0)
    pause.until_at = clock.now() + wait
    pause.reason = reason
    await pause.save()
    return wait


async def note_success(key: str) -> None:
    """Forget the faults of a server that works again."""
    await get_model("ServerPause").filter(server=key).delete()
