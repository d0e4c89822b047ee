"""`CronJob`: a marked method that the scheduler calls, and when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from core import clock
from core.cron.lease import make_due, schedule_of
from core.cron.runner import marked_method, run_now
from core.cron.schedule import describe, next_after
from core.errors import UserError
from core.events import announce, ring
from core.models.audited import Audited
from core.orm import fields
from core.orm.feed import Change

if TYPE_CHECKING:
    from tortoise.backends.base.client import BaseDBAsyncClient

_OF_THE_SCHEDULER = frozenset(
    {"status", "next_run", "last_run", "failure_count", "failing_since", "lease_token", "lease_until"}
)
_SCHEDULE = ("frequency", "frequency_unit", "cron", "timezone", "anchor_at", "active")


class CronJob(Audited):
    """A scheduled call of a model's method. The scheduler owns the fields from `status` on; `save` keeps off them."""

    identifier = fields.CharField(max_length=128, unique=True)
    name = fields.CharField(max_length=200)
    model = fields.CharField(max_length=100)
    method = fields.CharField(max_length=100)
    frequency = fields.IntField(default=1)
    frequency_unit = fields.SelectionField(
        {unit: unit for unit in ("Minutes", "Hours", "Days", "Weeks", "Months", "Years")}, default="Hours"
    )
    cron = fields.CharField(max_length=100, default="")
    """A cron expression of five fields; wins over frequency and unit."""
    timezone = fields.CharField(max_length=64, default="")
    """The zone that days and cron fields are counted in; empty means DEFAULT_TIMEZONE."""
    anchor_at = fields.DatetimeField(null=True)
    """What the schedule is counted from; set to the start of the current minute when the job is first seen."""
    active = fields.BooleanField(default=True)
    priority = fields.IntField(default=10)
    timeout_s = fields.IntField(default=300)

    status = fields.SelectionField({"idle": "Idle", "running": "Running", "off": "Switched off"}, default="idle")
    next_run = fields.DatetimeField(null=True)
    last_run = fields.DatetimeField(null=True)
    failure_count = fields.IntField(default=0)
    failing_since = fields.DatetimeField(null=True)
    lease_token = fields.CharField(max_length=32, null=True)
    lease_until = fields.DatetimeField(null=True)

    class Meta:
        indexes = (("active", "next_run"),)

    async def save(
        self,
        using_db: BaseDBAsyncClient | None = None,
        update_fields: Iterable[str] | None = None,
        force_create: bool = False,
        force_update: bool = False,
    ) -> None:
        """Store the job, checked (see `check`), and wake the scheduler.

        Of a stored job only what people own is written, since a copy that was read a while ago must not undo a claim;
        whoever means the scheduler's fields names them in `update_fields`. A changed schedule starts anew.
        """
        self.check()
        if self._saved_in_db and not force_create:
            names = self._of_people() if update_fields is None else set(update_fields)
            if await self._schedule_changed(names):
                self.next_run = None
                names.add("next_run")
            update_fields = names
        await super().save(using_db, update_fields, force_create, force_update)
        await ring("cron")
        await announce(Change("cron", (self.status,), (self.pk,)))

    def check(self) -> None:
        """Raise UserError or UnknownName where the job names no marked method, or its schedule or limit is none."""
        marked_method(self.model, self.method)
        if self.timeout_s < 1:
            raise UserError(f"{self.identifier}: timeout_s is {self.timeout_s}; give the job at least one second")
        self.next_runs(1)

    def schedule_in_words(self) -> str:
        """Return when the job runs, for a person."""
        return describe(schedule_of(self, clock.now()))

    def next_runs(self, count: int = 5) -> list[datetime]:
        """Return the next instants of the schedule in UTC, whether the job is active or not; retries are not in it."""
        at = clock.now()
        schedule = schedule_of(self, at)
        instants: list[datetime] = []
        for _ in range(count):
            at = next_after(schedule, at)
            instants.append(at)
        return instants

    @classmethod
    async def hurry(cls, identifier: str) -> None:
        """Have a scheduler run a job at once, wherever that is, once the running transaction commits.

        Nothing where the job is switched off; one that is running may wait for its next time.
        """
        if await make_due(identifier):
            await ring("cron")

    async def run_now(self, worker: str | None = None) -> Any:
        """Run the job and return its CronRun (see `core.cron.runner.run_now`)."""
        return await run_now(self, worker)

    def _of_people(self) -> set[str]:
        names = set(self._meta.db_fields) - _OF_THE_SCHEDULER - {"id"}
        # The scheduler sets an anchor where there is none, and a copy from before that does not know it.
        return names if self.anchor_at else names - {"anchor_at"}

    async def _schedule_changed(self, names: set[str]) -> bool:
        stored = await type(self).get_or_none(id=self.pk)
        return stored is not None and any(
            getattr(stored, name) != getattr(self, name) for name in names.intersection(_SCHEDULE)
        )
