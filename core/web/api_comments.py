"""JSON about a record's timeline, in the shape of `reference/002`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from core.access import Access, Right
from core.web.comments import MOST, PAGE, Comment, page_of
from core.web.guard import Allowed, scope
from core.web.idempotency import keyed
from core.web.parameters import Before, RecordId
from core.web.route import ApiRoute
from core.web.tables import Number, Shape, record_of

router = APIRouter(tags=["e-mail"], route_class=ApiRoute)

_PATH = "/api/table/{tid}/record/{rid}/comments/get"
_READ = [Depends(scope("read")), Depends(keyed("ignored"))]


class Paging(Shape):
    """Which part of the comments: at most `limit`, of those under the id `before`."""

    limit: Annotated[int, Field(ge=1, le=MOST)] = PAGE
    before: Number | None = None


@router.get(_PATH, summary="Read a record's comments", dependencies=_READ)
async def read_comments(
    tid: RecordId,
    rid: RecordId,
    request: Request,
    response: Response,
    access: Allowed,
    limit: Annotated[int, Query(ge=1, le=MOST)] = PAGE,
    before: Before = None,
) -> list[Comment]:
    """Return comments, newest first. The header `Link` (RFC 8288) names the next page, where there is one."""
    return await _page(request, response, access, (tid, rid), Paging(limit=limit, before=before))


@router.post(_PATH, summary="Read a record's comments, paged by the body", dependencies=_READ)
async def query_comments(
    tid: RecordId,
    rid: RecordId,
    request: Request,
    response: Response,
    access: Allowed,
    paging: Paging | None = None,
) -> list[Comment]:
    """Return what GET returns; `limit` and `before` may stand in the body."""
    return await _page(request, response, access, (tid, rid), paging or Paging())


async def _page(
    request: Request, response: Response, access: Access, of: tuple[int, int], paging: Paging
) -> list[Comment]:
    record = await record_of(access, *of, Right.READ)
    comments, older = await page_of(record, of[0], access, paging.limit, paging.before)
    if older is not None:
        query = urlencode({"limit": paging.limit, "before": older})
        response.headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
    return comments
