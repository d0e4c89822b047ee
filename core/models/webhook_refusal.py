"""`WebhookRefusal`: calls of a webhook that were not let in, counted by their reason, for whoever operates the host."""

from __future__ import annotations

from core import clock
from core.orm import fields
from core.orm.record import Record
from core.runtime import get_model, runtime


class WebhookRefusal(Record):
    """One reason why calls of one webhook were refused."""

    label_field = "reason"
    _title = "Refused webhook calls"

    webhook = fields.CharField(max_length=32)
    reason = fields.CharField(max_length=200)
    count = fields.BigIntField(default=0)
    first_at = fields.DatetimeField()
    last_at = fields.DatetimeField()

    class Meta:
        unique_together = (("webhook", "reason"),)

    @classmethod
    async def note(cls, webhook: str, reason: str, count: int = 1) -> None:
        """Count refused calls, and tell the administrators, once until they have looked."""
        database = runtime().database
        dialect = database.dialect
        params = ", ".join(map(dialect.param, range(1, 6)))
        now = dialect.time(clock.now())
        await database.execute(
            f"""INSERT INTO webhook_refusal (webhook, reason, count, first_at, last_at) VALUES ({params})
                ON CONFLICT (webhook, reason) DO UPDATE SET
                    count = webhook_refusal.count + excluded.count, last_at = excluded.last_at""",
            [webhook, reason[:200], count, now, now],
        )
        await get_model("Notification").tell_admins(
            f"Calls of the {webhook} webhook are refused",
            f"A call was refused: {reason}. If it was your mail provider's, its events are lost until both sides have "
            "the same secret. `postroom doctor` counts these calls.",
        )
