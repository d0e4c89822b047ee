"""`Audited`: what somebody does to such a record is in the audit log, with what it changed, in the same transaction.

What the host does by itself (seeds, cron, the engines) is not written down, nor are updates of many rows by a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from core.audit import MASK, audit, is_asked_for
from core.orm.fields import BinaryField, SecretField
from core.orm.record import Record
from core.orm.transaction import transaction


class Audited(Record):
    """A mix-in of the models that say how the host works and who may do what."""

    abstract = True
    _of_host = True
    _private: ClassVar[tuple[str, ...]] = ()

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the record, and who changed what of it."""
        if not is_asked_for():
            await super().save(*args, **kwargs)
            return
        async with transaction():
            before = await type(self).get_or_none(pk=self.pk) if self._saved_in_db else None
            await super().save(*args, **kwargs)
            if before is None:
                await audit("created", self)
                return
            after = await type(self).get(pk=self.pk)
            if changes := changes_of(before, after):
                await audit(self.audited_as(changes), self, changes=changes)

    def audited_as(self, changes: Mapping[str, Any]) -> str:
        """Return the word for these changes."""
        return "updated"

    async def delete(self, using_db: Any = None) -> None:
        """Delete the record, and write who did."""
        if not is_asked_for():
            await super().delete(using_db)
            return
        async with transaction():
            await audit("deleted", self)
            await super().delete(using_db)


def changes_of(before: Any, after: Any) -> dict[str, list[Any]]:
    """Return each column that differs with its old and its new value; of a secret only that it does."""
    meta = after._meta
    found: dict[str, list[Any]] = {}
    for name in meta.fields_db_projection:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            is_secret = name in after._private or isinstance(meta.fields_map[name], SecretField | BinaryField)
            found[name] = [MASK, MASK] if is_secret else [old, new]
    return found
