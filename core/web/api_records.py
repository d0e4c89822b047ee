"""JSON about records of any model: lists, one record, making, changing and deleting it.

The same paths serve every model, an addon's too; `/api/models` says which fields each has for the caller.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from core.access import Access, Right
from core.errors import UnknownName
from core.orm.transaction import transaction
from core.runtime import get_model
from core.web.guard import Allowed, scope
from core.web.idempotency import keyed
from core.web.parameters import NO_NUL, Before, RecordId, Search
from core.web.record_changes import create_all, delete_all, update_all
from core.web.record_examples import CHANGED_LEAD, LEAD, LEADS, NEW_LEAD, QUESTION, ModelName, exampled
from core.web.record_faults import invalid
from core.web.record_query import Question, find_page
from core.web.record_read import Wanted, light, plain_records, wanted_by_default, wanted_fields
from core.web.record_tags import is_known, tag_of
from core.web.record_values import read_values
from core.web.records import PAGE
from core.web.route import ApiRoute

router = APIRouter(prefix="/api/records", tags=["records"], route_class=ApiRoute)

MOST_WHOLE, MOST_WITH_FIELDS = 200, 1_000
"""Records in a page: of whole ones, and where the fields that are wanted are named."""
_Names = Annotated[str, Query(max_length=4_000, pattern=NO_NUL)]
_Limit = Annotated[int, Query(ge=1, le=MOST_WITH_FIELDS)]
_Cursor = Annotated[str | None, Query(max_length=8_000, pattern=NO_NUL)]
_FieldName = Annotated[str, Field(max_length=500)]
Tags = Annotated[str | None, Header(max_length=4_000)]
"""`If-Match` and `If-None-Match`."""


class RecordPage(BaseModel):
    """A page of records; pass `next_cursor` as `cursor` for the next one, until it is null.

    `next_before` is what older programs pass as `before`; null where the order is another one. `count` is that of all
    records, where it was asked for.
    """

    items: list[dict[str, Any]]
    next_cursor: str | None
    next_before: int | None
    count: int | None = None


class RecordQuestion(BaseModel):
    """Which records, which of their fields, in which order. A field may be that of a related record: `contact.name`."""

    model_config = ConfigDict(extra="forbid")

    filter: dict[str, Any] | None = Field(None, description="A tree of and, or, not, and comparisons of fields.")
    order: list[_FieldName] = Field([], max_length=20, description="Fields, with `-` downwards; by default `-id`.")
    fields: list[_FieldName] | None = Field(None, max_length=200, description="All of the record itself where null.")
    limit: int = Field(PAGE, ge=1, le=MOST_WITH_FIELDS)
    cursor: str | None = Field(None, max_length=8_000)
    count: bool = Field(False, description="Whether to count all records that the filter finds.")
    q: str = Field("", max_length=200, description="Words to look for in the records' names.")


@router.get("/{model}", summary="List a model's records", responses=exampled(LEADS))
async def list_records(
    model: ModelName,
    access: Allowed,
    q: Search = "",
    fields: _Names = "",
    order: _Names = "",
    limit: _Limit = PAGE,
    cursor: _Cursor = None,
    count: bool = False,
    before: Before = None,
) -> RecordPage:
    """Return records, newest first; `q` is looked for in their names.

    `fields` and `order` are names between commas. Ask `query` for a filter.
    """
    names = _split(fields) or None
    question = Question(model, limit, order=tuple(_split(order)), cursor=cursor, q=q, before=before, counted=count)
    return await _page(access, question, names)


@router.post(
    "/{model}/query",
    summary="Ask for records by a filter",
    dependencies=[Depends(scope("read")), Depends(keyed("ignored"))],
    responses=exampled(LEADS),
)
async def query_records(
    model: ModelName, access: Allowed, asked: Annotated[RecordQuestion, Body(examples=[QUESTION])]
) -> RecordPage:
    """Return the records that a filter finds, with the fields that are asked for, a page at a time."""
    question = Question(
        model, asked.limit, asked.filter, tuple(asked.order), asked.cursor, asked.q, counted=asked.count
    )
    return await _page(access, question, asked.fields)


@router.post("/{model}", status_code=201, summary="Make a record", responses=exampled(LEAD, 201))
async def create_record(
    model: ModelName, access: Allowed, response: Response, values: Annotated[dict[str, Any], Body(examples=[NEW_LEAD])]
) -> dict[str, Any]:
    """Make a record of the given fields, and return it; relations are given by id, lines as objects.

    Where the model has a company and none is given, it is the caller's.
    """
    async with transaction():
        (record,) = await create_all(access, [read_values(access, get_model(model), values, is_new=True)])
    response.headers["Location"] = f"/api/records/{model}/{record.pk}"
    return await _answered(access, model, record.pk, response)


@router.get(
    "/{model}/{record_id}",
    summary="Read one record",
    response_model=dict[str, Any],
    responses={304: {"description": "The caller has it already, as `If-None-Match` says."}, **exampled(LEAD)},
)
async def read_record(
    model: ModelName,
    record_id: RecordId,
    access: Allowed,
    response: Response,
    fields: _Names = "",
    if_none_match: Tags = None,
) -> dict[str, Any] | Response:
    """Return a record with its `ETag`: all of it, or the fields that are named between commas."""
    declared = get_model(model)
    wanted = _wanted(access, declared, _split(fields) or None)
    record = await _found(access, model, record_id)
    tag = await tag_of(record)
    if is_known(tag, if_none_match):
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    (told,) = await plain_records(access, [record], wanted)
    return told


@router.patch("/{model}/{record_id}", summary="Change a record", responses=exampled(LEAD))
async def update_record(
    model: ModelName,
    record_id: RecordId,
    access: Allowed,
    response: Response,
    values: Annotated[dict[str, Any], Body(examples=[CHANGED_LEAD])],
    if_match: Tags = None,
) -> dict[str, Any]:
    """Change the given fields alone, and return the record; with `If-Match`, only if it is still as it was read."""
    async with transaction():
        read = read_values(access, get_model(model), values, is_new=False, record_id=record_id)
        await update_all(access, [read], if_match)
    return await _answered(access, model, record_id, response)


@router.delete("/{model}/{record_id}", status_code=204, summary="Delete a record")
async def delete_record(model: ModelName, record_id: RecordId, access: Allowed, if_match: Tags = None) -> None:
    """Delete a record; with `If-Match`, only if it is still as it was read."""
    await delete_all(access, get_model(model), [record_id], if_match)


async def _page(access: Access, question: Question, names: list[str] | None) -> RecordPage:
    if names is None and question.limit > MOST_WHOLE:
        raise invalid("/limit", f"is above {MOST_WHOLE}; name the fields that you need for up to {MOST_WITH_FIELDS}")
    wanted = _wanted(access, get_model(question.model), names)
    found = await find_page(access, question)
    items = await plain_records(access, found.records, wanted)
    return RecordPage(items=items, next_cursor=found.next_cursor, next_before=found.last_id, count=found.count)


def _wanted(access: Access, model: Any, names: list[str] | None) -> Wanted:
    access.require(model.__name__)
    return wanted_by_default(access, model) if names is None else wanted_fields(access, model, names)


async def _found(access: Access, model: str, record_id: int) -> Any:
    rows = await access.visible(await light(access.records(model).filter(id=record_id), get_model(model)))
    if not rows:
        raise UnknownName(f"There is no {model} {record_id}.")
    return rows[0]


async def _answered(access: Access, model: str, record_id: int, response: Response) -> dict[str, Any]:
    """Return a record as it is stored now; its id alone to whoever may write it and not read it."""
    try:
        record = await _found(access, model, record_id) if access.may(model, Right.READ) else None
    except UnknownName:
        record = None
    if record is None:
        return {"id": record_id}
    response.headers["ETag"] = await tag_of(record)
    (told,) = await plain_records(access, [record], wanted_by_default(access, get_model(model)))
    return told


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]
