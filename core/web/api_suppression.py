"""JSON about whom no mail goes to: asking, adding, removing, and taking over what another system knew."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from core.access import Right
from core.mail.suppression import COLUMNS, Reason
from core.mail.suppression import Suppressed as Entry
from core.runtime import get_model
from core.web.guard import Inside, scope
from core.web.idempotency import keyed
from core.web.parameters import NO_NUL, Before, RecordId, Search
from core.web.records import PAGE
from core.web.route import ApiRoute

router = APIRouter(prefix="/api/suppression", tags=["suppression"], route_class=ApiRoute)
MOST_ASKED = 1_000
MOST_IMPORTED = 10_000
_Line = Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f]*$")]


_Addresses = Annotated[list[Annotated[str, Field(max_length=320)]], Field(max_length=MOST_ASKED)]


class SuppressionEntry(BaseModel):
    """One reason not to write to one address; an empty `list` is all mail, `*` every list."""

    id: int
    address: str
    list: str
    reason: str
    source: str
    note: str
    expires_at: datetime | None
    created_at: datetime


class SuppressionPage(BaseModel):
    """A page of entries; pass `next_before` as `before` for the next one, until it is null."""

    items: list[SuppressionEntry]
    next_before: int | None


class NewSuppression(BaseModel):
    """Whom to write to no more."""

    model_config = ConfigDict(extra="forbid")

    address: Annotated[str, Field(max_length=320)]
    list: _Line = ""
    note: _Line = ""
    expires_at: AwareDatetime | None = None


class KnownSuppression(NewSuppression):
    """Whom to write to no more, and why: as another system knew it."""

    reason: Reason = Reason.MANUAL


class SuppressionList(BaseModel):
    """Entries of another system."""

    model_config = ConfigDict(extra="forbid")

    entries: Annotated[list[KnownSuppression], Field(max_length=MOST_IMPORTED)]


class Imported(BaseModel):
    """How many entries were taken."""

    imported: int


class AskedAddresses(BaseModel):
    """Addresses that somebody means to write to, by mail of `list` or by mail that is no list's."""

    model_config = ConfigDict(extra="forbid")

    addresses: _Addresses
    list: _Line | None = None


class Suppressed(BaseModel):
    """Whether an address is not written to, and why."""

    suppressed: bool
    reason: str | None


class SuppressedAddress(Suppressed):
    """The same of one address among several."""

    address: str


class SuppressedAddresses(BaseModel):
    """An answer for each address, in the order in which they were asked."""

    items: list[SuppressedAddress]


@router.get("", summary="Suppressed addresses, newest first")
async def entries(
    access: Inside,
    q: Search = "",
    of_list: Annotated[_Line | None, Query(alias="list", description="Of this list only; empty is all mail.")] = None,
    reason: Reason | None = None,
    before: Before = None,
) -> SuppressionPage:
    """List entries whose address holds `q`."""
    rows = access.records("Suppression").filter(address__icontains=q.strip())
    if of_list is not None:
        rows = rows.filter(list=of_list)
    if reason is not None:
        rows = rows.filter(reason=reason.value)
    if before is not None:
        rows = rows.filter(id__lt=before)
    found: list[dict[str, Any]] = await rows.order_by("-id").limit(PAGE + 1).values("id", *COLUMNS)
    page = [SuppressionEntry(**row) for row in found[:PAGE]]
    return SuppressionPage(items=page, next_before=page[-1].id if len(found) > PAGE else None)


@router.get("/check", summary="Is an address written to?")
async def check(
    access: Inside,
    address: Annotated[str, Query(max_length=320, pattern=NO_NUL)] = "",
    of_list: Annotated[_Line | None, Query(alias="list")] = None,
) -> Suppressed:
    """Answer as the queue would, for mail of `list` or for mail that is no list's."""
    access.require("Suppression")
    reason = (await get_model("Suppression").suppressed([(0, address, of_list)])).get(0)
    return Suppressed(suppressed=reason is not None, reason=reason)


@router.post(
    "/check",
    summary="Which of these addresses are written to?",
    dependencies=[Depends(scope("read")), Depends(keyed("ignored"))],
)
async def check_many(
    access: Inside, asked: Annotated[AskedAddresses, Body(examples=[{"addresses": ["ada@engine.example"]}])]
) -> SuppressedAddresses:
    """Answer for many addresses as the queue would, by one question to the database."""
    access.require("Suppression")
    wanted = [(number, address, asked.list) for number, address in enumerate(asked.addresses)]
    reasons = await get_model("Suppression").suppressed(wanted)
    return SuppressedAddresses(
        items=[
            SuppressedAddress(address=address, suppressed=number in reasons, reason=reasons.get(number))
            for number, address, _ in wanted
        ]
    )


@router.post("/import", summary="Take over the suppressed addresses of another system")
async def take_over(
    access: Inside,
    given: Annotated[
        SuppressionList, Body(examples=[{"entries": [{"address": "gone@example.org", "reason": "hard_bounce"}]}])
    ],
) -> Imported:
    """Add all of the entries, or none where one is no address; known ones get the newer words and the later end."""
    access.require("Suppression", Right.CREATE)
    await get_model("Suppression").suppress_all(
        [Entry(one.address, one.list, one.reason.value, "api", one.note, one.expires_at) for one in given.entries]
    )
    return Imported(imported=len(given.entries))


@router.post("", status_code=201, summary="Write to an address no more")
async def add(access: Inside, entry: NewSuppression) -> Suppressed:
    """Add an entry by hand; the same one again changes its words."""
    access.require("Suppression", Right.CREATE)
    await get_model("Suppression").suppress(
        entry.address, reason="manual", list=entry.list, source="api", note=entry.note, expires_at=entry.expires_at
    )
    return Suppressed(suppressed=True, reason="manual")


@router.delete("/{entry_id}", status_code=204, summary="Remove an entry")
async def remove(access: Inside, entry_id: RecordId) -> None:
    """Remove one entry; the address is written to again where it was the only one."""
    entry = await access.find("Suppression", entry_id, Right.DELETE)
    await get_model("Suppression").unsuppress(entry.address, list=entry.list, reason=entry.reason)
