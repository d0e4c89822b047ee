"""`MailAccount`: the mailbox that a team writes from and reads, as one set of settings.

It sends and fetches nothing itself: it keeps an OutgoingMailServer and a POP3 IncomingMailServer in step, and its mail
goes the way of all mail, through the queue and the spool. Who is no member of its team is not told that it exists.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Self

from tortoise.exceptions import IntegrityError

from core.delivery.stored_mail import checked, hand_over
from core.errors import AccessDenied, UnknownName, UserError
from core.mail.address import header_text, parse_address
from core.mail.values import Mailbox
from core.models.account_visit import AccountVisit, Ways, visit_all
from core.models.audited import Audited
from core.models.team import MAIL
from core.orm import fields
from core.orm.transaction import transaction
from core.pattern import pattern
from core.runtime import acting_user, get_model
from core.transport.tls import tls_of

_NAME = pattern(r"[\w.@+-]{1,100}")
_RECENT = "recent:"
"""Asks Gmail's POP3 for all mail of the last 30 days, whoever fetched it before."""
_UNSENT = ("failed", "cancelled")
_HOSTS = ("mail_pop3_server", "mail_smtp_server")


class MailAccount(Audited):
    """A team's account; the names of its settings are those of the configuration that teams bring along."""

    label_field = "account"
    _admins_write = ("*",)

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    team = fields.ForeignKeyField("models.Team", related_name="mail_accounts", on_delete=fields.CASCADE)
    team_id: int
    account = fields.CharField(max_length=100, unique=True)
    """What the API calls it: letters, digits and `.@+-_`."""
    mail_pop3_server = fields.CharField(max_length=255, default="")
    """Empty where nothing is fetched; `mail_smtp_server` likewise where nothing is sent."""
    mail_pop3_port = fields.IntField(default=995)
    mail_pop3_valid_cert = fields.BooleanField(default=True)
    mail_smtp_server = fields.CharField(max_length=255, default="")
    mail_smtp_port = fields.IntField(default=587)
    mail_smtp_valid_cert = fields.BooleanField(default=True)
    mail_usessl = fields.BooleanField(default=False)
    """TLS from the first byte, or STARTTLS on ports that begin in plain text; 465 and 995 always have it."""
    mail_starttls = fields.BooleanField(default=False)
    mail_username = fields.CharField(max_length=320, default="")
    """As the servers want it. Gmail's `recent:` before the address is for its POP3 alone; SMTP gets the address."""
    mail_password = fields.SecretField(default="")
    mail_from = fields.CharField(max_length=320)
    """An address that the login may write as, such as a shared mailbox's."""
    mail_from_name = fields.CharField(max_length=200, default="")
    active = fields.BooleanField(default=True)

    @classmethod
    async def all_of(cls, user: Any) -> list[Self]:
        """Return the accounts that a user may use: those of the teams that it is a member of, an administrator too."""
        mine = cls.filter(active=True, team__active=True, team__type=MAIL, team__members__id=user.pk)
        return await mine.order_by("account").distinct()

    @classmethod
    async def of(cls, user: Any, name: str) -> Self:
        """Return the account of this name; UnknownName where there is none, or none for this user."""
        found = next((one for one in await cls.all_of(user) if one.account == name), None)
        if found is None:
            raise UnknownName(f'There is no mail account "{name[:100]}".')
        return found

    @classmethod
    async def visit(
        cls, accounts: Sequence[Any], author: Any = None, *, pull: bool = False, push: bool = False, debug: bool = False
    ) -> list[AccountVisit]:
        """Pull from accounts, push what waits in them, or both; `author` is the User that asks for it.

        `debug` asks for each step of the connections as well.
        """
        return await visit_all(accounts, Ways(pull=pull, push=push, debug=debug), author)

    async def send(self, author: Any, values: Mapping[str, str | None]) -> tuple[Any, bool]:
        """Put a mail into storage and queue it; returns its Mail, and whether the very same was sent before.

        The same is what has the same `mail_remote_id` and `mail_remote_source` and says the same: another mail about
        the same document is another mail. Raises AddressError or UserError for what cannot be sent.
        """
        key = self._remote_key(values) if values.get("mail_remote_id") else None
        if earlier := await self._earlier(key):
            return earlier, True
        mail = get_model("Mail")(**{**values, "mail_account": self.account})
        ready = await checked(mail, self)
        try:
            async with transaction():
                await mail.save()
                await get_model("Mail").filter(id=mail.pk).update(remote_key=key, account_id=self.pk)
                await hand_over(mail.pk, ready, self, author)
        except IntegrityError:
            # Somebody asked for the same at the same time, and was first.
            if not (earlier := await self._earlier(key)):
                raise
            return earlier, True
        await mail.refresh_from_db()
        return mail, False

    def _remote_key(self, values: Mapping[str, str | None]) -> str:
        said = {name: value for name, value in sorted(values.items()) if value and name != "mail_account"}
        return sha256(json.dumps([self.pk, said]).encode()).hexdigest()

    async def _earlier(self, key: str | None) -> Any:
        """Return the mail that was sent for this key; one that did not leave is no obstacle to another try."""
        if key is None:
            return None
        mails = get_model("Mail")
        if await mails.filter(remote_key=key, state__in=_UNSENT).update(remote_key=None):
            return None
        return await mails.get_or_none(remote_key=key)

    async def company(self) -> Any:
        """Return the company that the account's mail is of: its team's."""
        team = await get_model("Team").get(id=self.team_id).select_related("company")
        return team.company

    @property
    def sender(self) -> Mailbox:
        """Who its mail is from."""
        return Mailbox(self.mail_from_name, parse_address(self.mail_from).address)

    async def save(
        self,
        using_db: Any = None,
        update_fields: Iterable[str] | None = None,
        force_create: bool = False,
        force_update: bool = False,
    ) -> None:
        """Store the account and its two servers, all or nothing.

        Another host never gets the password of the former one: it is forgotten unless it changes too. Raises UserError
        or ConfigError for settings that cannot be used, AccessDenied for anybody but an administrator.
        """
        user = acting_user()
        if user is not None and not user.is_admin:
            raise AccessDenied("Only an administrator sets up mail accounts.")
        await self._refuse_unusable()
        async with transaction():
            if await self._forget_password() and update_fields is not None:
                update_fields = {*update_fields, "mail_password"}
            await super().save(using_db, update_fields, force_create, force_update)
            await self._keep_in_step("OutgoingMailServer", bool(self.mail_smtp_server), self._outgoing())
            await self._keep_in_step("IncomingMailServer", bool(self.mail_pop3_server), self._incoming())

    async def _refuse_unusable(self) -> None:
        if not _NAME.fullmatch(self.account):
            raise UserError("The name of a mail account is 1 to 100 letters, digits and any of . @ + - _.")
        team = await get_model("Team").get_or_none(id=self.team_id)
        if team is None or team.type != MAIL:
            raise UserError(
                f"The mail account {self.account} needs a team of type {MAIL}; change the team's type first."
            )
        if self.mail_pop3_server and not self.mail_username:
            raise UserError(f"The mail account {self.account} needs mail_username, which its mailbox is fetched by.")
        header_text(self.mail_from_name)
        self.mail_from = parse_address(self.mail_from).address

    async def _forget_password(self) -> bool:
        """Forget the password where a host is another one; tells whether it was."""
        stored = await type(self).get_or_none(id=self.pk) if self.pk is not None else None
        if stored is None or stored.mail_password != self.mail_password or not self.mail_password:
            return False
        # A host that was never set has not had the password either, and is the administrator's own word.
        moved = any(
            getattr(stored, one) and getattr(self, one).casefold() != getattr(stored, one).casefold() for one in _HOSTS
        )
        if moved:
            self.mail_password = ""
        return moved

    async def _keep_in_step(self, model: str, is_wanted: bool, values: dict[str, Any]) -> None:
        servers = get_model(model)
        server = await servers.get_or_none(mail_account_id=self.pk)
        if not is_wanted:
            if server is not None:
                await server.delete()
            return
        if server is None:
            await servers.create(mail_account_id=self.pk, **values)
        elif any(getattr(server, name) != value for name, value in values.items()):
            await server.update_from_dict(values).save()

    def _outgoing(self) -> dict[str, Any]:
        return {
            **self._login(self.mail_smtp_server, self.mail_smtp_port),
            "username": self.mail_username.removeprefix(_RECENT),
            "verify_certificate": self.mail_smtp_valid_cert,
            "auth": "password" if self.mail_username else "none",
        }

    def _incoming(self) -> dict[str, Any]:
        return {
            **self._login(self.mail_pop3_server, self.mail_pop3_port),
            "verify_certificate": self.mail_pop3_valid_cert,
            "protocol": "pop3",
            "old_mail": "all",
            "after_fetch": "keep",
        }

    def _login(self, host: str, port: int) -> dict[str, Any]:
        return {
            "name": f"Mail account {self.account}",
            "server": host,
            "port": port,
            "tls": tls_of(host, port, usessl=self.mail_usessl, starttls=self.mail_starttls).value,
            "username": self.mail_username,
            "password": self.mail_password,
            "active": self.active,
        }
