"""Which server sends a message, and whether it is left alone for a while.

The one that the mail names, where it names one. Else the order: the author's own server, the company's, one whose
allow-list names the From domain, any other record, the configuration; in each group by priority. A server at fault is
paused for all workers, by the database's clock; its mail waits and burns no retry (C7). Nothing here sends.
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
from core.orm.fields import readable
from core.runtime import get_model, runtime, settings
from core.transport.peer import PeerPolicy
from core.transport.smtp import SmtpAccount, Tls
from core.transport.tls import tls_of

log = structlog.get_logger(__name__)

CONFIG = "config"
SYSTEM = "system"
"""The key of the server that the SYSTEM_MAIL_* keys describe; it sends what the host itself has to say."""
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_FAULTS_TOLERATED = 5
_FIRST_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(minutes=15)
_MENDED_BY_HAND = timedelta(minutes=1)
"""Mail of a server that only a person can mend looks again so often."""
_NAMED_GONE = (
    "The mail server that this mail was queued for does not send it: it is switched off or gone, or may not write as "
    "{sender}. Mend that server, or queue the mail anew."
)
NO_SERVER = "Make an OutgoingMailServer record that may write as this From address, or set SMTP_SERVER in config.yaml."


@dataclass(frozen=True, slots=True)
class Rate:
    """The most mails within a window of time, over all workers."""

    count: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Server:
    """A server that may send: `key` names it in pauses and pools, `name` to people.

    `concurrency` is connections at once per worker; `tracks` tells whether its mail may carry pixel and counted links.
    With a `fault` it is not connected to: its mail waits until a person has mended what the words say. One that
    `is_reserved` sends only the mail that names it.
    """

    key: str
    account: SmtpAccount
    user_id: int | None = None
    company_id: int | None = None
    from_domains: frozenset[str] = frozenset()
    concurrency: int = 1
    rates: tuple[Rate, ...] = ()
    tracks: bool = True
    name: str = ""
    fault: str = ""
    is_reserved: bool = False

    def __hash__(self) -> int:
        """Asked for each mail; those that are equal have the same key."""
        return hash(self.key)

    def may_send(self, author_id: int | None, company_id: int | None, from_domain: str) -> bool:
        return not self.why_not(author_id, company_id, from_domain)

    def why_not(self, author_id: int | None, company_id: int | None, from_domain: str) -> str:
        """Say why this server does not send such mail; empty where it may."""
        return self.whose_else(author_id, company_id) or self._not_as(from_domain)

    def whose_else(self, author_id: int | None, company_id: int | None) -> str:
        """Say whose server this is, if neither this author's nor everyone's; else empty."""
        if self.is_reserved:
            return "it sends only the mail that was queued for it"
        if self.user_id is not None and self.user_id != author_id:
            return "it is another user's own server"
        if self.company_id is not None and self.company_id != company_id:
            return "it is another company's server"
        return ""

    def _not_as(self, from_domain: str) -> str:
        if not self.from_domains or from_domain in self.from_domains:
            return ""
        return f"it may write as {', '.join(sorted(self.from_domains))} only, not as {from_domain}"

    @property
    def risks(self) -> tuple[str, ...]:
        """What the operator switched off of this server's protection, each in words; nothing is at risk within here."""
        words: list[str] = []
        if self.account.host in _HERE:
            return ()
        if self.account.tls is Tls.NONE:
            words.append("mail travels without TLS")
        elif not self.account.verify:
            words.append("any certificate is accepted")
        return tuple(words)

    @property
    def protection(self) -> str:
        """How its mail travels, in words."""
        is_plain = self.account.tls is Tls.NONE
        return ", ".join(self.risks) or ("no TLS, on this machine" if is_plain else "certificate checked")


@dataclass(frozen=True, slots=True)
class Choice:
    """One server as `explain` tells it; `why_not` is empty where it could send, `is_chosen` marks the one that does."""

    server: Server
    why_not: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """One server for the operator: `server` is None where its record cannot be used, `reason` says why it is idle."""

    key: str
    name: str
    is_active: bool
    server: Server | None
    paused_until: datetime | None = None
    failures: int = 0
    reason: str = ""

    @property
    def state(self) -> str:
        """off, stopped (its record cannot be used), paused, failing (paused before, not tried again yet) or used."""
        if not self.is_active:
            return "off"
        if self.server is None or self.server.fault:
            return "stopped"
        if self.paused_until:
            return "paused"
        return "failing" if self.failures >= _FAULTS_TOLERATED else "used"


@dataclass(frozen=True, slots=True)
class Servers:
    """All servers as they were a moment ago, best choice first, and the pauses."""

    candidates: tuple[Server, ...]
    paused_until: Mapping[str, datetime]
    """By this process's clock, though the database's decides."""
    left_out: tuple[str, ...] = ()
    """Why some servers cannot be used, each in a sentence."""

    def choose(
        self, author_id: int | None, company_id: int | None, from_address: str, named: str | None = None
    ) -> Server | None:
        """Return the server for a message, which may have `named` one by its key; None where no one may send it."""
        domain = domain_of(from_address)
        if named is not None:
            return next((one for one in self.candidates if one.key == named and not one._not_as(domain)), None)
        return next((one for one in self.candidates if one.may_send(author_id, company_id, domain)), None)

    def explain(self, author_id: int | None, company_id: int | None, from_address: str) -> tuple[Choice, ...]:
        """Return every server in the order in which it is asked, each with the reason why it is passed over."""
        chosen, domain = self.choose(author_id, company_id, from_address), domain_of(from_address)
        return tuple(Choice(one, one.why_not(author_id, company_id, domain), one is chosen) for one in self.candidates)

    def may_send_as(self, author_id: int | None, company_id: int | None, from_address: str) -> bool:
        """Tell whether the allow-lists let anybody write as this address; so they do where no server is there yet."""
        mine = [one for one in self.candidates if not one.whose_else(author_id, company_id)]
        domain = domain_of(from_address)
        return not mine or any(not one._not_as(domain) for one in mine)

    def require_sender(
        self, author_id: int | None, company_id: int | None, from_address: str, named: str | None = None
    ) -> None:
        """Refuse mail that no server will ever take, before it is queued: UserError (400)."""
        if named is not None:
            if self.choose(author_id, company_id, from_address, named) is None:
                raise UserError(self.none_for(from_address, named))
            return
        if not self.may_send_as(author_id, company_id, from_address):
            allowed = sorted({domain for one in self.candidates for domain in one.from_domains})
            raise UserError(
                f"No outgoing mail server may send as {from_address}; the servers here write as {', '.join(allowed)}. "
                "Use such a From address, or add its domain to a server's From domains."
            )

    def for_message(self, message: Any) -> Server | None:
        """Return the server for a stored Message."""
        sender = parse_address(message.email_from).address
        return self.choose(message.author_id, message.company_id, sender, message.server)

    def none_for(self, sender: str, named: str | None = None) -> str:
        """Say why no server sends for `sender`, or why the named one does not."""
        if named is not None:
            return " ".join((_NAMED_GONE.format(sender=sender), *self.left_out))
        return " ".join((f"No outgoing mail server may send as {sender}.", *self.left_out, NO_SERVER))


async def load_servers() -> Servers:
    """Read the servers and pauses: three queries at the most."""
    records = (
        await get_model("OutgoingMailServer").filter(active=True).order_by("priority", "id").select_related("oauth")
    )
    candidates, left_out = [], []
    for record in sorted(records, key=_rank):
        try:
            candidates.append(server_of(record))
        except ConfigError as error:
            log.warning("mail server left out", server=record.name, error=str(error))
            left_out.append(f"{record.name} cannot be used: {error}")
    candidates += _of_settings()
    now = clock.now()
    paused = {key: now + timedelta(seconds=left_s) for key, left_s in (await pauses()).items()}
    paused |= {one.key: now + _MENDED_BY_HAND for one in candidates if one.fault}
    return Servers(tuple(candidates), paused, tuple(left_out))


async def overview() -> list[Overview]:
    """Return every outgoing server, switched off or not, in the order of their names; the configured one first."""
    records = await get_model("OutgoingMailServer").all().order_by("name", "id").select_related("oauth")
    known = [(str(one.pk), one.name, one.active, *_server_or_fault(one)) for one in records]
    known = [*((one.key, one.name, True, one, "") for one in _of_settings()), *known]
    stored = {one.server: one for one in await get_model("ServerPause").all()}
    left_s = await pauses()
    rows = []
    for key, name, is_active, server, fault in known:
        pause = stored.get(key)
        until = pause.until_at if pause and left_s.get(key, 0) > 0 else None
        reason = fault or (pause.reason if pause else "")
        rows.append(Overview(key, name, is_active, server, until, pause.failures if pause else 0, reason))
    return rows


async def pauses() -> dict[str, float]:
    """Return for how many seconds each server with faults on record is left alone yet; under 0, it is tried."""
    database = runtime().database
    rows = await database.fetch(
        f"SELECT server, {database.dialect.seconds_until('until_at')} AS left_s FROM server_pause"
    )
    return {row["server"]: float(row["left_s"]) for row in rows}


def server_of(record: Any) -> Server:
    """Return an OutgoingMailServer record, its `oauth` loaded, as a value; ConfigError for one that makes no sense."""
    uses_oauth = record.auth == "oauth2"
    fault = _fault_of(record)
    account = SmtpAccount(
        host=record.server,
        port=record.port,
        tls=_tls_of(record),
        username="" if record.auth == "none" or (uses_oauth and fault) else record.username,
        password="" if fault or record.auth != "password" else record.password or "",
        token=get_model("OAuthAccount").tokens(record.oauth_id) if uses_oauth and not fault else None,
        verify=record.verify_certificate,
        peers=PeerPolicy.of(settings().PRIVATE_HOSTS_ALLOWED) if record.user_id is not None else None,
    )
    return Server(
        key=str(record.id),
        account=account,
        user_id=record.user_id,
        company_id=record.company_id,
        from_domains=frozenset(_domain(str(domain)) for domain in record.from_domains),
        concurrency=record.concurrency or settings().SMTP_CONCURRENCY,
        rates=_rates(record.rate_per_second, record.rate_per_minute, record.rate_per_day),
        tracks=not record.disable_tracking,
        name=record.name,
        fault=fault,
        is_reserved=record.mail_account_id is not None,
    )


def _tls_of(record: Any) -> Tls:
    if not record.tls:
        return Tls.AUTO if record.use_ssl else Tls.NONE
    try:
        return Tls(record.tls)
    except ValueError:
        raise ConfigError(f'tls of {record.name} is "{record.tls}"; it is one of {", ".join(Tls)}.') from None


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
    return Server(CONFIG, account, concurrency=values.SMTP_CONCURRENCY, rates=rates, name=CONFIG)


def system_server() -> Server:
    """Return the server of the SYSTEM_MAIL_* keys; UserError where none is set."""
    values = settings()
    if not values.SYSTEM_MAIL_SMTP_SERVER:
        raise UserError("No mail server is set for system mail; set SYSTEM_MAIL_SMTP_SERVER in config.yaml.")
    account = SmtpAccount(
        host=values.SYSTEM_MAIL_SMTP_SERVER,
        port=values.SYSTEM_MAIL_SMTP_PORT,
        tls=tls_of(
            values.SYSTEM_MAIL_SMTP_SERVER,
            values.SYSTEM_MAIL_SMTP_PORT,
            usessl=values.SYSTEM_MAIL_USESSL,
            starttls=values.SYSTEM_MAIL_STARTTLS,
        ),
        username=values.SYSTEM_MAIL_USERNAME,
        password=values.SYSTEM_MAIL_PASSWORD.get_secret_value(),
        verify=values.SYSTEM_MAIL_SMTP_VALID_CERT,
    )
    return Server(SYSTEM, account, concurrency=values.SMTP_CONCURRENCY, name=SYSTEM, tracks=False, is_reserved=True)


def _of_settings() -> list[Server]:
    """Return the servers that the configuration describes."""
    values = settings()
    configured = [configured_server()] if values.SMTP_SERVER else []
    return configured + ([system_server()] if values.SYSTEM_MAIL_SMTP_SERVER else [])


async def note_fault(key: str, reason: str) -> timedelta:
    """Count a fault of a server and return how long it is left alone: not at all before the fifth in a row.

    Faults met by several connections at once, while the server is paused already, count for nothing.
    """
    database = runtime().database
    param, now, after = database.dialect.param, database.dialect.now(), database.dialect.after
    await database.execute(
        f"""INSERT INTO server_pause (server, until_at, failures, reason) VALUES ({param(1)}, {now}, 0, '')
            ON CONFLICT (server) DO NOTHING""",
        [key],
    )
    counted = await database.fetch(
        f"""UPDATE server_pause SET failures = failures + 1, reason = {param(2)}
            WHERE server = {param(1)} AND until_at <= {now} RETURNING failures""",
        [key, reason.replace("\0", "")],
    )
    if not counted:
        return timedelta(seconds=max((await pauses()).get(key, 0.0), 0.0))
    failures = int(counted[0]["failures"])
    wait = _pause_after(failures)
    if wait:
        await database.execute(
            f"""UPDATE server_pause SET until_at = {after(param(3))}
                WHERE server = {param(1)} AND failures = {param(2)}""",
            [key, failures, wait.total_seconds()],
        )
    if failures == _FAULTS_TOLERATED:
        await _tell_admins(key, reason)
    return wait


async def note_success(key: str) -> None:
    """Forget the faults of a server that works again."""
    await get_model("ServerPause").filter(server=key).delete()


def _pause_after(failures: int) -> timedelta:
    beyond = failures - _FAULTS_TOLERATED
    return min(_FIRST_PAUSE * 2 ** min(beyond, 10), _LONGEST_PAUSE) if beyond >= 0 else timedelta(0)


async def _tell_admins(key: str, reason: str) -> None:
    record = await get_model("OutgoingMailServer").get_or_none(id=int(key)) if key.isdecimal() else None
    name = record.name if record is not None else key
    await get_model("Notification").tell_admins(
        f"The mail server “{name}” is paused",
        f"It failed {_FAULTS_TOLERATED} times in a row: {reason}. Its mail waits, and it is tried again now and then. "
        f"See its page, or run `postroom server test {name!r}`.",
    )


def _rank(record: Any) -> int:
    """Order servers by how closely they belong to a message; the sort keeps priority within each group."""
    belongs = (record.user_id is not None, record.company_id is not None, bool(record.from_domains), True)
    return belongs.index(True)


def _server_or_fault(record: Any) -> tuple[Server | None, str]:
    try:
        server = server_of(record)
    except ConfigError as error:
        return None, str(error)
    return server, server.fault


def _fault_of(record: Any) -> str:
    """Say what a person must mend before this server can be used; empty where nothing is known."""
    if record.auth == "password":
        try:
            readable(record.password, f"The password of {record.name}")
        except ConfigError as error:
            return str(error)
    if record.auth != "oauth2":
        return ""
    if record.oauth is None:
        return f"{record.name} logs in by a sign-in, and none is chosen; choose one on its page."
    if not record.username:
        return f"{record.name} needs the username that it logs in as: the mailbox's address."
    fault: str = record.oauth.fault
    return fault


def _domain(text: str) -> str:
    """Return a domain that a person wrote as `domain_of` returns an address's."""
    return domain_of("@" + text.strip().removeprefix("@").rstrip("."))


def _rates(per_second: int | None, per_minute: int | None, per_day: int | None) -> tuple[Rate, ...]:
    windows = ((per_second, 1), (per_minute, 60), (per_day, 86_400))
    return tuple(Rate(count, window_s) for count, window_s in windows if count)
