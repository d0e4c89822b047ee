"""`OutgoingMailServer`: an SMTP account that mail leaves through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.delivery.servers import configured_server, load_servers, note_success, server_of
from core.errors import UserError
from core.orm import fields
from core.orm.record import Record
from core.runtime import get_model, settings
from core.transport.smtp import SmtpAccount, Step
from core.transport.smtp import test_connection as check_connection


class OutgoingMailServer(Record):
    """An SMTP account; with `user` set, that user's own."""

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=200)
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
    priority = fields.IntField(default=10)
    active = fields.BooleanField(default=True)

    async def save(self, *args: Any, **options: Any) -> None:
        """Store the server; whatever it was paused for may be mended now, so it is tried again at once."""
        await super().save(*args, **options)
        await note_success(str(self.pk))

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
    ) -> Any:
        """Queue a mail, from a Contact or a User, and with `send_immediately` also send it now; returns the Message.

        The keywords are those of `Message.queue_email`. Sending now raises UserError where no server may send for this
        author, and RuntimeError inside a transaction, whose rollback could not take the mail back.
        """
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
        )
        if send_immediately:
            servers = await load_servers()
            if settings().MAIL_MODE == "live" and servers.for_message(queued) is None:
                await queued.cancel()
                raise UserError(servers.none_for(queued.email_from))
            await queued.send_now()
        return queued

    async def test_connection(self) -> tuple[Step, ...]:
        """Connect and log in step by step, each step timed; no mail is sent and nothing is raised."""
        return await _check(server_of(self).account)

    @classmethod
    async def test_configured(cls) -> tuple[Step, ...]:
        """Do the same for the server of the SMTP_* keys; UserError where none is set."""
        return await _check(configured_server().account)


async def _check(account: SmtpAccount) -> tuple[Step, ...]:
    if settings().MAIL_MODE == "catch":
        return (Step("mail mode", ok=False, detail="MAIL_MODE is catch: no connection is opened.", duration_ms=0),)
    return await check_connection(account)
