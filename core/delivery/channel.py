"""Channels beside e-mail, on the same queue: what a provider is given, what it answers, and one provider's share of
a claim.

The discipline is that of mail: each recipient is marked before its text leaves (C4), each has a result of its own, a
link that is lost after the request was written is "unknown", and a provider at fault is paused while its messages wait
and burn no retry. `MAIL_MODE: catch` never comes here (see `core.delivery.catch`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Any, Protocol, Self

import structlog

from core import clock
from core.contributions import Channel
from core.delivery.claim import release
from core.delivery.job import Job
from core.delivery.ledger import Ledger
from core.delivery.pacing import limits_of, take
from core.delivery.receipts import remote_name, settle_receipts
from core.delivery.results import Result, unsendable
from core.delivery.servers import note_fault, note_success
from core.delivery.side_by_side import side_by_side
from core.errors import PostroomError, TemporaryFailure, UnknownName, UserError, did_you_mean
from core.mail.retry import Outcome, Phase
from core.orm.outage import database_errors
from core.runtime import get_model, runtime, settings
from core.transport.http import HttpClient, HttpError
from core.transport.peer import PeerPolicy

log = structlog.get_logger(__name__)

EMAIL = "email"
_LONGEST_SEND_S = 60.0
_LONGEST_PUT_OFF_S = 120.0
"""Messages of a paused provider look again after this long at the latest, since somebody may have mended it."""
_LONGEST_PAUSE_S = 3600.0
_UNNOTED_FAULT_S = 30.0
_DATABASE_AWAY_S = 5.0
_SHORT_WAIT_S = 1.0
_WORDS_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class ChannelMessage:
    """What a provider sends: one text to one recipient.

    `reference` names the delivery, the same on every try: a provider that takes one repeats nothing, and its receipts
    can name it. `options` are what the message was queued with beside its text.
    """

    recipient: str
    text: str
    sender: str
    reference: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChannelResult:
    """What became of one message; made by `sent`, `temporary`, `permanent`, `fault` or `unknown`."""

    outcome: Outcome
    words: str = ""
    code: int | None = None
    remote_id: str = ""
    wait_s: float = 0

    @classmethod
    def sent(cls, remote_id: str = "", words: str = "Accepted", code: int | None = None) -> Self:
        """The provider took it, and calls it `remote_id`."""
        return cls(Outcome.SENT, words, code, remote_id)

    @classmethod
    def temporary(cls, words: str, code: int | None = None) -> Self:
        """Refused for now: this recipient is tried again on the message's schedule."""
        return cls(Outcome.TEMPORARY, words, code)

    @classmethod
    def permanent(cls, words: str, code: int | None = None) -> Self:
        """Refused for good."""
        return cls(Outcome.PERMANENT, words, code)

    @classmethod
    def fault(cls, words: str, code: int | None = None, wait_s: float = 0) -> Self:
        """The provider or our account is at fault, not this message: it stays queued and burns no retry.

        The provider is left alone for `wait_s`, where it asks for that, and for longer and longer after five faults.
        """
        return cls(Outcome.SERVER, words, code, wait_s=wait_s)

    @classmethod
    def unknown(cls, words: str, code: int | None = None) -> Self:
        """It may have been taken: the policy `on_unknown` decides."""
        return cls(Outcome.UNKNOWN, words, code)


class Host(Protocol):
    """What a share needs of its engine."""

    ledger: Ledger

    @property
    def is_stopping(self) -> bool: ...

    def holding(self, key: str, jobs: deque[Job]) -> AbstractContextManager[float]: ...

    def make_room(self, key: str) -> None: ...

    def note_given_back(self) -> None: ...


def channel_named(name: str) -> Channel:
    """Return a channel of the loaded addons; UnknownName with the nearest one otherwise."""
    channels = {channel.name: channel for _, channel in runtime().contributions.channels}
    if name not in channels:
        known = ", ".join(channels) or "none; install an addon such as sms"
        raise UnknownName(f'There is no channel "{name}".{did_you_mean(name, channels)} There are: {known}.')
    return channels[name]


def message_of(job: Job) -> ChannelMessage:
    """Return what a job for one recipient sends."""
    (delivery,) = job.deliveries
    return ChannelMessage(
        recipient=delivery.recipient,
        text=job.message["text"] or "",
        sender=job.message["email_from"],
        reference=str(delivery.id),
        options={**job.message["presentation"].get("options", {})},
    )


def each_alone(jobs: Sequence[Job]) -> list[Job]:
    """Return a job for each recipient: a provider is asked once for each, so each is marked and known by itself."""
    return [job._replace(deliveries=(delivery,)) for job in jobs for delivery in job.deliveries]


async def send_by_channels(engine: Host, token: str, jobs: Sequence[Job]) -> None:
    """Send jobs that are no e-mail, each through the provider that serves it; each is recorded or given back."""
    shares: dict[tuple[str, int], ChannelShare] = {}
    by_channel: dict[str, list[Job]] = defaultdict(list)
    for job in each_alone(jobs):
        by_channel[job.message["channel"]].append(job)
    for name, waiting in by_channel.items():
        try:
            channel = channel_named(name)
            providers = await providers_of(channel)
        except PostroomError as error:
            for job in waiting:
                engine.ledger.record(unsendable(job, Outcome.SERVER, str(error)))
            continue
        for job in waiting:
            provider = provider_for(providers, job.message["company_id"])
            if provider is None:
                engine.ledger.record(unsendable(job, Outcome.SERVER, no_provider(channel)))
            else:
                key = name, provider.pk
                shares.setdefault(key, ChannelShare(engine, channel, provider, token)).add(job)
    await side_by_side(share.send() for share in shares.values())


async def providers_of(channel: Channel) -> list[Any]:
    """Return the channel's active providers, the best first."""
    records: list[Any] = await get_model(channel.provider_model).filter(active=True).order_by("priority", "id")
    return records


def provider_for(providers: Sequence[Any], company_id: int | None) -> Any:
    """Return the provider that serves a company: its own before one for all, or None."""
    serving = [one for one in providers if one.company_id in (None, company_id)]
    return min(serving, key=lambda one: one.company_id is None, default=None)


def no_provider(channel: Channel) -> str:
    """Say what is missing."""
    return f"No {channel.title} provider may send this; make a {channel.provider_model} record that is active."


def http_client() -> HttpClient:
    """Return a client for providers: public addresses only, and those that PRIVATE_HOSTS_ALLOWED names."""
    return HttpClient(PeerPolicy.of(settings().PRIVATE_HOSTS_ALLOWED))


async def try_provider(provider: Any, message: ChannelMessage) -> ChannelResult:
    """Send one message at once through a provider and say how it went, for `provider test`; nothing is queued.

    In `catch` and `hold` mode nothing leaves.
    """
    if settings().MAIL_MODE != "live" and provider.kind != "dev":
        return ChannelResult.fault(f"MAIL_MODE is {settings().MAIL_MODE}: nothing leaves.")
    async with http_client() as http:
        return await ask(provider, message, http)


async def ask(provider: Any, message: ChannelMessage, http: HttpClient) -> ChannelResult:
    """Let a provider send one message; whatever it raises becomes a result."""
    try:
        async with asyncio.timeout(_LONGEST_SEND_S):
            answer: ChannelResult = await provider.send(message, http)
            return answer
    except HttpError as error:
        words = f"{provider.name}: {error}"
        return ChannelResult.unknown(words) if error.was_written else ChannelResult.fault(words)
    except TemporaryFailure as error:
        return ChannelResult.temporary(str(error))
    except UserError as error:
        return ChannelResult.permanent(str(error))
    except Exception as error:  # One message is an edge: nobody knows how far an addon came before it failed.
        log.exception("provider failed", provider=provider.key)
        return ChannelResult.unknown(f"{provider.name} failed: {type(error).__name__}: {error}")


async def pause(key: str, reason: str, wait_s: float) -> float:
    """Leave a provider alone for as long as it asked for, an hour at most; return that in seconds."""
    wait_s = min(wait_s, _LONGEST_PAUSE_S)
    model = get_model("ServerPause")
    row, _ = await model.get_or_create(server=key, defaults={"until_at": clock.now(), "failures": 0})
    row.until_at = max(row.until_at, clock.now() + timedelta(seconds=wait_s))
    row.reason = reason
    await row.save()
    return wait_s


class ChannelShare:
    """The jobs of one claim, each for one recipient, that go through one provider."""

    def __init__(self, engine: Host, channel: Channel, provider: Any, token: str):
        self._engine = engine
        self._channel = channel
        self._provider = provider
        self._token = token
        self._jobs: deque[Job] = deque()
        self._had_faults = False
        self._wait_s = 0.0
        self._why_wait = ""
        self._limits = limits_of(provider.key, provider.rates())
        self._turns = 0
        self._doubtful: list[int] = []

    def add(self, job: Job) -> None:
        """Take a job."""
        self._jobs.append(job)

    async def send(self) -> None:
        """Send what can be sent now; the rest is queued again, due when it makes sense."""
        try:
            await self._look_for_pause()
            with self._engine.holding(self._provider.key, self._jobs) as busy_s:
                self._put_off(busy_s, "It has not answered for what it was given before.")
                lanes = min(self._provider.most_at_once, len(self._jobs)) if self._goes_on() else 0
                async with http_client() as http:
                    await side_by_side(self._lane(http) for _ in range(lanes))
        finally:
            # The lease gives back what an absent database cannot be told now.
            with suppress(*database_errors()):
                await self._release_rest()
        await self._engine.ledger.flush()
        with suppress(*database_errors()):
            await settle_receipts(self._provider.key, self._doubtful)

    async def _look_for_pause(self) -> None:
        row = await get_model("ServerPause").get_or_none(server=self._provider.key)
        if row is not None:
            self._had_faults = True
            self._put_off((row.until_at - clock.now()).total_seconds(), row.reason or "It failed repeatedly.")

    async def _lane(self, http: HttpClient) -> None:
        while self._goes_on():
            job = self._jobs.popleft()
            if not self._jobs:
                self._engine.make_room(self._provider.key)
            try:
                may_begin = await self._may_begin(job)
            except database_errors() as error:
                # The other lanes wait for answers meanwhile, and those are worth having.
                self._jobs.appendleft(job)
                self._put_off(_DATABASE_AWAY_S, f"The database is away: {error}")
                return
            except asyncio.CancelledError:
                self._jobs.appendleft(job)
                raise
            if not may_begin:
                continue
            result = await self._try(job, http)
            if result.outcome is Outcome.SERVER:
                await self._failed(result)
            elif result.outcome is Outcome.SENT and self._had_faults:
                await self._works_again()

    async def _may_begin(self, job: Job) -> bool:
        """Wait for the job's turn and mark it; False where it must not be sent now."""
        if not await self._has_turn():
            self._jobs.appendleft(job)
            return False
        if await self._engine.ledger.begin(job):
            return True
        # Its lease is lost, or it was stopped or suppressed since the claim, or a receipt came: looked at anew.
        await release(self._token, [delivery.id for delivery in job.deliveries])
        return False

    async def _try(self, job: Job, http: HttpClient) -> ChannelResult:
        started_at = monotonic()
        try:
            result = await ask(self._provider, message_of(job), http)
        except asyncio.CancelledError:
            words = "The worker was stopped while it waited for the provider's answer."
            self._record(job, ChannelResult.unknown(words), started_at)
            raise
        self._record(job, result, started_at)
        return result

    def _record(self, job: Job, result: ChannelResult, started_at: float) -> None:
        (delivery,) = job.deliveries
        if result.outcome is Outcome.UNKNOWN:
            self._doubtful.append(delivery.id)
        self._engine.ledger.record(
            [
                Result(
                    delivery,
                    job.token,
                    result.outcome,
                    Phase.CONTENT,
                    code=result.code,
                    reply=result.words[:_WORDS_CHARS],
                    server=self._provider.name,
                    duration_ms=round((monotonic() - started_at) * 1000),
                    remote_id=remote_name(self._provider.key, result.remote_id),
                )
            ]
        )

    async def _has_turn(self) -> bool:
        """Take a turn of the provider's pace, which holds for all workers; False where none comes soon."""
        while self._limits and not self._turns:
            granted, wait_s = await take(self._limits, min(len(self._jobs) + 1, *(one.portion for one in self._limits)))
            self._turns += granted
            if not granted and wait_s > _SHORT_WAIT_S:
                self._put_off(wait_s, "Its pace allows no more for now.")
                return False
            await asyncio.sleep(0 if granted else wait_s)
        self._turns -= bool(self._limits)
        return True

    async def _failed(self, result: ChannelResult) -> None:
        self._had_faults = True
        try:
            wait_s = (await note_fault(self._provider.key, result.words)).total_seconds()
            if result.wait_s > wait_s:
                wait_s = await pause(self._provider.key, result.words, result.wait_s)
        except database_errors():
            wait_s = _UNNOTED_FAULT_S
        log.warning("provider fault", provider=self._provider.key, pause_s=wait_s, reason=result.words)
        self._put_off(wait_s, result.words)

    async def _works_again(self) -> None:
        with suppress(*database_errors()):
            await note_success(self._provider.key)
            self._had_faults = False

    def _put_off(self, wait_s: float, why: str) -> None:
        if wait_s > self._wait_s:
            self._wait_s, self._why_wait = wait_s, why

    def _goes_on(self) -> bool:
        return bool(self._jobs) and not self._wait_s and not self._engine.is_stopping

    async def _release_rest(self) -> None:
        if not self._jobs:
            return
        ids = [delivery.id for job in self._jobs for delivery in job.deliveries]
        await release(self._token, ids, wait_s=min(self._wait_s, _LONGEST_PUT_OFF_S))
        self._engine.note_given_back()
        if self._wait_s > _SHORT_WAIT_S:
            words = f"Waiting: {self._provider.name} is left alone for {clock.span(self._wait_s)}. {self._why_wait}"
            messages = get_model("Message").filter(id__in=[job.message_id for job in self._jobs])
            await messages.exclude(send_state__in=("Sent", "Cancelled", "Held")).update(error=words)
