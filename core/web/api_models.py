"""JSON about the models: which there are for the caller, which fields and methods each has, and what these take."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from core.access import Access, Right
from core.errors import AccessDenied
from core.runtime import get_model, runtime
from core.web.guard import Allowed
from core.web.record_examples import ModelName
from core.web.record_methods import ApiMethod, api_methods
from core.web.record_shape import FieldShape, readable, shape_of, writable
from core.web.record_values import json_schema
from core.web.route import ApiRoute
from core.web.view import model_title
from core.web.words import field_title

router = APIRouter(prefix="/api/models", tags=["records"], route_class=ApiRoute)


class ModelSummary(BaseModel):
    """A model that the caller has rights on; `has_timeline` tells whether its records have messages and followers."""

    name: str
    title: str
    rights: list[Right]
    has_timeline: bool


class ModelList(BaseModel):
    """The models, by name."""

    items: list[ModelSummary]


class FieldDescription(BaseModel):
    """A field. `type` is a word for what it holds, `relation` the model that it leads to.

    `json_schema` is what a value that is written to it must fit; a relation takes ids, lines take objects.
    """

    name: str
    title: str
    type: str
    required: bool
    readable: bool
    writable: bool
    choices: dict[str, str] | None
    relation: str | None
    json_schema: dict[str, Any]


class MethodDescription(BaseModel):
    """A method that may be called; `of_model` tells that it needs no record, `arguments` is their JSON Schema."""

    name: str
    title: str
    right: Right
    scope: str
    of_model: bool
    arguments: dict[str, Any]


class ModelDescription(ModelSummary):
    """A model with its fields and methods, as far as they are for the caller."""

    fields: list[FieldDescription]
    methods: list[MethodDescription]


@router.get("", summary="List the models")
async def list_models(access: Allowed) -> ModelList:
    """Return the models on which the caller has any right."""
    models = [get_model(entry.name) for entry in runtime().registry if _rights(access, entry.name)]
    return ModelList(items=[_summary(access, model) for model in sorted(models, key=lambda one: one.__name__)])


@router.get("/{model}", summary="Describe a model")
async def describe_model(model: ModelName, access: Allowed) -> ModelDescription:
    """Return the fields and methods of a model."""
    declared = get_model(model)
    if not _rights(access, model):
        raise AccessDenied(f"You have no right on {model}; an administrator can give one to one of your groups.")
    read, written = readable(access, declared), writable(access, declared)
    shown = [shape for name, shape in shape_of(declared).items() if name in read or name in written]
    return ModelDescription(
        **_summary(access, declared).model_dump(),
        fields=[_field(shape, shape.name in read, shape.name in written) for shape in shown],
        methods=[_method(one) for one in api_methods(declared).values() if access.may(model, one.right)],
    )


def _rights(access: Access, model: str) -> list[Right]:
    return [right for right in Right if access.may(model, right)]


def _summary(access: Access, model: Any) -> ModelSummary:
    name = model.__name__
    has_timeline = hasattr(model, "timeline")
    return ModelSummary(name=name, title=model_title(name), rights=_rights(access, name), has_timeline=has_timeline)


def _field(shape: FieldShape, is_readable: bool, is_writable: bool) -> FieldDescription:
    return FieldDescription(
        name=shape.name,
        title=field_title(shape.name),
        type=shape.type,
        required=shape.is_required,
        readable=is_readable,
        writable=is_writable,
        choices=getattr(shape.column, "choices", None),
        relation=shape.related.__name__ if shape.is_relation else None,
        json_schema=json_schema(shape) if is_writable else {},
    )


def _method(method: ApiMethod) -> MethodDescription:
    return MethodDescription(
        name=method.name,
        title=method.title,
        right=method.right,
        scope=method.scope,
        of_model=method.of_model,
        arguments=method.arguments.model_json_schema(),
    )
