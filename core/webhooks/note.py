"""Writing down who is to be told of what happened, in the transaction of it: so none is lost, and none of a rollback.

Which webhooks there are is remembered for some seconds, so that a host without any asks nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import uuid4

from core import clock
from core.events import ring
from core.orm.transaction import transaction
from core.runtime import get_model, runtime
from core.webhooks.events import HOOKS, TEST, Happened, about

TOPIC = "webhook"
"""What the bell rings when there is something to tell."""
_RUNG = "webhooks are rung for"
_REMEMBERED_S = 5.0
_STATEMENT = """INSERT INTO webhook_call (webhook_id, event_id, event, payload, state, attempts, due_at, last_error,
                                          created_at)
                SELECT id, {0}, {1}, {2}, 'queued', 0, {now}, '', {now} FROM webhook WHERE active AND {among}{lock}"""


@dataclass(frozen=True, slots=True)
class _Listener:
    """What a webhook wants to hear; of all models where it names none, of all companies where it has none."""

    id: int
    events: frozenset[str]
    models: frozenset[str]
    company_id: int | None

    def wants(self, happened: Happened) -> bool:
        return (
            happened.event in self.events
            and (not self.models or happened.model in self.models)
            and (self.company_id is None or happened.company_id in (None, self.company_id))
        )


async def note(hook: str, values: Mapping[str, Any]) -> None:
    """Write down the calls that follow from an event, by the name of its hook; nothing where nobody listens."""
    if not await heard(hook):
        return
    happened = about(hook, values)
    listeners = [one.id for one in await _listeners() if one.wants(happened)]
    if listeners:
        await _write(happened, listeners)


async def note_test(webhook: Any) -> str:
    """Write down a call that only shows that it arrives; return its event id. The webhook must be active."""
    return await _write(Happened(TEST, {"webhook": webhook.name}), [webhook.pk])


async def heard(*hooks: str) -> bool:
    """Tell whether anybody listens to one of these events."""
    events = {HOOKS[hook][0] for hook in hooks if hook in HOOKS}
    return bool(events) and any(one.events & events for one in await _listeners())


def forget_listeners() -> None:
    """Ask the database anew, in this process, next time."""
    get_model("Webhook")._heard = None


async def _listeners() -> tuple[_Listener, ...]:
    # They are the model's own, and so die with its host.
    model: Any = get_model("Webhook")
    known: tuple[float, tuple[_Listener, ...]] | None = model._heard
    if known is None or known[0] < monotonic() - _REMEMBERED_S:
        rows = await model.filter(active=True).values_list("id", "events", "models", "company_id")
        found = tuple(_Listener(key, frozenset(events), frozenset(models), of) for key, events, models, of in rows)
        known = model._heard = (monotonic(), found)
    return known[1]


async def _write(happened: Happened, listeners: list[int]) -> str:
    database = runtime().database
    dialect = database.dialect
    event_id = f"evt_{uuid4().hex}"
    payload = {"type": happened.event, "timestamp": clock.now().isoformat(), "data": happened.data}
    sql = _STATEMENT.format(
        *(dialect.param(at) for at in (1, 2, 3)),
        now=dialect.now(),
        among=dialect.among("id", dialect.param(4)),
        # A webhook that is deleted meanwhile must not take along what happened.
        lock=" FOR KEY SHARE" if dialect.name == "postgres" else "",
    )
    body = json.dumps(payload, ensure_ascii=True, separators=(",", ":"))
    async with transaction() as running:
        await database.execute(sql, [event_id, happened.event, body, dialect.ids(listeners)])
        if running.memo.setdefault(_RUNG, event_id) == event_id:  # Once, however much happened.
            await ring(TOPIC)
    return event_id
