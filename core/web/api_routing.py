"""JSON about where mail goes: the question about one mail, the saved cases, and what a person says of what waits."""

from __future__ import annotations

from base64 import b64decode
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from core.access import Access, Right
from core.errors import UserError
from core.mail.sketch import Sketch
from core.runtime import get_model, settings
from core.web.guard import Allowed
from core.web.idempotency import keyed
from core.web.parameters import NO_NUL, LinkedId, RecordId
from core.web.route import ApiRoute

router = APIRouter(prefix="/api", tags=["routes"], route_class=ApiRoute)

_Line = Annotated[str, Field(max_length=998)]


class Question(BaseModel):
    """A mail as base64 in `raw`; or in words. An alias without `@` in `to` is one of MAIL_DOMAIN."""

    model_config = ConfigDict(extra="forbid")

    raw: str = ""
    sender: _Line = ""
    to: _Line = ""
    cc: _Line = ""
    subject: _Line = ""
    body: Annotated[str, Field(max_length=1_000_000)] = ""
    headers: dict[str, str] = {}
    verified: bool = False
    """As if the sender were proven."""


class Step(BaseModel):
    """One rule, and what it said."""

    rule: str
    hit: bool
    reason: str


class Answer(BaseModel):
    """Where the mail would go. `fields` are those of the records that would be made, by alias."""

    outcome: str
    record: str | None
    records: list[str]
    author: str | None
    trace: list[Step]
    fields: dict[str, dict[str, str]]
    automatic: str | None
    answer: str | None
    error: str | None


class Checked(BaseModel):
    """A saved case, where its mail has to go, and where it goes."""

    id: int
    name: str
    passed: bool
    expected: str
    found: str
    error: str


class Checks(BaseModel):
    """All cases; `passed` where every mail goes where it should."""

    passed: bool
    cases: list[Checked]


class Again(BaseModel):
    """With `again`, also a mail that became something already is repeated."""

    model_config = ConfigDict(extra="forbid")

    again: bool = False


class Place(BaseModel):
    """A record's timeline."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(max_length=100, pattern=NO_NUL)]
    record_id: LinkedId


class By(BaseModel):
    """A route, by its id."""

    model_config = ConfigDict(extra="forbid")

    route_id: LinkedId


class Why(BaseModel):
    """A reason, in words."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(max_length=500, pattern=NO_NUL)] = ""


class Settled(BaseModel):
    """What a mail of the spool is now; `original_id` is the one that it repeats."""

    id: int
    state: str
    outcome: str
    res_model: str | None
    res_id: int | None
    message_id: int | None
    original_id: int | None
    error: str


@router.post("/routes/explain", summary="Where would this mail go?", dependencies=[Depends(keyed("ignored"))])
async def ask(access: Allowed, question: Question) -> Answer:
    """Ask the very same rules as for a real mail; nothing is written."""
    access.require("EmailRoute")
    account = await get_model("EmailRoute").explain(_raw(question), verified=question.verified or None)
    return Answer(**{name: value for name, value in account.as_dict().items() if name in Answer.model_fields})


@router.post(
    "/routes/check",
    summary="Do all saved cases still go where they should?",
    dependencies=[Depends(keyed("ignored"))],
)
async def check(access: Allowed) -> Checks:
    """Ask about every active case again."""
    access.require("RouteCase", Right.WRITE)
    cases = [
        Checked(
            id=one.id,
            name=one.name,
            passed=one.passed,
            expected=one.expected.words,
            found=one.found.words,
            error=one.error,
        )
        for one in await get_model("RouteCase").check_all()
    ]
    return Checks(passed=all(case.passed for case in cases), cases=cases)


@router.post(
    "/inbound/{inbound_id}/replay",
    summary="Ask the rules about a mail again",
    # The DNS is asked who the mail is from.
    dependencies=[Depends(keyed("alone"))],
)
async def replay(access: Allowed, inbound_id: RecordId, how: Again) -> Settled:
    """Try a mail again that led nowhere; with `again`, repeat one that became something, as a row of its own."""
    mail = await _find(access, inbound_id)
    return _settled(await mail.replay(again=how.again))


@router.post("/inbound/{inbound_id}/assign", summary="Put a mail on a record's timeline")
async def assign(access: Allowed, inbound_id: RecordId, place: Place) -> Settled:
    """Say which record a mail is about that led nowhere."""
    mail = await _find(access, inbound_id)
    await mail.assign(place.model, place.record_id)
    return _settled(mail)


@router.post("/inbound/{inbound_id}/create", summary="Let a route make a record of a mail")
async def create(access: Allowed, inbound_id: RecordId, by: By) -> Settled:
    """Say which alias should have got a mail that led nowhere."""
    mail = await _find(access, inbound_id)
    route = await access.find("EmailRoute", by.route_id)
    access.require(route.target_model, Right.CREATE)
    await mail.create_by(route.pk)
    return _settled(mail)


@router.post("/inbound/{inbound_id}/discard", summary="Say that nobody need look at a mail")
async def discard(access: Allowed, inbound_id: RecordId, why: Why) -> Settled:
    """Set a mail aside for good; it is kept whole, with who said so."""
    mail = await _find(access, inbound_id)
    await mail.discard(why.reason)
    return _settled(mail)


async def _find(access: Access, inbound_id: int) -> Any:
    """Return the mail, also of a record, if the user may change it."""
    return await access.find("InboundEmail", inbound_id, Right.WRITE)


def _raw(question: Question) -> bytes:
    if question.raw:
        try:
            return b64decode(question.raw, validate=True)
        except ValueError:
            raise UserError("raw: this is no base64.") from None
    if not question.to.strip():
        raise UserError("Give `raw`, or at least `to`.")
    told = {name: getattr(question, name) for name in ("sender", "to", "cc", "subject", "body", "headers")}
    return Sketch(**told).raw(settings().MAIL_DOMAIN)


def _settled(mail: Any) -> Settled:
    return Settled(**{name: getattr(mail, name) for name in Settled.model_fields})
