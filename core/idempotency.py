"""The same request twice, one effect: a caller's key, and what it brought about.

One store for all: the queue, webhooks and the HTTP API. It works in the running transaction. A second caller with the
same key waits in the database until the first one's transaction has ended, and then finds its outcome, or nothing where
it was rolled back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from core.errors import UserError
from core.runtime import acting_user, runtime, settings

KEY_CHARS = 200


class KeyMismatch(UserError):
    """The key was used before, for another request."""

    code = "key_mismatch"


def scope_of(what: str) -> str:
    """Return the scope of the acting user's keys for something; the system's own are apart."""
    user = acting_user()
    return what if user is None else f"{what}:{user.pk}"


async def earlier_outcome(scope: str, key: str, fingerprint: str) -> Mapping[str, Any] | None:
    """Take the key for this request and return None; or return what it has brought about already.

    That is empty where the key was committed by itself, and its request has not ended, or nobody knows how. Raises
    KeyMismatch where the key belongs to another request. A key is kept for IDEMPOTENCY_HOURS.
    """
    if not 0 < len(key) <= KEY_CHARS:
        raise UserError(f"An idempotency key has 1 to {KEY_CHARS} characters.")
    database = runtime().database
    dialect = database.dialect
    param = dialect.param
    await database.execute(
        f"""DELETE FROM idempotency_key
            WHERE scope = {param(1)} AND "key" = {param(2)} AND created_at < {dialect.now(-_kept_s())}""",
        [scope, key],
    )
    taken = await database.fetch(
        f"""INSERT INTO idempotency_key (scope, "key", fingerprint, outcome, created_at)
            VALUES ({param(1)}, {param(2)}, {param(3)}, '{{}}', {dialect.now()})
            ON CONFLICT (scope, "key") DO NOTHING RETURNING id""",
        [scope, key, fingerprint],
    )
    if taken:
        return None
    rows = await database.fetch(
        f'SELECT fingerprint, outcome FROM idempotency_key WHERE scope = {param(1)} AND "key" = {param(2)}',
        [scope, key],
    )
    if not rows:  # It was let go just now.
        return await earlier_outcome(scope, key, fingerprint)
    if rows[0]["fingerprint"] != fingerprint:
        raise KeyMismatch(f'The idempotency key "{key}" was used for another request; take a new key for a new one.')
    outcome: Mapping[str, Any] = json.loads(rows[0]["outcome"])
    return outcome


async def keep_outcome(scope: str, key: str, outcome: Mapping[str, Any]) -> None:
    """Store what a taken key brought about."""
    database = runtime().database
    param = database.dialect.param
    await database.execute(
        f'UPDATE idempotency_key SET outcome = {param(3)} WHERE scope = {param(1)} AND "key" = {param(2)}',
        [scope, key, json.dumps(outcome)],
    )


async def let_go(scope: str, key: str) -> None:
    """Forget a key whose request brought nothing about, so that it may be used again."""
    database = runtime().database
    param = database.dialect.param
    await database.execute(f'DELETE FROM idempotency_key WHERE scope = {param(1)} AND "key" = {param(2)}', [scope, key])


async def forget_old_keys() -> int:
    """Delete the keys whose time is over; return how many."""
    database = runtime().database
    return await database.execute(f"DELETE FROM idempotency_key WHERE created_at < {database.dialect.now(-_kept_s())}")


def _kept_s() -> float:
    return settings().IDEMPOTENCY_HOURS * 3600.0
