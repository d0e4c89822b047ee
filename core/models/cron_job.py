"""`CronJob`: a marked method that the scheduler calls, and when."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class CronJob(Record):
    """A scheduled call of a model's method. The scheduler owns the fields from `status` on."""

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
