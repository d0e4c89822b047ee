"""JSON about outgoing mail: what waits, what left and what did not, why, and what can be done about it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Query, Response
from pydantic import AwareDatetime

from core.access import Right
from core.errors import PostroomError, UserError
from core.mail.blind import BLIND
from core.orm.transaction import transaction
from core.runtime import get_model
from core.web.cursor import cursor_behind, last_id_of
from core.web.errors import status_of
from core.web.files import download
from core.web.guard import Allowed, Inside, scope
from core.web.outbox import counts_by_state
from core.web.parameters import LARGEST, RecordId
from core.web.problem import Problem, problem
from core.web.queue_read import (
    State,
    Wanted,
    actions_for,
    find_mail,
    page_of_copies,
    page_of_messages,
    state_of,
    story_of,
    wanted_messages,
)
from core.web.queue_shape import (
    Action,
    DeliveryLine,
    DeliveryLines,
    MessageStory,
    Name,
    QueuedMessage,
    QueuedMessages,
    QueueStats,
    Steered,
    Steering,
    SteeringAnswer,
    Suspending,
    Suspension,
)
from core.web.queue_steer import steer, steer_all
from core.web.route import ApiRoute

router = APIRouter(prefix="/api", tags=["queue"], route_class=ApiRoute)

_MESSAGES = "messages of the queue"
_COPIES = "deliveries of the queue"
_DeliveryState = Literal["held", "queued", "claimed", "sending", "sent", "failed", "cancelled", "unknown"]
_Cursor = Annotated[
    str | None, Query(max_length=1_000, description="`next_cursor` of the page before; without it, the first page.")
]
_Limit = Annotated[int, Query(ge=1, le=200)]
_Id = Annotated[int | None, Query(ge=1, le=LARGEST)]
_MAIL: dict[int | str, dict[str, Any]] = {
    200: {"content": {"message/rfc822": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.get("/email/queue/stats", summary="Outbound messages by state")
async def queue_stats(access: Allowed) -> QueueStats:
    """Return the counts that the outbox shows."""
    counts = await counts_by_state(access)
    return QueueStats(counts={state.lower(): count for state, count in counts.items()}, total=sum(counts.values()))


def _wanted(
    state: Annotated[State | None, Query()] = None,
    server: Annotated[Name | None, Query(description="The server that a copy was given to, by its name.")] = None,
    recipient: Annotated[Name | None, Query(description="An address that a copy went to, or is to go to.")] = None,
    template: Annotated[Name | None, Query(description="The identifier of the template it was made from.")] = None,
    model: Annotated[Name | None, Query(description="Whose timeline it is on.")] = None,
    record_id: _Id = None,
    since: Annotated[AwareDatetime | None, Query(description="Queued then or later.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Queued before then.")] = None,
) -> Wanted:
    return Wanted(state, server, recipient, template, model, record_id, since, until)


@router.get("/queue/messages", summary="List outgoing messages")
async def messages(
    access: Inside, wanted: Annotated[Wanted, Depends(_wanted)], cursor: _Cursor = None, limit: _Limit = 50
) -> QueuedMessages:
    """Return the messages that fit all that is asked, newest first."""
    page, last_id = await page_of_messages(access, wanted, last_id_of(_MESSAGES, cursor), limit)
    return QueuedMessages(items=list(map(QueuedMessage.of, page)), next_cursor=cursor_behind(_MESSAGES, last_id))


@router.get("/queue/deliveries", summary="List the copies of outgoing messages")
async def deliveries(
    access: Inside,
    state: Annotated[list[_DeliveryState] | None, Query(description="One or several.")] = None,
    recipient: Annotated[Name | None, Query()] = None,
    message: _Id = None,
    cursor: _Cursor = None,
    limit: _Limit = 50,
) -> DeliveryLines:
    """Return one line for each recipient, newest first; blind copies to their sender and administrators alone."""
    page, last_id = await page_of_copies(
        access,
        {"state__in": state, "recipient__iexact": recipient, "message_id": message},
        last_id_of(_COPIES, cursor),
        limit,
    )
    return DeliveryLines(items=list(map(DeliveryLine.of, page)), next_cursor=cursor_behind(_COPIES, last_id))


@router.get("/queue/messages/{message_id}", summary="Why did a message not arrive?")
async def message(message_id: RecordId, access: Inside) -> MessageStory:
    """Return how a message stands in a sentence, each recipient, each try with the server's answer, and each report."""
    story = await story_of(access, message_id)
    return MessageStory.told(story, actions_for(access, story.message, story.copies))


@router.get(
    "/queue/messages/{message_id}/message.eml",
    summary="The exact bytes of a message",
    response_class=Response,
    responses=_MAIL,
)
async def message_bytes(
    message_id: RecordId,
    access: Inside,
    recipient: Annotated[Name | None, Query(description="Whose own copy, where copies differ.")] = None,
    draft: Annotated[bool, Query(description="An unsent draft for a desktop mail program instead.")] = False,
) -> Response:
    """Return what a server is given, or was: with signature, headers and files, and without any blind recipient.

    Nothing is sent. In a draft its own author finds the blind copies.
    """
    found = await find_mail(access, message_id)
    if found.message_id is None:
        raise UserError(f"Message {message_id} is no mail, so there are no bytes of it.")
    if draft:
        raw = await found.draft_eml(with_bcc=found.author_id == access.user_id)
    else:
        _check_recipient(access, found, recipient)
        raw = await found.eml(recipient)
    return download(raw, f"{found.subject[:80] or 'message'}.eml", "message/rfc822")


def _check_recipient(access: Any, found: Any, recipient: str | None) -> None:
    """Refuse a recipient whom the user may not know of in the words for one that is not there."""
    sees_blind = access.is_admin or found.author_id == access.user_id
    known = {one.recipient for one in found.deliveries if sees_blind or one.kind != BLIND}
    if recipient is not None and recipient not in known:
        raise UserError(f"This is no recipient of message {found.pk}.")


@router.post("/queue/messages/{message_id}/{action}", summary="Steer a message", dependencies=[Depends(scope("mail"))])
async def act(message_id: RecordId, action: Action, access: Inside) -> QueuedMessage:
    """Retry what failed, hold what waits, release what is held, cancel what was not sent, or send it without waiting.

    To send is to make it due at once: a worker then takes it before others of its priority that are due later.
    """
    found = await find_mail(access, message_id, Right.WRITE)
    await steer(found, action)
    return QueuedMessage.of(found)


@router.post("/queue/steer", summary="Steer many messages", dependencies=[Depends(scope("mail"))])
async def act_on_many(
    access: Inside, steering: Annotated[Steering, Body(examples=[{"action": "retry", "filter": {"state": "failed"}}])]
) -> SteeringAnswer:
    """Do the same to many messages, each for itself: what cannot be done to one stops no other."""
    ids = steering.ids
    if steering.filter is not None:
        rows = wanted_messages(access, steering.filter.wanted(), Right.WRITE).order_by("id").limit(steering.limit)
        ids = await rows.values_list("id", flat=True)
    async with transaction():
        return SteeringAnswer(items=[_outcome(*one) for one in await steer_all(access, ids or [], steering.action)])


def _outcome(message_id: int, became: Any) -> Steered:
    if not isinstance(became, PostroomError):
        return Steered(id=message_id, status=200, state=state_of(became))
    status = status_of(became)
    told = Problem(**problem(status, became.code, str(became)))
    return Steered(id=message_id, status=status, state=None, problem=told)


@router.get("/queue/suspension", summary="Is the queue stopped?")
async def suspension(access: Inside) -> Suspension:
    """Return whether anything is sent at all, and why not."""
    access.require("Message")
    row = await get_model("QueueSuspension").current()
    if row is None:
        return Suspension(suspended=False, reason="", since_at=None, user=None)
    return Suspension(
        suspended=True, reason=row.reason, since_at=row.since_at, user=row.user.display_name if row.user else None
    )


@router.put("/queue/suspension", summary="Stop the queue", dependencies=[Depends(scope("admin"))])
async def suspend(access: Inside, asked: Suspending) -> Suspension:
    """Send nothing from now on, by whatever path; queueing goes on. Where it is stopped, give another reason."""
    access.require("QueueSuspension", Right.CREATE)
    await get_model("QueueSuspension").suspend(asked.reason)
    return await suspension(access)


@router.delete("/queue/suspension", summary="Start the queue again", dependencies=[Depends(scope("admin"))])
async def resume(access: Inside) -> Suspension:
    """Send again."""
    access.require("QueueSuspension", Right.DELETE)
    await get_model("QueueSuspension").resume()
    return await suspension(access)
