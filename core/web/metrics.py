"""Numbers for Prometheus (text format 0.0.4): what the database knows of the whole host, and this process's requests.

The database is asked by a few indexed statements, at most once in some seconds however many ask. No label has a value
that somebody outside can choose.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from tortoise.functions import Count, Sum

from core import clock
from core.runtime import get_model

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CACHED_S = 5.0
_EPOCH = datetime.fromtimestamp(0, UTC)
"""Before all leases: a comparison, unlike IS NOT NULL as the ORM writes it, is answered by their index."""
_MOST_ROWS = 200
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STEPS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Requests:
    """This process's requests, counted since it began."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._count = Counter(
            "postroom_http_requests",
            "Requests that this process answered; status 0 was cut off.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._durations = Histogram(
            "postroom_http_request_seconds",
            "How long this process took to answer.",
            ("method", "route"),
            buckets=_STEPS_S,
            registry=self.registry,
        )

    def count(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count a request; `route` is the path as it was declared."""
        method = method if method in _METHODS else "OTHER"
        self._count.labels(method, route, str(status)).inc()
        self._durations.labels(method, route).observe(took_s)


class Metrics:
    """All numbers of one web process."""

    def __init__(self, requests: Requests):
        self.requests = requests
        self._lock = asyncio.Lock()
        self._of_host: list[Metric] = []
        self._read_at = float("-inf")

    async def text(self) -> bytes:
        """Return them as Prometheus reads them."""
        async with self._lock:
            if time.monotonic() - self._read_at > _CACHED_S:
                self._of_host = [await read() for read in _READINGS]
                self._read_at = time.monotonic()
        return generate_latest(_Given(self._of_host)) + generate_latest(self.requests.registry)


class _Given(CollectorRegistry):
    """Metrics that were read already."""

    def __init__(self, metrics: Iterable[Metric]):
        super().__init__()
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


async def _messages() -> Metric:
    rows = get_model("Message").filter(send_state__isnull=False).annotate(n=Count("id")).group_by("send_state")
    counts = [(state.lower(), n) for state, n in await rows.values_list("send_state", "n")]
    return _by("postroom_messages", "Outbound messages by state.", "state", counts)


async def _deliveries() -> Metric:
    """Only what an index finds, which those that are leased have together: what is over is counted by message."""
    model = get_model("Delivery")
    leased = model.filter(lease_until__gt=_EPOCH, state__in=("claimed", "sending")).annotate(n=Count("id"))
    by_state = dict(await leased.group_by("state").values_list("state", "n"))
    counts = [("queued", await model.filter(state="queued").count())]
    counts += [(state, by_state.get(state, 0)) for state in ("claimed", "sending")]
    counts.append(("due", await model.filter(state="queued", due_at__lte=clock.now()).count()))
    return _by("postroom_deliveries", "Recipients' copies on their way; `due` are queued too.", "state", counts)


async def _oldest_due() -> Metric:
    due = get_model("Delivery").filter(state="queued", due_at__lte=clock.now()).order_by("due_at", "id")
    found = await due.limit(1).values_list("due_at", flat=True)
    words = "How long the oldest due copy has waited; 0 where none is due."
    return _one("postroom_oldest_due_seconds", words, _age_s(found[0]) if found else 0)


async def _suspended() -> Metric:
    is_suspended = await get_model("QueueSuspension").exists()
    return _one("postroom_queue_suspended", "1 while sending is suspended.", is_suspended)


async def _pauses() -> Metric:
    paused = await get_model("ServerPause").filter(until_at__gt=clock.now()).count()
    return _one("postroom_servers_paused", "Outgoing servers that are left alone for a while.", paused)


async def _inbound() -> Metric:
    rows = get_model("InboundEmail").annotate(n=Count("id")).group_by("state").values_list("state", "n")
    return _by("postroom_inbound_mails", "Mails that came in, by what became of them.", "state", await rows)


async def _mailboxes() -> Metric:
    rows = get_model("IncomingMailServer").filter(active=True).order_by("id").limit(_MOST_ROWS)
    counts = [(str(number), int(since is None)) for number, since in await rows.values_list("id", "failing_since_at")]
    return _by("postroom_mailbox_up", "1 where the last visit of a mailbox went well, by its id.", "mailbox", counts)


async def _mailbox_ages() -> Metric:
    rows = get_model("IncomingMailServer").filter(active=True, last_success_at__isnull=False).order_by("id")
    found = await rows.limit(_MOST_ROWS).values_list("id", "last_success_at")
    ages = [(str(number), _age_s(at)) for number, at in found]
    return _by("postroom_mailbox_success_age_seconds", "How long ago a mailbox was last visited.", "mailbox", ages)


async def _cron_failures() -> Metric:
    rows = get_model("CronJob").all().order_by("id").limit(_MOST_ROWS).values_list("identifier", "failure_count")
    return _by("postroom_cron_failures", "Failed runs of a job since it last went well.", "job", await rows)


async def _cron_ages() -> Metric:
    rows = get_model("CronJob").filter(last_run__isnull=False).order_by("id").limit(_MOST_ROWS)
    ages = [(name, _age_s(at)) for name, at in await rows.values_list("identifier", "last_run")]
    return _by("postroom_cron_run_age_seconds", "How long ago a job last ran.", "job", ages)


async def _webhook_calls() -> Metric:
    model = get_model("WebhookCall")
    counts = [(state, await model.filter(state=state).count()) for state in ("queued", "sending")]
    return _by("postroom_webhook_calls", "Calls of webhooks that are on their way.", "state", counts)


async def _webhook_failures() -> Metric:
    rows = get_model("Webhook").filter(active=True).order_by("id").limit(_MOST_ROWS).values_list("id", "failure_count")
    counts = [(str(number), failed) for number, failed in await rows]
    return _by("postroom_webhook_failures", "Failed tries since the last call that arrived.", "webhook", counts)


async def _refusals() -> Metric:
    rows = get_model("WebhookRefusal").all().annotate(n=Sum("count")).group_by("webhook").values_list("webhook", "n")
    words = "Calls of a webhook that were not let in."
    return _by("postroom_webhook_refusals", words, "webhook", await rows, CounterMetricFamily)


_READINGS: tuple[Callable[[], Awaitable[Metric]], ...] = (
    *(_messages, _deliveries, _oldest_due, _suspended, _pauses, _inbound),
    *(_mailboxes, _mailbox_ages, _cron_failures, _cron_ages, _webhook_calls, _webhook_failures, _refusals),
)


def _by(name: str, words: str, label: str, values: Iterable[Any], family: Any = GaugeMetricFamily) -> Metric:
    metric: Metric = family(name, words, labels=(label,))
    for value, number in values:
        metric.add_sample(name + ("_total" if family is CounterMetricFamily else ""), {label: value}, float(number))
    return metric


def _one(name: str, words: str, number: float) -> Metric:
    return GaugeMetricFamily(name, words, value=float(number))


def _age_s(at: datetime) -> float:
    return max(0.0, (clock.now() - at).total_seconds())
