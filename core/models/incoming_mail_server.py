"""`IncomingMailServer`: a mailbox that mail is fetched from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import structlog

from core.access.method import api_method
from core.cron.method import cron_method
from core.cron.runner import Progress
from core.errors import ConfigError, UserError
from core.gateway.fetch import Fetched, check_server, fetch_all, fetch_server, folders_of
from core.gateway.fetch_account import account_of
from core.gateway.fetch_health import WATCH_TOPIC, State, state_of
from core.gateway.receive import process_pending
from core.models.audited import Audited
from core.orm import fields
from core.orm.transaction import after_commit
from core.runtime import acting_user, get_model, runtime
from core.transport.imap import Folder
from core.transport.imap_names import folder_argument
from core.transport.step import Step

log = structlog.get_logger(__name__)

_MOST_FOLDERS = 50
_LOGIN = ("server", "username", "protocol")
"""Where one of these is another, it is another mailbox."""
_WAYS = (*_LOGIN, "port", "use_ssl", "tls", "verify_certificate", "password", "oauth_id", "folders", "active")
_OWN = (
    *("last_success_at", "next_fetch_at", "failure_count", "failing_since_at", "last_error", "last_hint"),
    *("lease_token", "lease_until", "watch_token", "watch_until"),
)


class IncomingMailServer(Audited):
    """An IMAP or POP3 account. The fields from `last_success_at` on belong to the fetcher."""

    _private = ("lease_token", "watch_token")

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=200, default="")
    """What people call it; the server's own name where nobody said."""
    protocol = fields.SelectionField({"imap": "IMAP", "pop3": "POP3"}, default="imap")
    server = fields.CharField(max_length=255)
    port = fields.IntField(default=993)
    """993 stands for 995 where the protocol is POP3."""
    use_ssl = fields.BooleanField(default=True)
    """True: implicit TLS on 993 and 995, STARTTLS on other ports unless `tls` says otherwise. False: no TLS."""
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
    """The names of the IMAP folders to fetch from; the first one is waited on. POP3 knows one folder only."""
    old_mail = fields.SelectionField(
        {
            "unseen": "What is unread, of the last days",
            "since": "All of the last days, read or not",
            "all": "All",
            "none": "None",
        },
        default="unseen",
    )
    """Which mail is taken that was there before the first visit; what comes later is taken in any case."""
    old_mail_days = fields.IntField(default=7)
    """How many days those last days are."""
    after_fetch = fields.SelectionField(
        {"seen": "Mark it as read", "keep": "Leave it as it is", "move": "Move it", "delete": "Delete it"},
        default="seen",
    )
    """What happens to a mail there once it is stored here; POP3 can only leave or delete it."""
    move_to = fields.CharField(max_length=255, default="")
    """The folder for `after_fetch` move."""
    instant = fields.BooleanField(default=True)
    """A worker waits in the first folder (IMAP IDLE) and fetches what comes at once; else it is asked by the clock."""
    public_host_only = fields.BooleanField(default=False)
    """Connect to public addresses only; so it is where the host was named by somebody who is no administrator."""
    mail_account = fields.ForeignKeyField(
        "models.MailAccount", null=True, related_name="incoming_servers", on_delete=fields.CASCADE
    )
    mail_account_id: int | None
    """The account that keeps this record in step with itself, and whose storage its mail goes into."""
    active = fields.BooleanField(default=True)
    mailbox_number = fields.IntField(default=0)
    """Grows when the record comes to mean another mailbox, so that mails of the two are never taken for one another."""
    last_success_at = fields.DatetimeField(null=True)
    next_fetch_at = fields.DatetimeField(null=True)
    """Not before this time, while the server is failing."""
    failure_count = fields.IntField(default=0)
    failing_since_at = fields.DatetimeField(null=True)
    last_error = fields.TextField(default="")
    """Why the last visit failed, or which mails had to stay on the server."""
    last_hint = fields.TextField(default="")
    """What to do about it."""
    lease_token = fields.CharField(max_length=32, null=True)
    lease_until = fields.DatetimeField(null=True)
    """While one worker visits the mailbox, no other does."""
    watch_token = fields.CharField(max_length=32, null=True)
    watch_until = fields.DatetimeField(null=True)
    """While one worker waits in the mailbox, no other does."""

    async def save(
        self,
        using_db: Any = None,
        update_fields: Iterable[str] | None = None,
        force_create: bool = False,
        force_update: bool = False,
    ) -> None:
        """Store the server; whatever it failed for may be mended now, so it is visited again at once.

        Another host never gets the login of the former one: both password and sign-in are forgotten unless they change
        too. Raises ConfigError for settings that cannot be used, and could be read as a second command.
        """
        self.name = self.name or (self.server or "")[:200]
        if self.protocol == "pop3" and self.port == 993:
            self.port = 995
        stored = await type(self).get_or_none(id=self.pk) if self.pk is not None else None
        if update_fields is None and stored is not None:
            # What the fetcher wrote since this record was read is the newer word.
            update_fields = [name for name in self._meta.db_fields if name not in (*_OWN, "id")]
        changed = set(_WAYS) if stored is None else {one for one in _WAYS if getattr(self, one) != getattr(stored, one)}
        others = {*self._forget_login(stored), *self._become_another(changed, stored)}
        self._refuse_unusable()
        await super().save(using_db, update_fields and {*update_fields, *others}, force_create, force_update)
        if stored is not None and changed:
            await self._begin_anew(is_another=not changed.isdisjoint(_LOGIN))
        else:
            await after_commit(_ring)

    def _forget_login(self, stored: Any) -> set[str]:
        """Forget the login where the host is another one; return the names of the changed columns."""
        if stored is None or stored.server.casefold() == self.server.casefold():
            return set()
        if self.password == stored.password:
            self.password = ""
        if self.oauth_id == stored.oauth_id:
            self.oauth = None
        return {"password", "oauth_id"}

    def _become_another(self, changed: set[str], stored: Any) -> set[str]:
        """Count another mailbox, and note who named the host; return the names of the changed columns."""
        user = acting_user()
        if user is not None and not user.is_admin:
            # Nor does anybody else let a host be inside of our network.
            was_confined = stored is not None and stored.public_host_only
            self.public_host_only = self.public_host_only or was_confined or "server" in changed
        if stored is not None and not changed.isdisjoint(_LOGIN):
            self.mailbox_number = stored.mailbox_number + 1
        return {"public_host_only", "mailbox_number"}

    def _refuse_unusable(self) -> None:
        if self.username:
            account_of(self)
        names = self.folders
        if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
            raise UserError(f"The folders of {self.name} must be a list of names, such as INBOX.")
        if len(names) > _MOST_FOLDERS or len(set(names)) < len(names):
            raise UserError(f"The folders of {self.name} must be {_MOST_FOLDERS} at the most, each named once.")
        if self.after_fetch == "move" and not self.move_to:
            raise ConfigError(f"{self.name} moves what it fetched; name the folder: move_to, or --move-to FOLDER.")
        for name in (*names, *([self.move_to] if self.after_fetch == "move" else [])):
            folder_argument(name)
            if len(name) > 255 or "*" in name or "%" in name:
                raise ConfigError(f"Mail folder {name[:60]!r} is no single folder; name each one by its whole name.")
        if self.after_fetch == "move" and (self.protocol == "pop3" or self.move_to in names):
            raise UserError(
                f"{self.name} cannot move mail there: POP3 has no folders, and a folder that is fetched from "
                "would bring it again."
            )
        if self.old_mail_days < 0:
            raise UserError(f"old_mail_days of {self.name} must be 0 (of any age) or more.")

    async def _begin_anew(self, *, is_another: bool) -> None:
        """Visit the server at once, and forget what was known of another mailbox."""
        if is_another:
            await get_model("MailFolder").filter(server_id=self.pk).delete()
            await get_model("MailUid").filter(server_id=self.pk).delete()
        await self.resume()

    @classmethod
    @cron_method
    async def fetch_emails_from_all_servers(cls) -> Progress:
        """Fetch what is new from every active server, and deal with all mail that waits."""
        visits: list[Fetched] = []
        try:
            visits = await fetch_all()
        finally:
            report = await process_pending()
            await get_model("Mail").deal_with_arrivals()
        return Progress(report.count, more=any(visit.more for visit in visits))

    @api_method(scope="mail", title="Fetch now")
    async def fetch(self) -> Fetched:
        """Fetch what is new from this server into the spool now, even while it is paused after a failure."""
        return await fetch_server(self)

    @api_method(scope="admin", title="Use again at once")
    async def resume(self) -> None:
        """Forget the failures, so that the server is visited at once."""
        await type(self).filter(id=self.pk).update(failure_count=0, failing_since_at=None, next_fetch_at=None)
        await self.refresh_from_db()
        await after_commit(_ring)

    @api_method(scope="admin", title="Test the connection")
    async def test_connection(self) -> tuple[Step, ...]:
        """Try each step that fetching takes, short of fetching; a failed one says what to do."""
        return await check_server(self)

    @api_method(scope="admin", title="List the folders")
    async def folder_list(self) -> tuple[Folder, ...]:
        """Ask the server for its folders and what each is for; POP3 has one. Raises TransportError."""
        return await folders_of(self)

    @property
    def state(self) -> State:
        """How it stands, in one word."""
        return state_of(self)


async def _ring() -> None:
    await runtime().bell.ring(WATCH_TOPIC)
