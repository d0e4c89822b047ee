"""`CronRun`: one start of a cron job, and how it ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from core import clock
from core.cron.method import cron_method
from core.orm import fields
from core.orm.record import Record

_KEPT = timedelta(days=30)


class CronRun(Record):
    """A row for every start, also of one that never came to its end."""

    job: Any = fields.ForeignKeyField("models.CronJob", related_name="runs", on_delete=fields.CASCADE)
    due_at = fields.DatetimeField(null=True)
    """The scheduled instant; None for a run that a person asked for."""
    started_at = fields.DatetimeField()
    ended_at = fields.DatetimeField(null=True)
    outcome = fields.SelectionField(
        {
            "running": "Running",
            "done": "Done",
            "failed": "Failed",
            "timeout": "Timed out",
            "lost": "Worker lost",
            "stopped": "Stopped",
        },
        default="running",
    )
    worker = fields.CharField(max_length=128)
    items = fields.IntField(default=0)
    """What the method said it worked on."""
    error = fields.TextField(default="")

    class Meta:
        indexes = (("job_id", "started_at"),)

    @classmethod
    @cron_method
    async def cron_prune(cls) -> int:
        """Delete the runs that ended 30 days ago and earlier; return how many."""
        count: int = await cls.filter(ended_at__lte=clock.now() - _KEPT).delete()
        return count
