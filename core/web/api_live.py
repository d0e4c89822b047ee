"""Server-sent events: what changes, told to whoever may look at it. What it is now, everybody reads as ever."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from core.web.guard import Allowed
from core.web.live import Hub
from core.web.live_stream import EventStream, Stream
from core.web.live_topic import require_all, topics_of
from core.web.parameters import LARGEST
from core.web.route import ApiRoute
from core.web.session import visit_of

router = APIRouter(prefix="/api", tags=["live"], route_class=ApiRoute)

_STREAM = (
    "Events `timeline`, `queue`, `cron`, `inbound` and `notification`, each with a line of JSON that says what moved; "
    "and `reset`, which says that anything may have."
)
_EXAMPLE = (
    'retry: 2000\nid: 41\n\nevent: timeline\nid: 42\ndata: {"topic":"record:Lead:7","model":"Lead","id":7,'
    '"messages":[12],"states":["Sent"]}\n\n'
)


@router.get(
    "/live",
    summary="Watch what changes",
    response_class=Response,
    responses={
        200: {
            "description": _STREAM,
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        }
    },
)
async def live(
    request: Request,
    access: Allowed,
    topics: Annotated[
        str,
        Query(
            max_length=2000,
            description="With commas between: `queue`, `cron`, `inbound`, `notifications`, `record:MODEL:ID`.",
            examples=["queue,notifications"],
        ),
    ],
    since: Annotated[
        int | None, Query(ge=0, le=LARGEST, description="The id after which to begin; without it, now.")
    ] = None,
    last_event_id: Annotated[
        str, Header(max_length=40, description="What a client that comes back has seen last; wins over `since`.")
    ] = "",
) -> Response:
    """Stream server-sent events until the client goes, its login or token ends, or its rights do.

    Whoever comes back with the last id that it saw misses nothing of the last ten minutes; after longer it gets
    `reset`. Nothing that a page of another site could start is answered.
    """
    wanted = topics_of(topics)
    await require_all(wanted, access)
    hub: Hub = request.app.state.live
    stream = Stream(visit_of(request), access, wanted)
    await hub.join(stream, _id_in(last_event_id, since))
    return EventStream(stream, lambda: hub.position, hub.leave)


def _id_in(last_event_id: str, since: int | None) -> int | None:
    """Return the id that a client knows; what is no id of ours counts as one that is long gone."""
    if not last_event_id:
        return since
    is_ours = last_event_id.isascii() and last_event_id.isdecimal() and int(last_event_id) <= LARGEST
    return int(last_event_id) if is_ours else LARGEST
