"""Forgetting what is over: mail that reached its end long ago and is of no record. Unsent mail is never touched."""

from __future__ import annotations

from collections.abc import Sequence

from core.delivery.pacing import forget_old_use
from core.idempotency import forget_old_keys
from core.orm.transaction import transaction
from core.runtime import runtime, settings

_AT_ONCE = 500
_OVER = "'sent', 'cancelled'"


async def forget_old_mail() -> tuple[int, bool]:
    """Delete what RETENTION_DAYS is over for, a part at a time; return how many rows, and whether more are left."""
    forgotten = await forget_old_keys() + await forget_old_use()
    days = settings().RETENTION_DAYS
    if not days:
        return forgotten, False
    parts = [await _old_messages(days), await _old_attempts(days), await _old_events(days)]
    return forgotten + sum(parts), _AT_ONCE in parts


async def _old_messages(days: int) -> int:
    """Delete mail of no record of which every recipient was sent or stopped before then."""
    database = runtime().database
    dialect = database.dialect
    before = dialect.now(-days * 86_400.0)
    async with transaction():
        rows = await database.fetch(
            f"""SELECT id FROM message
                WHERE direction = 'Outbound' AND res_model IS NULL AND send_state IN ('Sent', 'Cancelled')
                  AND created_at < {before} AND COALESCE(sent_at, created_at) < {before}
                  AND NOT EXISTS (SELECT 1 FROM delivery
                                  WHERE delivery.message_id = message.id AND delivery.state NOT IN ({_OVER}))
                ORDER BY id LIMIT {_AT_ONCE}"""
        )
        ids = [dialect.ids([row["id"] for row in rows])]
        files = await database.fetch(
            f"SELECT attachment_id FROM message_attachment WHERE {dialect.among('message_id', dialect.param(1))}", ids
        )
        await database.execute(f"DELETE FROM message WHERE {dialect.among('id', dialect.param(1))}", ids)
        await _nobodys_files([row["attachment_id"] for row in files])
    return len(rows)


async def _nobodys_files(ids: Sequence[int]) -> None:
    """Delete those files that belong to no record and that no message and no template carries any more."""
    if not ids:
        return
    database = runtime().database
    dialect = database.dialect
    used = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {table} WHERE {table}.attachment_id = attachment.id)"
        for table in ("message_attachment", "template_attachment")
    )
    await database.execute(
        f"""DELETE FROM attachment
            WHERE {dialect.among("id", dialect.param(1))} AND res_model IS NULL AND identifier IS NULL AND {used}""",
        [dialect.ids(ids)],
    )


async def _old_attempts(days: int) -> int:
    """Delete the tries of deliveries that are over; the delivery itself still says how it ended."""
    database = runtime().database
    dialect = database.dialect
    return await database.execute(
        f"""DELETE FROM attempt WHERE id IN (
            SELECT attempt.id FROM attempt JOIN delivery ON delivery.id = attempt.delivery_id
            WHERE attempt.at < {dialect.now(-days * 86_400.0)} AND delivery.state IN ({_OVER})
            ORDER BY attempt.id LIMIT {_AT_ONCE})"""
    )


async def _old_events(days: int) -> int:
    """Delete what providers told; what followed from it stands at the deliveries and under Suppression."""
    database = runtime().database
    return await database.execute(
        f"""DELETE FROM mail_event WHERE id IN (
            SELECT id FROM mail_event WHERE created_at < {database.dialect.now(-days * 86_400.0)}
            ORDER BY id LIMIT {_AT_ONCE})"""
    )
