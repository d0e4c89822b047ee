"""`DkimKey`: a key that signs the mail of a domain."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from core.errors import UserError
from core.mail.address import domain_of
from core.mail.dkim import (
    Algorithm,
    algorithm_of,
    new_private_key,
    public_key_of,
    read_private_key,
    record_name,
    record_text,
)
from core.models.audited import Audited
from core.orm import fields
from core.orm.fields import UnreadableSecret
from core.pattern import pattern
from core.runtime import get_model

_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_NAME = pattern(rf"(?=.{{1,200}}$){_LABEL}(?:\.{_LABEL})*")
_LONGEST_LIFETIME_DAYS = 3650


class DkimKey(Audited):
    """A domain's key; mail from the domain, and from those under it that have none, is signed by all active ones."""

    label_field = "selector"
    _title = "DKIM keys"

    domain = fields.CharField(max_length=255)
    """In lower case and IDNA form."""
    selector = fields.CharField(max_length=200)
    algorithm = fields.SelectionField({"rsa": "RSA", "ed25519": "Ed25519"}, default="rsa")
    private_key = fields.SecretField(default="")
    """PEM; made where it is left empty."""
    public_key = fields.TextField(default="")
    """The `p=` of the DNS record, in base64; made from the private key."""
    lifetime_days = fields.IntField(default=0)
    """How long after a mail's Date its signature holds; 0 means for ever."""
    active = fields.BooleanField(default=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        unique_together = (("domain", "selector"),)

    @classmethod
    async def generate(
        cls, domain: str, selector: str, algorithm: Algorithm = Algorithm.RSA, *, active: bool = True
    ) -> Self:
        """Store a new key. An active one signs from now on, and is of use once its record is published."""
        return await cls.create(domain=domain, selector=selector, algorithm=algorithm.value, active=active)

    @property
    def record_name(self) -> str:
        """The DNS name that the public key is published under."""
        return record_name(self.domain, self.selector)

    @property
    def record_text(self) -> str:
        """What is published there."""
        return record_text(self.algorithm, self.public_key)

    async def save(self, *args: Any, **options: Any) -> None:
        """Store the key; raises UserError for a name that cannot stand in DNS, or a private key that cannot sign."""
        self.domain = _checked("domain", domain_of(f"@{self.domain.strip().rstrip('.')}"))
        self.selector = _checked("selector", self.selector.strip().lower())
        if not 0 <= self.lifetime_days <= _LONGEST_LIFETIME_DAYS:
            raise UserError(
                f"lifetime_days: write the days that a signature holds, 1 to {_LONGEST_LIFETIME_DAYS}, or 0."
            )
        if not isinstance(self.private_key, UnreadableSecret):
            await self._set_keys()
        twins = get_model("DkimKey").filter(domain=self.domain, selector=self.selector)
        if await (twins if self.pk is None else twins.exclude(id=self.pk)).exists():
            raise UserError(f"selector: {self.domain} has a key {self.selector} already; choose another selector.")
        await super().save(*args, **options)

    async def _set_keys(self) -> None:
        private = read_private_key(self.private_key or await self._new_private_key())
        self.algorithm = algorithm_of(private).value
        self.public_key = public_key_of(private)

    async def _new_private_key(self) -> str:
        if self._saved_in_db:
            raise UserError("private_key: its record is published, so it stays; make a new key for a new selector.")
        if self.algorithm not in list(Algorithm):
            raise UserError(f'algorithm: "{self.algorithm}" is none; write {" or ".join(Algorithm)}.')
        self.private_key = await asyncio.to_thread(new_private_key, Algorithm(self.algorithm))
        return self.private_key


def _checked(field: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UserError(f'{field}: "{name}" cannot stand in DNS; use letters, digits and hyphens between dots.')
    return name
