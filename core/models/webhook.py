"""`Webhook`: an address of others that is told what happens here."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from tortoise.expressions import F

from core import clock
from core.errors import UnknownName, UserError, did_you_mean
from core.events import announce
from core.models.audited import Audited
from core.orm import fields
from core.orm.feed import Change
from core.orm.fields import UnreadableSecret, readable
from core.orm.transaction import transaction
from core.runtime import get_model, runtime, settings
from core.webhooks.events import EVENTS
from core.webhooks.note import forget_listeners, note_test
from core.webhooks.retry import pause_s
from core.webhooks.signing import new_secret, require_secret

_OLD_SECRET_HOURS = 24
_URL_CHARS = 2000


class Webhook(Audited):
    """Where, of what, and with which secrets; and how its receiver does."""

    _heard: ClassVar[Any] = None
    """Of the composed model: who listens, as remembered by `core.webhooks.note`."""

    name = fields.CharField(max_length=100)
    url = fields.CharField(max_length=_URL_CHARS)
    secret = fields.SecretField(default="")
    """`whsec_...`; made where it is left empty."""
    old_secret = fields.SecretField(default="")
    old_secret_until = fields.DatetimeField(null=True)
    """Until then calls are signed with both."""
    events = fields.JSONField(default=list)
    """Which events, of `core.webhooks.events.EVENTS`."""
    models = fields.JSONField(default=list)
    """Of records of which models; of all where it is empty."""
    company = fields.ForeignKeyField("models.Company", null=True, related_name="webhooks", on_delete=fields.CASCADE)
    """Of which company; of all where there is none."""
    active = fields.BooleanField(default=True)
    failure_count = fields.IntField(default=0)
    """Failed tries since the last one that arrived."""
    failing_since_at = fields.DatetimeField(null=True)
    paused_until = fields.DatetimeField(null=True)
    last_error = fields.CharField(max_length=300, default="")
    disabled_reason = fields.CharField(max_length=300, default="")
    """Why the host switched it off by itself."""
    created_at = fields.DatetimeField(auto_now_add=True)

    async def save(self, *args: Any, **options: Any) -> None:
        """Store it; UserError for an address, an event, a model or a secret that cannot be used."""
        _require_url(self.url)
        _require_known("events", self.events, EVENTS)
        _require_known("models", self.models, [entry.name for entry in runtime().registry])
        if not self.events:
            raise UserError(f"events: choose some of {', '.join(EVENTS)}.")
        if not isinstance(self.secret, UnreadableSecret):
            self.secret = self.secret or new_secret()
            require_secret(self.secret)
        if self.active and self.disabled_reason:
            self.disabled_reason, self.last_error = "", ""
            self.failure_count, self.failing_since_at, self.paused_until = 0, None, None
        await super().save(*args, **options)
        forget_listeners()

    def secrets_in_force(self) -> list[str]:
        """Return what calls are signed with now; ConfigError where the key of SECRET_KEY is gone."""
        is_old_one_good = self.old_secret_until is not None and self.old_secret_until > clock.now()
        held = [self.secret, self.old_secret] if is_old_one_good else [self.secret]
        return [readable(one, f"The secret of the webhook {self.name}") for one in held if one is not None]

    async def rotate_secret(self) -> str:
        """Make a new secret and return it, this once; the old one signs as well for another day."""
        self.old_secret, self.old_secret_until = self.secret, clock.now() + timedelta(hours=_OLD_SECRET_HOURS)
        self.secret = new_secret()
        await self.save()
        return self.secret

    async def test(self) -> Any:
        """Queue a call that only shows that it arrives, and return it; UserError while the webhook is off."""
        if not self.active:
            raise UserError(f"The webhook {self.name} is switched off; switch it on first.")
        event_id = await note_test(self)
        return await get_model("WebhookCall").get(webhook_id=self.pk, event_id=event_id)

    async def note_success(self) -> None:
        """Forget earlier failures."""
        failing = type(self).filter(id=self.pk, failure_count__gt=0)
        await failing.update(failure_count=0, failing_since_at=None, paused_until=None, last_error="")

    async def note_failure(self, words: str) -> None:
        """Count a failed try; pause, and after WEBHOOK_DAYS of nothing else switch off."""
        now = clock.now()
        mine = type(self).filter(id=self.pk)
        await mine.filter(failing_since_at=None).update(failing_since_at=now)
        until = now + timedelta(seconds=pause_s(self.failure_count + 1))
        await mine.update(failure_count=F("failure_count") + 1, last_error=words[:300], paused_until=until)
        since = self.failing_since_at
        if since is not None and now - since > timedelta(days=settings().WEBHOOK_DAYS):
            await self.switch_off(f"Nothing has arrived for {settings().WEBHOOK_DAYS} days. The last error: {words}")

    async def switch_off(self, reason: str) -> None:
        """Make no more calls, and tell the operator; those that wait go out once it is switched on again."""
        async with transaction():
            if not await type(self).filter(id=self.pk, active=True).update(active=False, disabled_reason=reason[:300]):
                return
            await get_model("Notification").tell_admins(
                f"The webhook “{self.name}” was switched off",
                f"{reason} Mend the cause, then switch it on again: what waits is told then.",
            )
            await announce(Change("webhooks", ("off",), (self.pk,)))
        forget_listeners()


def _require_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UserError("url: this is no address.") from error
    is_plain_allowed = settings().WEBHOOK_PLAIN_HTTP or settings().ENVIRONMENT == "development"
    if parts.scheme != "https" and not (parts.scheme == "http" and is_plain_allowed):
        raise UserError("url: begin it with https://; an administrator can allow http:// by WEBHOOK_PLAIN_HTTP.")
    if not parts.hostname or port == 0 or not url.isascii() or not url.isprintable() or " " in url:
        raise UserError("url: this is no address.")
    if "@" in parts.netloc or parts.fragment:
        raise UserError("url: it can hold no password and no fragment; the signature proves who calls.")


def _require_known(field: str, given: Any, known: Collection[str]) -> None:
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise UserError(f"{field}: write a list of names.")
    unknown = [one for one in given if one not in known]
    if unknown:
        raise UnknownName(f'{field}: there is no "{unknown[0][:100]}".{did_you_mean(unknown[0][:100], known)}')
