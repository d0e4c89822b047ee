"""What `/api/campaigns` takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from .audience import Preview
from .statistics import Statistics, standstills_of

LARGEST = 2**63 - 1
MOST_IMPORTED = 50_000

State = Literal["draft", "scheduled", "running", "paused", "finished", "cancelled"]
RecipientState = Literal["waiting", "queued", "unknown", "sent", "bounced", "failed", "skipped", "cancelled"]
_Id = Annotated[int, Field(ge=1, le=LARGEST)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Line = Annotated[str, Field(max_length=512)]


class CampaignChanges(BaseModel):
    """What a draft may be given. The audience is `mailing_list`, or the records of `audience_model`, filtered.

    The text is `template`, or `subject` and `body`. `address_field` says where a record's address is (`contact.email`).
    """

    model_config = ConfigDict(extra="forbid")

    name: _Name = ""
    mailing_list: _Id | None = None
    audience_model: Annotated[str, Field(max_length=100)] = ""
    audience_filter: dict[str, Any] | None = None
    address_field: Annotated[str, Field(max_length=200)] = "email"
    name_field: Annotated[str, Field(max_length=200)] = ""
    template: _Id | None = None
    subject: Annotated[str, Field(max_length=998)] = ""
    body: Annotated[str, Field(max_length=256 * 1024)] = ""
    from_email: _Line = ""
    reply_to: _Line = ""
    server: Annotated[str, Field(min_length=1, max_length=32)] | None = None
    tracked: bool = True


class NewCampaign(CampaignChanges):
    """A campaign to be made; it has a name."""

    name: _Name


class CampaignTold(BaseModel):
    """A campaign. `standstill` says why nothing of it leaves; empty where it goes on, or there is nothing to go on."""

    id: int
    name: str
    state: State
    standstill: str
    mailing_list: int | None
    audience_model: str
    audience_filter: dict[str, Any] | None
    address_field: str
    name_field: str
    template: int | None
    subject: str
    body: str
    from_email: str
    reply_to: str
    server: str | None
    tracked: bool
    user: int | None
    company: int | None
    scheduled_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    created_at: datetime

    @classmethod
    async def of(cls, campaign: Any) -> Self:
        """Return what is told of a Campaign."""
        return (await cls.of_all([campaign]))[0]

    @classmethod
    async def of_all(cls, campaigns: Sequence[Any]) -> list[Self]:
        """Return what is told of some."""
        standstills = await standstills_of(campaigns)
        return [cls(standstill=standstills[one.pk], **_told(cls, one)) for one in campaigns]


class Campaigns(BaseModel):
    """A page of campaigns, newest first; the last one where `next_cursor` is null."""

    items: list[CampaignTold]
    next_cursor: str | None


class Start(BaseModel):
    """When to start; without a time, at once."""

    model_config = ConfigDict(extra="forbid")

    scheduled_at: AwareDatetime | None = None


class Pause(BaseModel):
    """Why it is stopped, for whoever looks at it."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(max_length=500)] = ""


class Retried(BaseModel):
    """How many recipients get a new mail."""

    retried: int


class Tested(BaseModel):
    """The test mail in the queue."""

    message_id: int
    to: str


class RecipientTold(BaseModel):
    """One recipient, and what became of the mail. `message` is null before there is one, and when it was forgotten."""

    id: int
    address: str
    name: str
    state: RecipientState
    reason: str
    record_model: str
    record_id: int
    message: int | None
    sent_at: datetime | None
    opened_at: datetime | None
    fetched_at: datetime | None
    clicked_at: datetime | None
    bounced_at: datetime | None
    complained_at: datetime | None
    unsubscribed_at: datetime | None

    @classmethod
    def of(cls, recipient: Any) -> Self:
        """Return what is told of a CampaignRecipient."""
        return cls(**_told(cls, recipient))


class Recipients(BaseModel):
    """A page of recipients; the last one where `next_cursor` is null."""

    items: list[RecipientTold]
    next_cursor: str | None


class Rates(BaseModel):
    """Shares of the accepted; null where nothing was accepted."""

    delivered: float | None
    bounced: float | None
    opened: float | None
    fetched: float | None
    clicked: float | None
    unsubscribed: float | None
    complained: float | None


class ReasonCount(BaseModel):
    """Why so many of one state got nothing."""

    state: RecipientState
    reason: str
    count: int


class StatisticsTold(BaseModel):
    """A campaign in figures; `states` add up to `audience`. Opens are an estimate, machines' apart from people's."""

    audience: int
    states: dict[RecipientState, int]
    accepted: int
    delivered: int
    bounced: int
    opened_by_people: int
    opened_by_machines: int
    clicked: int
    unsubscribed: int
    complained: int
    rates: Rates
    reasons: list[ReasonCount]
    sent_per_minute: float | None
    seconds_left: int | None

    @classmethod
    def of(cls, statistics: Statistics) -> Self:
        """Return what is told of figures."""
        told = {name: getattr(statistics, name) for name in cls.model_fields if name != "reasons"}
        reasons = [ReasonCount(state=state, reason=why, count=count) for state, why, count in statistics.reasons]
        return cls(**told, reasons=reasons)


class PersonTold(BaseModel):
    """One of an audience."""

    address: str
    name: str
    record_model: str
    record_id: int


class Audience(BaseModel):
    """How many an audience is before it is frozen: `addresses` are different ones, `suppressed` would be skipped."""

    records: int
    addresses: int
    without_address: int
    suppressed: int
    sample: list[PersonTold]

    @classmethod
    def of(cls, found: Preview) -> Self:
        """Return what is told of a preview."""
        sample = [
            PersonTold(address=one.address, name=one.name, record_model=one.model, record_id=one.record_id)
            for one in found.sample
        ]
        counts = ("records", "addresses", "without_address", "suppressed")
        return cls(**{name: getattr(found, name) for name in counts}, sample=sample)


class Subscriber(BaseModel):
    """Who is to be on a list."""

    model_config = ConfigDict(extra="forbid")

    address: Annotated[str, Field(max_length=512)]
    name: Annotated[str, Field(max_length=200)] = ""


class Subscribers(BaseModel):
    """Many of them; all are taken, or none."""

    model_config = ConfigDict(extra="forbid")

    subscribers: Annotated[list[Subscriber], Field(max_length=MOST_IMPORTED)]


class Subscribed(BaseModel):
    """How many were given, and how many of them are new on the list."""

    given: int
    new: int


def _told(shape: type[BaseModel], record: Any) -> dict[str, Any]:
    """Return a record's values by the names of a shape; a relation is its id."""
    keys = type(record)._meta.fk_fields
    return {
        name: getattr(record, f"{name}_id" if name in keys else name)
        for name in shape.model_fields
        if name != "standstill"
    }
