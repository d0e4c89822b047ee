"""What the queue API takes and gives."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from core.web.parameters import NO_NUL, LinkedId
from core.web.problem import Problem
from core.web.queue_read import State, Story, Wanted, state_of
from core.web.words import clock_text, state_sentence, zone

MOST_AT_ONCE = 500
Action = Literal["retry", "hold", "release", "cancel", "send"]
Name = Annotated[str, Field(max_length=320, pattern=NO_NUL)]


class QueueStats(BaseModel):
    """Outbound messages by state."""

    counts: dict[str, int]
    total: int


class QueuedMessage(BaseModel):
    """A message and how its sending stands. `model` and `record_id` are whose it is, both null where it is nobody's."""

    id: int
    state: State
    channel: str
    subject: str
    email_from: str
    to: list[str]
    cc: list[str]
    message_id: str | None
    model: str | None
    record_id: int | None
    template: str | None
    priority: int
    retry_count: int
    error: str
    created_at: datetime
    scheduled_at: datetime | None
    next_retry_at: datetime | None
    expires_at: datetime | None
    sent_at: datetime | None
    bounced_at: datetime | None

    @classmethod
    def of(cls, message: Any) -> Self:
        """Return what is told of a Message."""
        return cls(**_told(message))


class QueuedMessages(BaseModel):
    """A page of messages, newest first; it may be short, and is the last one where `next_cursor` is null."""

    items: list[QueuedMessage]
    next_cursor: str | None


class DeliveryLine(BaseModel):
    """One recipient's copy of a message. `due_at` is when it is tried next, while it is queued."""

    id: int
    message: int
    subject: str
    recipient: str
    kind: str
    state: str
    attempts: int
    priority: int
    due_at: datetime
    bounced_at: datetime | None

    @classmethod
    def of(cls, delivery: Any) -> Self:
        """Return what is told of a Delivery, whose message is loaded."""
        names = ("id", "recipient", "kind", "state", "attempts", "priority", "due_at", "bounced_at")
        values = {name: getattr(delivery, name) for name in names}
        return cls(message=delivery.message_id, subject=delivery.message.subject, **values)


class DeliveryLines(BaseModel):
    """A page of copies, newest first; as of messages."""

    items: list[DeliveryLine]
    next_cursor: str | None


class Try(BaseModel):
    """One try: how far it came (`phase`), what was answered, by whom, and how long it took."""

    at: datetime
    outcome: str
    phase: str
    code: int | None
    enhanced: str | None
    reply: str
    server: str
    tls: str
    duration_ms: int
    worker: str


class Report(BaseModel):
    """What came back later: a bounce, a complaint, a receipt. `proven` says whether who told it must know."""

    created_at: datetime
    kind: str
    status: str
    reason: str
    proven: bool


class DeliveryStory(BaseModel):
    """One recipient's copy with its tries and what was reported of it."""

    id: int
    recipient: str
    kind: str
    state: str
    attempts: int
    due_at: datetime
    opened_at: datetime | None
    clicked_at: datetime | None
    bounced_at: datetime | None
    complained_at: datetime | None
    tries: list[Try]
    reports: list[Report]


class MessageStory(QueuedMessage):
    """A message and why it did not arrive, or did: `standing` in a sentence, `actions` that the caller may take now."""

    standing: str
    actions: list[Action]
    deliveries: list[DeliveryStory]

    @classmethod
    def told(cls, story: Story, actions: Iterable[Any]) -> Self:
        """Return what is told of a Story."""
        copies = [
            DeliveryStory(
                **{name: getattr(one, name) for name in DeliveryStory.model_fields if name not in ("tries", "reports")},
                tries=[_read(Try, row) for row in story.tries.get(one.pk, ())],
                reports=[_read(Report, row) for row in story.reports.get(one.pk, ())],
            )
            for one in story.copies
        ]
        standing = state_sentence(story.message, story.copies, lambda at: clock_text(at, zone("UTC")), story.stopped)
        return cls(**_told(story.message), standing=standing, actions=list(actions), deliveries=copies)


class MessageFilter(BaseModel):
    """Messages in a state, and further as the parameters of the list say."""

    model_config = ConfigDict(extra="forbid")

    state: State
    server: Name | None = None
    recipient: Name | None = None
    template: Name | None = None
    model: Name | None = None
    record_id: LinkedId | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None

    def wanted(self) -> Wanted:
        """Return what is asked for."""
        return Wanted(**{name: getattr(self, name) for name in type(self).model_fields})


class Steering(BaseModel):
    """What to do, and with which messages: those with these ids, or the oldest ones that fit the filter."""

    model_config = ConfigDict(extra="forbid")

    action: Action
    ids: Annotated[list[LinkedId], Field(max_length=MOST_AT_ONCE)] | None = None
    filter: MessageFilter | None = None
    limit: int = Field(100, ge=1, le=MOST_AT_ONCE, description="Of the filter: how many at once.")

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("Give either ids or a filter.")
        return self


class Steered(BaseModel):
    """What became of one message: its state now, and the problem where nothing was done."""

    id: int
    status: int
    state: State | None
    problem: Problem | None = None


class SteeringAnswer(BaseModel):
    """The outcomes, in the order of the messages."""

    items: list[Steered]


class Suspension(BaseModel):
    """Whether the queue as a whole is stopped: why, since when and by whom; null while it runs."""

    suspended: bool
    reason: str
    since_at: datetime | None
    user: str | None


class Suspending(BaseModel):
    """Why nothing shall be sent, for whoever wonders."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(max_length=500, pattern=NO_NUL)] = ""


_SAME = (
    *("id", "channel", "subject", "email_from", "message_id", "template", "priority", "retry_count", "error"),
    *("created_at", "scheduled_at", "next_retry_at", "expires_at", "sent_at", "bounced_at"),
)


def _told(message: Any) -> dict[str, Any]:
    named = {"to": message.email_to, "cc": message.email_cc, "model": message.res_model, "record_id": message.res_id}
    return {"state": state_of(message), **named, **{name: getattr(message, name) for name in _SAME}}


def _read(shape: Any, row: Any) -> Any:
    return shape(**{name: getattr(row, name) for name in shape.model_fields})
