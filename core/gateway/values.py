"""The words of the gateway: a mail as the rules see it, what they may answer, and the account of a decision.

Plain values; nothing here reads or writes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from core.mail.address import normalised
from core.mail.authentication import NOT_ASKED, Authentication
from core.mail.complaint import Complaint
from core.mail.notice import Challenge, Notice
from core.mail.original import Original
from core.mail.receipt import Receipt
from core.mail.return_path import Origin
from core.mail.values import Bounce, BouncedRecipient, IncomingEmail


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file as it will be stored: its type is what the bytes show; `content_id` only where the body shows it."""

    name: str
    content_type: str
    content: bytes = field(repr=False)
    sha256: str
    content_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A mail from the spool, read: what rules and hooks are given.

    `text` and `html` are the body in both forms, one made from the other where only one came. `notice` is what the mail
    tells of another mail of ours, such as a delivery report, or None. `fingerprint` is the same for every copy of one
    mail, however it came. In a dry run `spool_id` is 0.
    """

    parsed: IncomingEmail
    source: str
    fingerprint: str
    text: str = ""
    html: str = ""
    files: tuple[KeptFile, ...] = ()
    notice: Notice | None = None
    envelope: tuple[str, ...] = ()
    """Further addresses that servers say they delivered it for (`core.mail.trace_headers`)."""
    program: str | None = None
    """Why a program seems to have written it, in words."""
    no_answer: str | None = None
    """Why it wants no automatic answer, though a person may have written it."""
    authentication: Authentication = NOT_ASKED
    """Whether it is proven to be from its From address."""
    spool_id: int = 0
    sender: str = field(init=False)
    """The normalised From address, which proves nothing; empty where there is none."""
    recipients: tuple[str, ...] = field(init=False)
    """The addresses that this mail may have been delivered to, most telling first."""

    def __post_init__(self) -> None:
        author = self.parsed.sender
        object.__setattr__(self, "sender", normalised(author.address) if author else "")
        recipients = [mailbox.address for mailbox in self.parsed.recipients]
        object.__setattr__(self, "recipients", (*recipients, *self.envelope))

    @property
    def bounce(self) -> Bounce | None:
        """The delivery report that the mail is."""
        return self.notice if isinstance(self.notice, Bounce) else None

    @property
    def told_ids(self) -> tuple[str, ...]:
        """The Message-IDs of the mail that this one reports on."""
        match self.notice:
            case Bounce(original_message_id=one) | Complaint(original=Original(message_id=one)) if one:
                return (one,)
            case Receipt(original_message_ids=several):
                return several
        return ()

    @property
    def told_addresses(self) -> tuple[str, ...]:
        """The addresses in the mail that this one reports on which may carry our signature."""
        match self.notice:
            case Bounce(original_return_path=path) if path:
                return (path,)
            case Complaint():
                return self.notice.own_addresses
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An active EmailRoute; `domain` is in IDNA form and never empty. The address `*` is that of a catch-all."""

    id: int
    address: str
    domain: str
    target_model: str
    target_name_field: str
    defaults: Mapping[str, Any]
    sender_policy: str
    company_id: int | None
    acknowledgement_id: int | None = None
    """The EmailTemplate that answers a mail which became a record by it; None for no answer."""
    tag: str = ""
    """What the mail's address said after the `+`: `leads+fair@` has the tag `fair`. For addons; no rule minds it."""

    @property
    def alias(self) -> str:
        return f"{self.address}@{self.domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMessage:
    """A Message that a mail may answer. `has_record` is false where its record is gone, or its model.

    An `id` of 0 is no message, but a record that a person filed the mail to.
    """

    id: int
    message_id: str | None
    token: str | None
    res_model: str | None
    res_id: int | None
    kind: str
    direction: str
    company_id: int | None
    has_record: bool = True

    @property
    def record(self) -> str:
        return f"{self.res_model}:{self.res_id}" if self.res_model else f"Message:{self.id}"


class Outcome(StrEnum):
    """What became of a mail, in one word."""

    RECORD = "record"
    REPLY = "reply"
    BOUNCE = "bounce"
    UNSUBSCRIBED = "unsubscribed"
    DUPLICATE = "duplicate"
    LOOP = "loop"
    COMPLAINT = "complaint"
    RECEIPT = "receipt"
    CHALLENGE = "challenge"
    """A filter asks for a person, who has to look at it."""
    REPORT = "report"
    """It tells of mail in general, or of a mail that is none of ours."""
    AUTOMATIC = "automatic"
    IGNORED = "ignored"
    """An addon's rule set it aside."""
    UNMATCHED = "unmatched"
    UNROUTED = "unrouted"
    """A route matched, and its record could not be created."""
    QUARANTINED = "quarantined"
    STORED = "stored"
    """It is in the storage of a mail account."""
    DISCARDED = "discarded"
    """A person set it aside."""
    FAILED = "failed"
    """This time; it will be tried again."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The mail is a copy of the spool row `of`, which was dealt with and led to `record`, if to any."""

    of: int
    reason: str
    record: str | None = None


@dataclass(frozen=True, slots=True)
class Ignore:
    """The mail is set aside, and nobody need look at it."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Bounced:
    """The mail reports on the delivery of `message`.

    `origin` is what its signed return path says; None where anybody could have written the report.
    """

    message: KnownMessage
    bounce: Bounce
    reason: str
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Noted:
    """A program tells something of `message`: it is shown on its timeline as that, and is no reply.

    `origin` is what a signed address says of whose copy it is about; None where anybody could have written it.
    """

    message: KnownMessage
    outcome: Outcome
    reason: str
    notice: Complaint | Receipt | Challenge | None = None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """The mail takes the recipient of a delivery off the list that its message was sent to."""

    message_id: int
    delivery_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The mail answers `parent`, and belongs where that is; it creates a record for each route in `also` beside."""

    parent: KnownMessage
    reason: str
    also: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class NewRecord:
    """The mail creates one record for each of the routes, at least one; `about` is a message that it refers to."""

    routes: tuple[Route, ...]
    reason: str
    about: KnownMessage | None = None


@dataclass(frozen=True, slots=True)
class Unmatched:
    """The mail waits for a person. `refused` are addresses of ours that would not have it: its sender may be told."""

    reason: str
    outcome: Outcome = Outcome.UNMATCHED
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The mail is dangerous to go on with, and is kept whole for a person."""

    reason: str


class Pass(NamedTuple):
    """Not for this rule, and a person who asks why may want to know the reason."""

    reason: str


Verdict: TypeAlias = Duplicate | Ignore | Bounced | Noted | Unsubscribed | Reply | NewRecord | Unmatched | Quarantine


class TraceStep(NamedTuple):
    """One rule that was asked, and what it said."""

    rule: str
    hit: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of one mail, or would: the line that `inbound load` and `route explain` print.

    `record` is `Model:id`, in a dry run the model alone for one that would be created; `message` is the id of the
    timeline entry. `automatic` says why the mail counts as automatic, or wants no automatic answer. `records` are all
    that it became, where it became several. `fields` are those of the records that a dry run would create, by alias.
    `answer` says which automatic answer it gets, or why it gets none.
    """

    source: str
    outcome: Outcome
    record: str | None = None
    message: int | None = None
    author: str | None = None
    trace: tuple[TraceStep, ...] = ()
    bounces: tuple[BouncedRecipient, ...] = ()
    automatic: str | None = None
    error: str | None = None
    records: tuple[str, ...] = ()
    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    answer: str | None = None
    company_id: int | None = None
    """Whose the mail is; None leaves it to the administrators."""
    original: int | None = None
    """The row of the spool that it is a copy of."""
    waits: bool = False
    """A person has to look at it."""
    door: str = ""
    """The address of ours that it came by, without its tag."""
    file: str | None = None
    """Where it was read from, when it was brought in by hand."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {**asdict(self), "trace": tuple(step._asdict() for step in self.trace)}


@dataclass(slots=True)
class Report:
    """What one run of the gateway did: how many mails came to which outcome."""

    outcomes: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(self.outcomes.values())

    def add(self, account: Account) -> None:
        self.outcomes[account.outcome] = self.outcomes.get(account.outcome, 0) + 1
