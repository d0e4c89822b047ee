"""`OutgoingMailServer`: an SMTP account that mail leaves through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Unpack

import structlog

from core.access.method import api_method
from core.delivery.request import QueueOptions
from core.delivery.servers import (
    Choice,
    Overview,
    Server,
    configured_server,
    load_servers,
    note_success,
    overview,
    server_of,
)
from core.errors import ConfigError, UserError
from core.mail.address import domain_of, parse_address
from core.models.audited import Audited
from core.orm import fields
from core.orm.transaction import transaction
from core.pattern import pattern
from core.runtime import acting_user, get_model, settings
from core.transport.peer import PeerPolicy
from core.transport.smtp import Envelope, Step
from core.transport.smtp import test_connection as check_connection

log = structlog.get_logger(__name__)

_CONTROL = pattern(r"[\x00-\x1f\x7f]")


class OutgoingMailServer(Audited):
    """An SMTP account; with `user` set, that user's own."""

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=200, default="")
    """What people call it; the server's own name where nobody said."""
    server = fields.CharField(max_length=255)
    port = fields.IntField(default=587)
    use_ssl = fields.BooleanField(default=True)
    """True: implicit TLS on 465, STARTTLS on other ports unless `tls` says otherwise. False: no TLS."""
    tls = fields.SelectionField(
        {"": "By port", "auto": "Automatic", "implicit": "Implicit", "starttls": "STARTTLS", "none": "None"},
        default="",
    )
    verify_certificate = fields.BooleanField(default=True)
    username = fields.CharField(max_length=320, default="")
    password = fields.SecretField(default="")
    auth = fields.SelectionField(
        {"password": "Password", "oauth2": "Sign-in at the provider (OAuth 2)", "none": "None"}, default="password"
    )
    """How to log in; without a `username` nobody does."""
    oauth = fields.ForeignKeyField(
        "models.OAuthAccount", null=True, related_name="outgoing_servers", on_delete=fields.SET_NULL
    )
    oauth_id: int | None
    from_domains = fields.JSONField(default=list)
    """Domains that may stand in From; empty means any."""
    from_identities = fields.JSONField(default=list)
    """The senders that this server's users choose from: a list of `{"name", "email"}`."""
    disable_tracking = fields.BooleanField(default=False)
    """Mail through this server carries no pixel and no counted links."""
    concurrency = fields.IntField(null=True)
    """Connections at once per worker; null means SMTP_CONCURRENCY."""
    rate_per_second = fields.IntField(null=True)
    rate_per_minute = fields.IntField(null=True)
    rate_per_day = fields.IntField(null=True)
    """The most mails in such a time, over all workers; null means no limit."""
    user = fields.ForeignKeyField("models.User", null=True, related_name="mail_servers", on_delete=fields.CASCADE)
    company = fields.ForeignKeyField("models.Company", null=True, related_name="mail_servers", on_delete=fields.CASCADE)
    mail_account = fields.ForeignKeyField(
        "models.MailAccount", null=True, related_name="outgoing_servers", on_delete=fields.CASCADE
    )
    mail_account_id: int | None
    """The account that keeps this record in step with itself; then it sends that account's mail only."""
    priority = fields.IntField(default=10)
    active = fields.BooleanField(default=True)

    async def save(
        self,
        using_db: Any = None,
        update_fields: Iterable[str] | None = None,
        force_create: bool = False,
        force_update: bool = False,
    ) -> None:
        """Store the server; whatever it was paused for may be mended now, so it is tried again at once.

        Another host never gets the password or sign-in of the former one: both are forgotten unless they change too.
        Raises ConfigError for settings that cannot be used, and could be read as a second command.
        """
        self.name = self.name or (self.server or "")[:200]
        if await self._forget_login() and update_fields is not None:
            update_fields = {*update_fields, "password", "oauth_id"}
        server = await self._checked()
        await super().save(using_db, update_fields, force_create, force_update)
        await note_success(str(self.pk))
        if server.risks:
            log.warning("mail server with less protection", server=self.name, risks=server.risks)

    async def _forget_login(self) -> bool:
        """Forget the login where the host is another one; tells whether it is."""
        stored = await type(self).get_or_none(id=self.pk) if self.pk is not None else None
        if stored is None or stored.server.casefold() == self.server.casefold():
            return False
        if self.password == stored.password:
            self.password = ""
        if self.oauth_id == stored.oauth_id:
            self.oauth = None
        return True

    async def _checked(self) -> Server:
        """Return the record as a value; ConfigError for what cannot be used, UserError for identities that cannot."""
        for name in ("concurrency", "rate_per_second", "rate_per_minute", "rate_per_day"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} of {self.name} must be 1 or more; leave it empty for no limit of its own.")
        if _CONTROL.search(self.name):
            raise UserError("The name of a mail server must not contain control characters.")
        domains = self.from_domains
        if not isinstance(domains, list) or not all(isinstance(one, str) and one.strip() for one in domains):
            raise UserError(f"The From domains of {self.name} must be a list of domains.")
        if self.oauth_id is not None:
            await self.fetch_related("oauth")
        server = server_of(self)
        for identity in self.from_identities:
            address = parse_address(str(identity.get("email", "")) if isinstance(identity, dict) else "").address
            if server.from_domains and domain_of(address) not in server.from_domains:
                raise UserError(f"{self.name} may not write as {address}; add its domain to the From domains.")
        return server

    async def delete(self, *args: Any, **options: Any) -> None:
        """Delete the server, and with it what is on record against it."""
        await super().delete(*args, **options)
        await note_success(str(self.pk))

    @classmethod
    async def send_email(
        cls,
        author: Any,
        contact_emails: Sequence[str],
        subject: str,
        body: str,
        attachments: Sequence[Any] | None = None,
        tracking_identifier: str | None = None,
        use_company_branding: bool = True,
        include_signature: bool = True,
        company: Any = None,
        message: Any = None,
        send_immediately: bool = False,
        **options: Unpack[QueueOptions],
    ) -> Any:
        """Queue a mail, from a Contact or a User, and with `send_immediately` also send it now; returns the Message.

        The keywords are those of `Message.queue_email`. Sending now raises UserError, and leaves nothing queued, where
        no server may send for this author, and RuntimeError inside a transaction, whose rollback could not take the
        mail back.
        """
        async with transaction():
            queued = await get_model("Message").queue_email(
                author,
                contact_emails,
                subject,
                body,
                attachments,
                tracking_identifier,
                use_company_branding,
                include_signature,
                company,
                message,
                **options,
            )
            if send_immediately and settings().MAIL_MODE == "live":
                servers = await load_servers()
                if servers.for_message(queued) is None:
                    raise UserError(servers.none_for(queued.email_from))
        if send_immediately:
            await queued.send_now()
        return queued

    @api_method(scope="admin", title="Test the connection")
    async def test_connection(self, envelope: Envelope | None = None) -> tuple[Step, ...]:
        """Connect and log in step by step, each step timed and hinted at; no mail is sent and nothing is raised.

        With an `envelope` the server is also asked whether it would take a mail from and to these.
        """
        await self.fetch_related("oauth")
        try:
            server = server_of(self)
        except ConfigError as error:
            return (Step("settings", ok=False, detail=str(error), duration_ms=0, hint="Correct this server's record."),)
        return await _check(server, envelope)

    @classmethod
    async def overview(cls) -> list[Overview]:
        """Return every outgoing server with its pause, its fault and its risks, for the operator."""
        return await overview()

    @classmethod
    async def explain(cls, author: Any, sender: str) -> tuple[Choice, ...]:
        """Return the servers in the order in which they are asked for a mail of a User (or nobody) from `sender`."""
        address = parse_address(sender).address
        return (await load_servers()).explain(author and author.pk, author and author.company_id, address)

    @classmethod
    async def options(cls, user: Any) -> list[OutgoingMailServer]:
        """Return the servers that a user may write through, best choice first."""
        servers = await load_servers()
        usable = [
            one.key
            for one in servers.candidates
            if one.key.isdecimal() and not one.whose_else(user.pk, user.company_id)
        ]
        records = await cls.in_bulk([int(key) for key in usable], "id")
        return [records[int(key)] for key in usable if int(key) in records]

    @classmethod
    async def resume(cls, key: str) -> None:
        """Use a paused server again at once; `key` is that of its overview."""
        await note_success(key)

    @classmethod
    async def test_configured(cls, envelope: Envelope | None = None) -> tuple[Step, ...]:
        """Do the same for the server of the SMTP_* keys; UserError where none is set."""
        return await _check(configured_server(), envelope)


async def _check(server: Server, envelope: Envelope | None) -> tuple[Step, ...]:
    if settings().MAIL_MODE == "catch":
        detail = "MAIL_MODE is catch: no connection is opened."
        return (Step("mail mode", ok=False, detail=detail, duration_ms=0, hint="Set MAIL_MODE: live to send mail."),)
    if server.fault:
        return (Step("settings", ok=False, detail=server.fault, duration_ms=0),)
    account, user = server.account, acting_user()
    if user is not None and not user.is_admin:
        # Only an administrator may have us look around inside the network.
        account = replace(account, peers=PeerPolicy.of(settings().PRIVATE_HOSTS_ALLOWED))
    return await check_connection(account, envelope)
