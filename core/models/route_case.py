"""`RouteCase`: a mail whose way is known, kept to be asked about again after every change of a route or a rule."""

from __future__ import annotations

from typing import Any

from core.errors import UserError
from core.gateway.cases import CaseResult, check_cases, raw_of, way_of
from core.gateway.explain import explain
from core.gateway.values import Outcome
from core.mail.sketch import Sketch
from core.orm import fields
from core.orm.record import Record
from core.runtime import settings

_BY_MAIL = ("sender", "to", "cc", "subject", "body")


class RouteCase(Record):
    """A mail, in words or as saved bytes, and where it has to go. The fields from `passed` on belong to the check."""

    _title = "Routing cases"

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=200)
    sender = fields.CharField(max_length=998, default="")
    """As in From. `to` and `cc` are lists with commas; an alias without `@` is one of MAIL_DOMAIN."""
    to = fields.CharField(max_length=998, default="")
    cc = fields.CharField(max_length=998, default="")
    subject = fields.CharField(max_length=998, default="")
    body = fields.TextField(default="")
    headers = fields.JSONField(default=dict)
    """Further headers by name, such as `In-Reply-To`."""
    content = fields.BinaryField(null=True)
    """The bytes of a real mail, in place of all the above."""
    verified = fields.BooleanField(default=False)
    """Ask as if the sender were proven."""
    expected_outcome = fields.SelectionField({one.value: one.value.capitalize() for one in Outcome})
    expected_record = fields.CharField(max_length=120, default="")
    """`CrmLead`, or `CrmLead:7` for that very one; empty is any."""
    expected_rule = fields.CharField(max_length=100, default="")
    """The rule that has to decide; empty is any."""
    company = fields.ForeignKeyField("models.Company", null=True, related_name="route_cases", on_delete=fields.CASCADE)
    active = fields.BooleanField(default=True)
    passed = fields.BooleanField(null=True)
    """None where it was never asked about."""
    found_outcome = fields.CharField(max_length=32, default="")
    found_record = fields.CharField(max_length=120, default="")
    found_rule = fields.CharField(max_length=100, default="")
    error = fields.TextField(default="")
    checked_at = fields.DatetimeField(null=True)

    @classmethod
    async def keep(cls, name: str, mail: Sketch | bytes, *, verified: bool = False) -> Any:
        """Store a mail, in words or as bytes, under the name, to go from now on where it goes today."""
        raw = mail if isinstance(mail, bytes) else mail.raw(settings().MAIL_DOMAIN)
        way = way_of(await explain(raw, verified=verified or None))
        texts: dict[str, Any] = {"content": raw}
        if isinstance(mail, Sketch):
            texts = {**{one: getattr(mail, one) for one in _BY_MAIL}, "headers": dict(mail.headers)}
        return await cls.create(
            name=name,
            verified=verified,
            expected_outcome=way.outcome,
            expected_record=way.record,
            expected_rule=way.rule,
            **texts,
        )

    @classmethod
    async def check_all(cls) -> list[CaseResult]:
        """Ask about every active case, keep what came of it, and return the results."""
        return [result async for result in check_cases()]

    def mail(self) -> bytes:
        """Return the bytes of the mail that the case asks about."""
        return raw_of(self)

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the case; UserError for one without a mail, or with headers that are none."""
        if self.content is None and not any(getattr(self, name).strip() for name in _BY_MAIL):
            raise UserError("A case needs a mail: a sender and a recipient, or the bytes of one.")
        if not isinstance(self.headers, dict):
            raise UserError("headers: write a mapping of header names to values.")
        await super().save(*args, **kwargs)
