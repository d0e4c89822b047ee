"""`OAuthAccount`: a sign-in at a mail provider (OAuth 2), which mail servers use in place of a password.

Two workers may want a new access token at once. One of them takes the lease, by the database's clock, and asks the
provider; the others wait for what it stores. Each write names the version that it was made from, so that no older
refresh token ever replaces a newer one: a lost one would end the sign-in.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from time import monotonic
from types import MappingProxyType
from typing import Any, Self

import structlog

from core import clock
from core.cron.method import cron_method
from core.cron.runner import Progress
from core.delivery.servers import note_success
from core.errors import ConfigError, UserError
from core.models.audited import Audited
from core.orm import fields
from core.orm.outage import database_errors
from core.orm.transaction import refuse_inside
from core.runtime import get_model, runtime, settings
from core.transport.oauth import (
    ClientRefused,
    OAuthClient,
    OAuthError,
    Provider,
    SignInNeeded,
    Tokens,
    TokenSource,
    google,
    microsoft,
    new_verifier,
    redeem,
    renew,
    sign_in_url,
)

log = structlog.get_logger(__name__)

CALLBACK_PATH = "/servers/oauth/callback"
_AHEAD = timedelta(minutes=5)
"""An access token is renewed so long before its end."""
_KEPT_ALIVE_AFTER = timedelta(days=1)
_WARNED_BEFORE = timedelta(days=7)
_LEASE_S = 60.0
_WAIT_S = 30.0
_LOOK_EVERY_S = 0.1
_STORE_FOR_S = 60.0
"""How long a new refresh token is held while the database is away; the old one may be worth nothing any more."""
_FLOW = timedelta(minutes=15)
_PLACES = ("provider", "tenant", "authorization_url", "token_url", "client_id")
_OWN = frozenset(
    {
        *("status", "last_error", "access_token", "refresh_token", "expires_at", "refresh_until_at", "signed_in_at"),
        *("renewed_at", "version", "lease_token", "lease_until"),
        *("flow_state", "flow_session", "flow_verifier", "flow_redirect_url", "flow_until"),
    }
)
_SIGNED_OUT = MappingProxyType(
    {"status": "new", "access_token": "", "refresh_token": "", "expires_at": None, "refresh_until_at": None}
)


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """The access tokens of one account, for a mail server's login; see `core.transport.oauth.TokenSource`."""

    account_id: int

    async def __call__(self, refused: str = "") -> str:
        token: str = await get_model("OAuthAccount").current_token(self.account_id, refused)
        return token


class OAuthAccount(Audited):
    """One sign-in. The fields from `status` on belong to the sign-in itself; nobody writes them by hand."""

    _title = "Mail sign-ins"
    _private = ("flow_state", "flow_session", "lease_token")

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=200)
    provider = fields.SelectionField(
        {"google": "Google", "microsoft": "Microsoft 365", "custom": "Other"}, default="custom"
    )
    tenant = fields.CharField(max_length=200, default="")
    """Microsoft's directory (tenant) id or domain; empty means any organisation."""
    client_id = fields.CharField(max_length=500)
    client_secret = fields.SecretField(default="")
    """Empty for a public client, which PKCE alone protects."""
    authorization_url = fields.CharField(max_length=500, default="")
    """Empty means the provider's own; so does an empty `token_url` or `scopes`."""
    token_url = fields.CharField(max_length=500, default="")
    scopes = fields.TextField(default="")
    """Separated by spaces."""
    status = fields.SelectionField(
        {"new": "Not signed in yet", "ready": "Signed in", "refused": "Sign in again"}, default="new"
    )
    last_error = fields.TextField(default="")
    access_token = fields.SecretField(default="")
    refresh_token = fields.SecretField(default="")
    expires_at = fields.DatetimeField(null=True)
    """When the access token ends; it is renewed before."""
    refresh_until_at = fields.DatetimeField(null=True)
    """When the sign-in itself ends, where the provider says so."""
    signed_in_at = fields.DatetimeField(null=True)
    renewed_at = fields.DatetimeField(null=True)
    version = fields.IntField(default=0)
    """Grows with every change of tokens, so that of two writers the later one sees the first."""
    lease_token = fields.CharField(max_length=32, null=True)
    lease_until = fields.DatetimeField(null=True)
    """While one worker renews the access token, the others wait."""
    flow_state = fields.CharField(max_length=64, default="")
    """What the provider must bring back to end the sign-in under way, hashed."""
    flow_session = fields.CharField(max_length=64, default="")
    """The browser session that began it, hashed; empty where the command line did."""
    flow_verifier = fields.SecretField(default="")
    flow_redirect_url = fields.CharField(max_length=500, default="")
    flow_until = fields.DatetimeField(null=True)

    async def save(
        self,
        using_db: Any = None,
        update_fields: Iterable[str] | None = None,
        force_create: bool = False,
        force_update: bool = False,
    ) -> None:
        """Store what a person may edit; ConfigError where the addresses are none.

        Where tokens would go to another place than the one that gave them, they and the client secret are forgotten.
        """
        self.client()
        stored = await type(self).get_or_none(id=self.pk) if self.pk is not None else None
        if stored is None:
            await super().save(using_db, update_fields, force_create, force_update)
            return
        if any(getattr(self, name) != getattr(stored, name) for name in _PLACES):
            if self.client_secret == stored.client_secret:
                self.client_secret = ""
            await type(self).filter(id=self.pk).update(**_SIGNED_OUT, version=stored.version + 1)
        # A token that was renewed since this record was read is the newer one.
        columns = list(self._meta.db_fields) if update_fields is None else update_fields
        edited = [name for name in columns if name not in _OWN and name != "id"]
        if edited:
            await super().save(using_db, edited, force_create, force_update)

    def client(self) -> OAuthClient:
        """Return the application and provider that this account means; ConfigError where they cannot be used."""
        known: Provider | None = None
        if self.provider != "custom":
            known = google() if self.provider == "google" else microsoft(self.tenant)
        provider = Provider(
            self.authorization_url or (known.authorization_url if known else ""),
            self.token_url or (known.token_url if known else ""),
            tuple(self.scopes.split()) or (known.scopes if known else ()),
            known.parameters if known else (),
        )
        return OAuthClient(provider, self.client_id, self.client_secret or "")

    @property
    def fault(self) -> str:
        """What a person must mend before this account can be used; empty where nothing is known."""
        if self.status != "ready":
            return f"{self.name} is not signed in. {self.sign_in_hint}"
        try:
            for secret in (self.client_secret, self.access_token, self.refresh_token):
                fields.readable(secret, f"A secret of {self.name}")
        except ConfigError as error:
            return str(error)
        return ""

    @property
    def state_word(self) -> str:
        """The status as people read it."""
        column: Any = self._meta.fields_map["status"]
        return str(column.choices[self.status])

    @property
    def redirect_url(self) -> str:
        """Where a provider sends the browser back to; it must be registered there, letter for letter."""
        values = settings()
        return (values.BASE_URL.rstrip("/") or f"http://{values.HTTP_HOST}:{values.HTTP_PORT}") + CALLBACK_PATH

    @property
    def sign_in_hint(self) -> str:
        """What to do where the sign-in is needed."""
        return f"Sign in again: open this account's page, or run `postroom server authorize {self.name!r}`."

    # Tokens.

    @classmethod
    def tokens(cls, account_id: int) -> TokenSource:
        """Return the source of an account's access tokens, as mail servers' logins take it."""
        return StoredTokens(account_id)

    @classmethod
    async def current_token(cls, account_id: int, refused: str = "") -> str:
        """Return an access token that is good for minutes yet and not the `refused` one, renewed where that is needed.

        Raises SignInNeeded where a person must sign in, OAuthError where it may work later.
        """
        refuse_inside("Renewing a sign-in")
        until = monotonic() + _WAIT_S
        while True:
            account = await cls.get_or_none(id=account_id)
            if account is None:
                raise SignInNeeded("The sign-in was deleted; choose another one for this server.")
            if account.fault:
                raise SignInNeeded(account.fault)
            is_usable = account._has_token_but(refused)
            if is_usable and not account._ends_within(_AHEAD):
                return account.access_token
            if await account._lease():
                # A worker that stops meanwhile must not lose what the provider has already given.
                return await asyncio.shield(asyncio.create_task(account._renewed(refused)))
            if is_usable and not account._ends_within(timedelta(0)):
                return account.access_token
            if monotonic() > until:
                raise OAuthError(f"{account.name} is being renewed by another worker, which has not come to an end.")
            await asyncio.sleep(_LOOK_EVERY_S)

    @classmethod
    @cron_method
    async def cron_keep_alive(cls) -> Progress:
        """Renew the sign-ins that nobody used for a day, since providers end idle ones, and tell of those that end."""
        renewed = 0
        async for account in cls.filter(status="ready", refresh_until_at__lt=clock.now() + _WARNED_BEFORE):
            await get_model("Notification").tell_admins(
                f"The mail sign-in “{account.name}” ends soon",
                f"It ends on {account.refresh_until_at:%Y-%m-%d}. {account.sign_in_hint}",
            )
        for account in await cls.filter(status="ready", renewed_at__lt=clock.now() - _KEPT_ALIVE_AFTER):
            try:
                await cls.current_token(account.pk, refused=account.access_token)
                renewed += 1
            except OAuthError as error:
                log.warning("sign-in not renewed", account=account.name, error=str(error))
        return Progress(renewed)

    def _has_token_but(self, refused: str) -> bool:
        return bool(self.access_token) and self.access_token != refused

    def _ends_within(self, time: timedelta) -> bool:
        return self.expires_at is not None and self.expires_at <= clock.now() + time

    async def _lease(self) -> bool:
        """Take the right to renew what was just read; False where another one has it, or renewed it meanwhile."""
        database = runtime().database
        param, now, after = database.dialect.param, database.dialect.now, database.dialect.after
        self.lease_token = secrets.token_hex(16)
        rows = await database.fetch(
            f"""UPDATE {self._meta.db_table} SET lease_token = {param(1)}, lease_until = {after(param(2))}
                WHERE id = {param(3)} AND version = {param(4)} AND (lease_until IS NULL OR lease_until < {now()})
                RETURNING id""",
            [self.lease_token, _LEASE_S, self.pk, self.version],
        )
        return bool(rows)

    async def _renewed(self, refused: str) -> str:
        try:
            tokens = await renew(self.client(), self.refresh_token)
        except OAuthError as error:
            await self._note_failure(error)
            if isinstance(error, SignInNeeded):
                raise SignInNeeded(f"The sign-in of {self.name} is over: {error}. {self.sign_in_hint}") from error
            if self._has_token_but(refused) and not self._ends_within(timedelta(0)):
                return self.access_token
            raise
        if await self._store(tokens):
            return tokens.access
        return await type(self).current_token(self.pk, refused)

    async def _note_failure(self, error: OAuthError) -> None:
        status = "refused" if isinstance(error, SignInNeeded) else "ready"
        changes = {"status": status, "last_error": str(error), "lease_until": None}
        ours = await type(self).filter(id=self.pk, version=self.version, lease_token=self.lease_token).update(**changes)
        if not ours or str(error) == self.last_error or not isinstance(error, SignInNeeded | ClientRefused):
            return
        log.warning("sign-in refused", account=self.name, error=str(error))
        remedy = self.sign_in_hint if status == "refused" else "Correct its client id, secret, scopes or addresses."
        await get_model("Notification").tell_admins(
            f"The mail sign-in “{self.name}” does not work",
            f"{error}. Mail through its servers waits. {remedy}",
        )

    async def _store(self, tokens: Tokens) -> bool:
        """Write new tokens over the version that they were made from; False where a newer one is there already."""
        until = monotonic() + _STORE_FOR_S
        while True:
            try:
                return await self._write(tokens)
            except database_errors():
                if monotonic() > until:
                    raise
                log.warning("sign-in waits for the database", account=self.name)
                await asyncio.sleep(1)

    async def _write(self, tokens: Tokens) -> bool:
        now = clock.now()
        changes: dict[str, Any] = {
            "access_token": tokens.access,
            "refresh_token": tokens.refresh,
            "expires_at": _after(now, tokens.access_life_s),
            "renewed_at": now,
            "status": "ready",
            "last_error": "",
            "version": self.version + 1,
            "lease_until": None,
        }
        if tokens.refresh_life_s is not None:
            changes["refresh_until_at"] = _after(now, tokens.refresh_life_s)
        return bool(await type(self).filter(id=self.pk, version=self.version).update(**changes))

    # Signing in.

    async def begin_sign_in(self, session: str = "") -> str:
        """Return the address at which a person signs in; `session` is what the browser that does so is known by.

        It is good for a quarter of an hour and once; a later one replaces it.
        """
        client = self.client()
        state, verifier = secrets.token_urlsafe(32), new_verifier()
        redirect_url = self.redirect_url
        await (
            type(self)
            .filter(id=self.pk)
            .update(
                flow_state=_hashed(state),
                flow_session=_hashed(session) if session else "",
                flow_verifier=verifier,
                flow_redirect_url=redirect_url,
                flow_until=clock.now() + _FLOW,
            )
        )
        return sign_in_url(client, redirect_url, state, verifier)

    @classmethod
    async def end_sign_in(cls, state: str, code: str, session: str = "") -> Self:
        """Redeem what the provider's page brought back; returns the account, signed in.

        Raises UserError where nobody began this here, or it was begun in another browser, too long ago, or done.
        """
        account = await cls._of_flow(state, session)
        if not code:
            raise UserError("The provider sent no code; sign in again.")
        try:
            tokens = await redeem(account.client(), code, account.flow_verifier, account.flow_redirect_url)
        except (SignInNeeded, ClientRefused) as error:
            raise UserError(f"{account.name} could not be signed in: {error}") from error
        if not tokens.refresh:
            raise UserError(
                f"{account.name} was signed in for a moment only: the provider gave no refresh token. Ask for offline "
                "access in its scopes, or withdraw this application's access there and sign in again."
            )
        # A sign-in by a person is the newest word, whatever was renewed meanwhile.
        while not await account._store(tokens):
            await account.refresh_from_db()
        await cls.filter(id=account.pk).update(signed_in_at=clock.now())
        await account.refresh_from_db()
        for server_id in await get_model("OutgoingMailServer").filter(oauth_id=account.pk).values_list("id", flat=True):
            await note_success(str(server_id))
        for server in await get_model("IncomingMailServer").filter(oauth_id=account.pk):
            await server.resume()
        log.info("mail account signed in", account=account.name)
        return account

    @classmethod
    async def _of_flow(cls, state: str, session: str) -> Self:
        """Return the account whose sign-in this is, which is then over, whatever comes of it."""
        account = await cls.get_or_none(flow_state=_hashed(state)) if state else None
        is_ours = account is not None and account.flow_session in ("", _hashed(session))
        if account is None or not is_ours:
            raise UserError("This sign-in was not begun here, or is done; begin it again from the account's page.")
        taken = await cls.filter(id=account.pk, flow_state=account.flow_state).update(flow_state="")
        if not taken or account.flow_until is None or account.flow_until < clock.now():
            raise UserError("This sign-in took too long, or is done; begin it again from the account's page.")
        return account


def _after(now: datetime, seconds: float | None) -> datetime | None:
    return now + timedelta(seconds=seconds) if seconds is not None else None


def _hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()
