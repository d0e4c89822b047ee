"""`IncomingMailServer`: a mailbox that mail is fetched from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.cron.method import cron_method
from core.cron.runner import Progress
from core.gateway.fetch import Fetched, check_server, fetch_all, fetch_server
from core.gateway.receive import process_pending
from core.orm import fields
from core.orm.record import Record
from core.transport.step import Step


class IncomingMailServer(Record):
    """An IMAP account. The fields from `last_success_at` on belong to the fetcher."""

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=200)
    server = fields.CharField(max_length=255)
    port = fields.IntField(default=993)
    use_ssl = fields.BooleanField(default=True)
    """True: implicit TLS on 993, STARTTLS on other ports unless `tls` says otherwise. False: no TLS."""
    tls = fields.SelectionField(
        {"": "By port", "implicit": "Implicit", "starttls": "STARTTLS", "none": "None"}, default=""
    )
    verify_certificate = fields.BooleanField(default=True)
    username = fields.CharField(max_length=320, default="")
    password = fields.SecretField(default="")
    oauth = fields.ForeignKeyField(
        "models.OAuthAccount", null=True, related_name="incoming_servers", on_delete=fields.SET_NULL
    )
    oauth_id: int | None
    """The sign-in at the provider that takes the place of the password."""
    folders = fields.JSONField(default=lambda: ["INBOX"])
    active = fields.BooleanField(default=True)
    last_success_at = fields.DatetimeField(null=True)
    next_fetch_at = fields.DatetimeField(null=True)
    """Not before this time, while the server is failing."""
    failure_count = fields.IntField(default=0)
    last_error = fields.TextField(default="")
    """Why the last visit failed, or which mails had to stay on the server."""
    lease_token = fields.CharField(max_length=32, null=True)
    lease_until = fields.DatetimeField(null=True)

    async def save(
        self,
        using_db: Any = None,
        update_fields: Iterable[str] | None = None,
        force_create: bool = False,
        force_update: bool = False,
    ) -> None:
        """Store the server. Another host never gets the login of the former one, unless that changes too."""
        stored = await type(self).get_or_none(id=self.pk) if self.pk is not None else None
        if stored is not None and stored.server.casefold() != self.server.casefold():
            if self.password == stored.password:
                self.password = ""
            if self.oauth_id == stored.oauth_id:
                self.oauth = None
            if update_fields is not None:
                update_fields = {*update_fields, "password", "oauth_id"}
        await super().save(using_db, update_fields, force_create, force_update)

    @classmethod
    @cron_method
    async def fetch_emails_from_all_servers(cls) -> Progress:
        """Fetch what is unread from every active server, and deal with all mail that waits."""
        visits: list[Fetched] = []
        try:
            visits = await fetch_all()
        finally:
            report = await process_pending()
        return Progress(report.count, more=any(visit.more for visit in visits))

    async def fetch(self) -> Fetched:
        """Fetch what is unread from this server into the spool now, even while it is paused after a failure."""
        return await fetch_server(self)

    async def test_connection(self) -> tuple[Step, ...]:
        """Try each step that fetching takes, short of fetching; the last one tells of a failure."""
        return await check_server(self)
