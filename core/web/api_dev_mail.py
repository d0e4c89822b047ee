"""JSON of the dev mailbox, for tests: wait for a mail, read it, answer as its recipient."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from core.web import dev_mail
from core.web.guard import Allowed
from core.web.parameters import After, RecordId, Search
from core.web.route import ApiRoute

router = APIRouter(
    prefix="/api/dev/mail",
    tags=["dev mailbox"],
    dependencies=[Depends(dev_mail.needs_dev_mailbox)],
    route_class=ApiRoute,
)


_Action = Literal["reply", "bounce", "auto-reply", "delivered", "read", "failed"]


class Played(BaseModel):
    """What a recipient says; `recipient` defaults to the first one."""

    text: str = Field("", max_length=100_000)
    recipient: str | None = Field(None, max_length=320)


class NewMail(BaseModel):
    """A mail from outside to an address of ours."""

    sender: str = Field(max_length=320)
    to: str = Field(max_length=320)
    subject: str = Field("", max_length=500)
    text: str = Field("", max_length=100_000)


class CameIn(BaseModel):
    """What became of a mail that came in."""

    id: int
    state: str
    outcome: str
    record: str | None
    message: int | None
    trace: list[dict[str, Any]]
    error: str


class TextCameIn(BaseModel):
    """The message that an answer to a text became, or that a provider told of."""

    message: int | None


@router.get("", summary="List caught mails, or wait for one")
async def list_mail(
    access: Allowed,
    query: Search = "",
    after: After = 0,
    wait_s: Annotated[float, Query(ge=0, le=30)] = 0,
) -> list[dict[str, Any]]:
    """Return mails whose recipients or subject have all words of `query`, with an id above `after`, newest first."""
    return [dev_mail.as_json(row) for row in await dev_mail.wait_for(access, query, after, wait_s)]


@router.post("", summary="Write to an address of ours")
async def write(mail: NewMail, access: Allowed) -> CameIn:
    """Bring in a new mail as somebody outside would send it."""
    return _came_in(await dev_mail.write(access, mail.sender, mail.to, mail.subject, mail.text))


@router.get("/{caught_id}", summary="Read a caught mail")
async def read_mail(caught_id: RecordId, access: Allowed) -> dict[str, Any]:
    """Return a mail with text, HTML, links and files' names."""
    return await asyncio.to_thread(dev_mail.whole_as_json, await dev_mail.find(access, caught_id))


class Opened(BaseModel):
    """The message whose open was counted."""

    message: int | None


@router.post("/{caught_id}/open", summary="Open a mail with its pictures")
async def open_mail(request: Request, caught_id: RecordId, access: Allowed) -> Opened:
    """Load the pixel of a tracked mail, as its reader does."""
    mail = await dev_mail.open_as_reader(access, caught_id, request.app.state.hits)
    return Opened(message=mail.message_id)


@router.post("/{caught_id}/{action}", summary="Play a recipient")
async def play(caught_id: RecordId, action: _Action, played: Played, access: Allowed) -> CameIn | TextCameIn:
    """Answer a mail, bounce it, or let a machine answer; answer a text, or let its provider tell of it."""
    mail = await dev_mail.find(access, caught_id)
    came = await dev_mail.play(access, caught_id, action, played.recipient, played.text)
    return _came_in(came) if mail.channel == "email" else TextCameIn(message=came.pk if came else mail.message_id)


def _came_in(inbound: Any) -> CameIn:
    return CameIn(
        id=inbound.pk,
        state=inbound.state,
        outcome=inbound.outcome,
        record=f"{inbound.res_model}:{inbound.res_id}" if inbound.res_model else None,
        message=inbound.message_id,
        trace=inbound.trace,
        error=inbound.error,
    )
