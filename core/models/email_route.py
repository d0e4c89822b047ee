"""`EmailRoute`: an alias whose mail becomes records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.errors import UserError
from core.gateway import route
from core.gateway.explain import explain
from core.gateway.target import check_route
from core.models.audited import Audited
from core.orm import fields
from core.pattern import pattern
from core.runtime import get_model, settings

_ALIAS = pattern(r"\*|[a-z0-9!#$%&'=?^_`{|}~/-]+(?:\.[a-z0-9!#$%&'=?^_`{|}~/-]+)*")


class EmailRoute(Audited):
    """Mail to `address`@`domain` creates a record of `target_model`."""

    label_field = "address"

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    address = fields.CharField(max_length=64, db_index=True)
    """The local part, e.g. `leads`, in any case; `*` takes what no other alias of the domain does."""
    domain = fields.CharField(max_length=255, default="")
    """Empty means MAIL_DOMAIN."""
    target_model = fields.CharField(max_length=100)
    target_name_field = fields.CharField(max_length=100, default="name")
    """The field that takes the subject."""
    defaults = fields.JSONField(default=dict)
    sender_policy = fields.SelectionField(
        {"everyone": "Everyone", "known": "Known contacts", "followers": "Followers", "staff": "Users"},
        default="everyone",
    )
    acknowledgement = fields.ForeignKeyField(
        "models.EmailTemplate", null=True, related_name="acknowledges", on_delete=fields.SET_NULL
    )
    acknowledgement_id: int | None
    """Answers, once, who wrote here: a template for EmailRoute. None, as by default, answers nobody."""
    company = fields.ForeignKeyField("models.Company", null=True, related_name="routes", on_delete=fields.SET_NULL)
    active = fields.BooleanField(default=True)

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the route; raises UserError for an active one that could never create a record."""
        self.address = self.address.strip().lower()
        self.domain = self.domain.strip().lower()
        if self.active:
            self._check_settings()
            await self._check_alone()
        await self._check_acknowledgement()
        await super().save(*args, **kwargs)

    def _check_settings(self) -> None:
        if not _ALIAS.fullmatch(self.address):
            raise UserError(f'address: "{self.address}" is no alias; write the part before the @, without a +.')
        if self.address in (settings().CATCHALL_ALIAS.lower(), settings().BOUNCE_ALIAS.lower()) and not self.domain:
            raise UserError(f'address: "{self.address}" is where replies and bounces come in; choose another.')
        if not isinstance(self.defaults, dict):
            raise UserError("defaults: write a mapping of field names to values.")
        check_route(self.target_model, self.target_name_field, self.defaults)

    async def _check_acknowledgement(self) -> None:
        """Refuse a template that says anything of the mail or its record: those are a stranger's words."""
        if self.acknowledgement_id is None:
            return
        template = await get_model("EmailTemplate").get(id=self.acknowledgement_id).prefetch_related("model")
        if template.model.identifier != "EmailRoute":
            raise UserError(
                f"acknowledgement: the template {template.identifier} is for {template.model.identifier}; "
                "choose one for EmailRoute, so that nothing of a stranger's mail is sent on."
            )

    async def _check_alone(self) -> None:
        own = settings().MAIL_DOMAIN.lower()
        domains = ("", own) if self.domain in ("", own) else (self.domain,)
        twins = get_model("EmailRoute").filter(address=self.address, domain__in=domains, active=True)
        twin = await (twins if self.pk is None else twins.exclude(id=self.pk)).first()
        if twin is not None:
            raise UserError(
                f"address: {self.address}@{self.domain or own} creates a {twin.target_model} already; choose another."
            )

    @classmethod
    async def explain(cls, raw: bytes, *, verified: bool | None = None) -> Any:
        """Return where a mail would go, as an Account with its trace; nothing is written.

        With `verified`, as if its sender were proven; None finds out.
        """
        return await explain(raw, verified=verified)

    def fault(self) -> str:
        """Say why no record could be created, with what the route's model is by now; or return nothing."""
        try:
            check_route(self.target_model, self.target_name_field, self.defaults or {})
        except UserError as error:
            return str(error)
        return ""

    @classmethod
    async def route_inbound(cls, recipients: Sequence[str], sender_email: str, subject: str, body: str) -> Any:
        """Create the record of the first route that an address leads to, with the mail as its first timeline entry.

        `body` is HTML. Returns the record, or None where no active route takes a mail of that sender.
        """
        return await route.route_inbound(recipients, sender_email, subject, body)
