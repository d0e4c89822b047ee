"""`CronRun`: one start of a cron job, and how it ended."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class CronRun(Record):
    """A row for every start, also of one that never came to its end."""

    job = fields.ForeignKeyField("models.CronJob", related_name="runs", on_delete=fields.CASCADE)
    due_at = fields.DatetimeField(null=True)
    """The scheduled instant; None for a run that a person asked for."""
    started_at = fields.DatetimeField()
    ended_at = fields.DatetimeField(null=True)
    outcome = fields.SelectionField(
        {"running": "Running", "done": "Done", "failed": "Failed", "timeout": "Timed out", "lost": "Worker lost"},
        default="running",
    )
    worker = fields.CharField(max_length=128)
    items = fields.IntField(default=0)
    """What the method said it worked on."""
    error = fields.TextField(default="")

    class Meta:
        indexes = (("job_id", "started_at"),)
