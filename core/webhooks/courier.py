"""The loop that makes calls: claims what is due, posts it signed, and writes what became of it.

At least once and in no promised order. Nothing of an answer is kept but its status: whoever chooses an address must
not read with it what answers inside our network.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any, Self

import structlog

from core import clock
from core.errors import ConfigError
from core.orm.outage import database_errors
from core.runtime import get_model, runtime, settings
from core.transport.http import HttpClient, HttpError, HttpLimits
from core.transport.peer import PeerPolicy
from core.webhooks.claim import Call, claim, due_in_s, release, settle, sweep
from core.webhooks.note import TOPIC
from core.webhooks.retry import Next, Verdict, after
from core.webhooks.signing import signature

log = structlog.get_logger(__name__)

_SLOTS = 8
_POLL_S = 5.0
_SWEEP_EVERY_S = 5.0
_LEAST_PAUSE_S = 0.25
_GRACE_S = 20.0
_LIMITS = HttpLimits(connect_s=5.0, total_s=20.0, reply_bytes=4096)
_ERROR_CHARS = 300


async def deliver_webhooks(stop: asyncio.Event) -> None:
    """Tell others what happened until `stop`; what is on its way then has some seconds to end."""
    async with Courier() as courier:
        await courier.run(stop)


class Courier:
    """Makes calls, a few at a time; an async context manager."""

    def __init__(self) -> None:
        self._http = HttpClient(PeerPolicy.of(settings().PRIVATE_HOSTS_ALLOWED), _LIMITS)
        self._under_way: dict[asyncio.Task[None], Call] = {}
        self._swept_at = float("-inf")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._http.__aexit__(*exc)

    async def run(self, stop: asyncio.Event) -> None:
        """Make calls until `stop`, woken by the bell and looking by itself now and then."""
        is_away = False
        try:
            while not stop.is_set():
                try:
                    pause_s = await self._begin()
                    is_away = False
                except database_errors() as error:
                    if not is_away:
                        log.warning("webhooks wait: the database is away", error=str(error))
                    is_away, pause_s = True, random.uniform(0.3, 1.5)  # noqa: S311 - jitter
                await runtime().bell.wait_until(stop, TOPIC, pause_s, self._under_way)
        finally:
            await self._wind_down()

    async def drain(self) -> int:
        """Make every call that is due now; return how many tries there were."""
        tries = 0
        while True:
            await self._begin()
            if not self._under_way:
                return tries
            tries += len(self._under_way)
            await asyncio.wait(self._under_way)

    async def _begin(self) -> float:
        """Begin what is due as far as there is room; return how long there will be nothing to begin."""
        if time.monotonic() - self._swept_at > _SWEEP_EVERY_S:
            await sweep()
            self._swept_at = time.monotonic()
        room = _SLOTS - len(self._under_way)
        calls = await claim(room) if room else []
        for call in calls:
            task = asyncio.create_task(self._make(call))
            self._under_way[task] = call
            task.add_done_callback(self._ended)
        if len(calls) == room:
            return _POLL_S if room == 0 else 0.0
        # What is due and cannot be begun waits for its webhook's other calls, which another worker may be making.
        return max(await due_in_s(_POLL_S), _LEAST_PAUSE_S)

    async def _wind_down(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_GRACE_S)
        broken_off = list(self._under_way.values())
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await release(broken_off)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a webhook's call was not settled; its lease will run out", exc_info=error)

    async def _make(self, call: Call) -> None:
        webhook = await get_model("Webhook").get_or_none(id=call.webhook_id)
        if webhook is None:
            return
        begun_at = time.monotonic()
        try:
            status, words, asked_s = await self._post(webhook, call)
        except ConfigError as error:  # A secret whose key is lost: only a person can mend it.
            status, words, asked_s = None, str(error), None
        took_ms = round((time.monotonic() - begun_at) * 1000)
        verdict = after(status, call.attempts, asked_s)
        state = {Next.DELIVERED: "delivered", Next.FAILED: "failed"}.get(verdict.next, "queued")
        told = {"last_status": status, "last_error": words[:_ERROR_CHARS], "duration_ms": took_ms}
        if await settle(call, state, verdict.wait_s, told):
            await _tell_webhook(webhook, verdict, words)

    async def _post(self, webhook: Any, call: Call) -> tuple[int | None, str, float | None]:
        """Return the status of the answer, what went wrong in words, and the Retry-After in seconds."""
        body, at_s = call.payload.encode(), int(clock.now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": call.event_id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": signature(webhook.secrets_in_force(), call.event_id, at_s, body),
        }
        try:
            reply = await self._http.post(webhook.url, body, headers)
        except HttpError as error:
            return None, str(error), None
        words = "" if 200 <= reply.status < 300 else f"It answered {reply.status}."
        return reply.status, words, _retry_after_s(reply.headers)


async def _tell_webhook(webhook: Any, verdict: Verdict, words: str) -> None:
    """Let the webhook know how its receiver does: pauses and switching off are its own."""
    if verdict.next is Next.DELIVERED:
        await webhook.note_success()
    elif verdict.next is Next.GONE:
        await webhook.switch_off("Its receiver answered 410: it wants no more calls.")
    else:
        await webhook.note_failure(words)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After where it is a number of seconds (RFC 9110, 10.2.3)."""
    text = headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
