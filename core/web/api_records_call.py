"""Calling a model's methods: those that are marked with `api_method`, and no others."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path
from pydantic import BaseModel

from core.access import Access
from core.runtime import get_model
from core.web.guard import Allowed, MissingScope
from core.web.idempotency import keyed
from core.web.parameters import RecordId
from core.web.record_examples import ModelName
from core.web.record_faults import told_apart
from core.web.record_methods import ApiMethod, api_method_of, plain_result
from core.web.route import ApiRoute

# A method may ask others over the network, so no transaction is open round it.
router = APIRouter(
    prefix="/api/records", tags=["records"], route_class=ApiRoute, dependencies=[Depends(keyed("alone"))]
)

_NAME = r"^[a-zA-Z]\w*$"
MethodName = Annotated[str, Path(max_length=100, pattern=_NAME, examples=["mark_won"])]
ModelMethodName = Annotated[str, Path(max_length=100, pattern=_NAME, examples=["unclaimed"])]
_Arguments = Annotated[dict[str, Any] | None, Body(examples=[{}])]


class CallAnswer(BaseModel):
    """What the method returned: plain values, records by id and name."""

    result: Any


@router.post("/{model}/call/{method}", summary="Call a method of a model")
async def call_of_model(
    model: ModelName, method: ModelMethodName, access: Allowed, arguments: _Arguments = None
) -> CallAnswer:
    """Call a method that needs no record, with arguments by name; `/api/models/{model}` lists them."""
    declared = get_model(model)
    found = api_method_of(declared, method, of_model=True)
    access.require(model, found.right)
    return await _called(access, declared, found, declared, arguments)


@router.post("/{model}/{record_id}/call/{method}", summary="Call a method of a record")
async def call_of_record(
    model: ModelName, record_id: RecordId, method: MethodName, access: Allowed, arguments: _Arguments = None
) -> CallAnswer:
    """Call a method of a record, with arguments by name; `/api/models/{model}` lists them."""
    declared = get_model(model)
    found = api_method_of(declared, method, of_model=False)
    record = await access.find(model, record_id, found.right)
    return await _called(access, declared, found, record, arguments)


async def _called(
    access: Access, model: Any, method: ApiMethod, target: Any, arguments: dict[str, Any] | None
) -> CallAnswer:
    if access.scopes is not None and method.scope not in access.scopes:
        raise MissingScope([method.scope])
    given = method.read(arguments or {})
    with told_apart(model):
        return CallAnswer(result=plain_result(await getattr(target, method.name)(**given)))
