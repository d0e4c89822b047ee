"""Records as `reference/002` names them: a table is a row of ModelRegistry, and a record has its number in it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from core.access import Access, Right
from core.errors import UnknownName
from core.runtime import get_model
from core.web.parameters import LARGEST

Number = Annotated[int, Field(ge=0, le=LARGEST)]
"""The id of a row, in a body."""


class Shape(BaseModel):
    """A body whose names are written `likeThis`."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class RecordOfTable(Shape):
    """A record: `tableId` is the id of the model's row in ModelRegistry."""

    table_id: Number = Field(examples=[1])
    record_id: Number = Field(examples=[1])


async def record_of(access: Access, table_id: int, record_id: int, right: Right) -> Any:
    """Return a record that has a timeline; UnknownName or AccessDenied where there is none for this user."""
    table = await get_model("ModelRegistry").get_or_none(id=table_id, active=True)
    if table is None:
        raise UnknownName(f"There is no table {table_id}; ModelRegistry has their ids.")
    record = await access.find(table.identifier, record_id, right)
    if not hasattr(record, "post_message"):
        raise UnknownName(f"{table.identifier} has no timeline, so nobody writes mail from its records.")
    return record
