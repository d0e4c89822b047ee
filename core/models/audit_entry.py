"""`AuditEntry`: one thing that somebody did. Entries are added by `core.audit`, never changed, and pruned by age."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NoReturn

from tortoise.manager import Manager
from tortoise.queryset import QuerySet

from core import clock
from core.cron.method import cron_method
from core.errors import AccessDenied
from core.orm import fields
from core.orm.record import Record
from core.runtime import runtime, settings


def _refuse() -> NoReturn:
    raise AccessDenied("The audit log is only ever added to; AUDIT_DAYS says how long entries are kept.")


class _Entries(QuerySet[Any]):
    """A query that only reads."""

    def update(self, **_: Any) -> NoReturn:
        _refuse()

    def delete(self) -> NoReturn:
        _refuse()


class _ReadOnly(Manager):
    def get_queryset(self) -> QuerySet[Any]:
        return _Entries(self._model)


class AuditEntry(Record):
    """Who did what, to which record, from where."""

    label_field = "action"
    _written_over_http = False
    _of_host = True
    _title = "Audit log"

    at = fields.DatetimeField(auto_now_add=True)
    user = fields.ForeignKeyField("models.User", null=True, related_name="audited", on_delete=fields.SET_NULL)
    login = fields.CharField(max_length=320, default="")
    """The user's name then, which stays when the user is deleted."""
    token = fields.CharField(max_length=16, default="")
    """The public prefix of the token that was used."""
    command = fields.CharField(max_length=100, default="")
    """The command of the command line, where one was."""
    action = fields.CharField(max_length=64)
    """`created`, `updated`, `deleted`, `login`, `login_failed`, ...: see docs/operations.md."""
    model = fields.CharField(max_length=100, default="")
    record_id = fields.BigIntField(null=True)
    record_name = fields.CharField(max_length=200, default="")
    request_id = fields.CharField(max_length=128, default="")
    address = fields.CharField(max_length=45, default="")
    detail = fields.JSONField(default=dict)

    class Meta:
        manager = _ReadOnly()
        indexes = (("at",), ("model", "record_id", "id"), ("user_id", "id"), ("action", "id"))

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store a new entry; AccessDenied for one that is stored."""
        if self._saved_in_db:
            _refuse()
        await super().save(*args, **kwargs)

    async def delete(self, using_db: Any = None) -> None:
        """Raise AccessDenied."""
        _refuse()

    @classmethod
    @cron_method
    async def cron_prune(cls) -> int:
        """Delete what is older than AUDIT_DAYS; return how many."""
        database, days = runtime().database, settings().AUDIT_DAYS
        if not days:
            return 0
        param, until = database.dialect.param, database.dialect.time(clock.now() - timedelta(days=days))
        return await database.execute(f"DELETE FROM audit_entry WHERE at < {param(1)}", [until])
