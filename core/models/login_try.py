"""`LoginTry`: how often somebody has tried to log in lately, counted for all processes together."""

from __future__ import annotations

from core import clock
from core.cron.method import cron_method
from core.mail.signing import signature
from core.orm import fields
from core.orm.record import Record
from core.runtime import runtime, settings


class LoginTry(Record):
    """The tries of one subject in the stretch of time that its first one began.

    `subject` is a signature: people type their password where the login goes, and nobody shall read it here.
    """

    _private = ("subject",)
    _admins_write = ("*",)
    _written_over_http = False

    subject = fields.CharField(max_length=64, unique=True)
    count = fields.IntField()
    ends_at = fields.DatetimeField()

    class Meta:
        indexes = (("ends_at",),)

    @classmethod
    async def count_one(cls, subject: str, limit: int, window_s: float) -> float:
        """Count a try, by the database's clock; return the seconds to wait where it is one too many, or else 0."""
        database = runtime().database
        dialect = database.dialect
        is_over = f"login_try.ends_at <= {dialect.now()}"
        rows = await database.fetch(
            f"""INSERT INTO login_try (subject, count, ends_at)
                VALUES ({dialect.param(1)}, 1, {dialect.now(window_s)})
                ON CONFLICT (subject) DO UPDATE SET
                    count = CASE WHEN {is_over} THEN 1 ELSE login_try.count + 1 END,
                    ends_at = CASE WHEN {is_over} THEN excluded.ends_at ELSE login_try.ends_at END
                RETURNING count, {dialect.seconds_until("ends_at")} AS wait_s""",
            [_signed(subject)],
        )
        return max(1.0, float(rows[0]["wait_s"])) if rows[0]["count"] > limit else 0.0

    @classmethod
    async def forget(cls, subject: str) -> None:
        """Start anew for a subject, after a success."""
        await cls.filter(subject=_signed(subject)).delete()

    @classmethod
    @cron_method
    async def cron_prune(cls) -> int:
        """Delete what counts no longer; return how many."""
        count: int = await cls.filter(ends_at__lte=clock.now()).delete()
        return count


def _signed(subject: str) -> str:
    return signature(settings().secret_keys, "login try", subject).hex()
