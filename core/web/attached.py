"""Who may see, add and delete files: the record's access is the file's access.

A file on timeline entries is seen with one of them, one that hangs on a record with that, and one that hangs on nothing
yet by whoever brought it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.access import Access, Right
from core.errors import UnknownName, UserError
from core.runtime import get_model
from core.web.entries import visible_entries
from core.web.record_faults import Conflict


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file is to hang: on a record (model and id), or nowhere yet, but meant for records of `model`."""

    model: str | None = None
    record_id: int | None = None
    company_id: int | None = None

    async def values(self, name: str) -> dict[str, Any]:
        """Return what an Upload of that name says about it."""
        path = await get_model("Attachment").new_path(self.model, self.company_id, name) if self.model else None
        is_there = self.record_id is not None
        return {"path": path, "res_model": self.model if is_there else None, "res_id": self.record_id}


async def find_place(access: Access, model: str | None, record_id: int | None, table_id: int | None) -> Place:
    """Return where the user may put a file; UnknownName or AccessDenied where that is none of theirs.

    `table_id` is the id of a ModelRegistry row, in place of `model`.
    """
    access.require("Attachment", Right.CREATE)
    if table_id is not None:
        table = await get_model("ModelRegistry").get_or_none(id=table_id)
        if table is None or (model is not None and model != table.identifier):
            raise UnknownName(f"There is no table {table_id}{f' of {model}' if model else ''}.")
        model = table.identifier
    if model is None:
        if record_id is not None:
            raise UserError("Say of which model the record is, by `model` or `table_id`.")
        return Place()
    if record_id is None:
        get_model(model)  # An administrator may write what there is, and only that.
        access.require(model, Right.WRITE)
        return Place(model, None, access.company_id)
    record = await access.find(model, record_id, Right.WRITE)
    return Place(model, record_id, getattr(record, "company_id", None) or access.company_id)


async def find_file(access: Access, **named: Any) -> Any:
    """Return a file that the user may see, without its bytes; UnknownName where it is not there for this user."""
    file = await get_model("Attachment").without_content().get_or_none(**named)
    if file is None or not await visible_files(access, [file]):
        raise UnknownName("There is no such file.")
    return file


async def visible_files(access: Access, files: Sequence[Any]) -> list[Any]:
    """Return those of some files that the user may see, and so may also send on."""
    entries_of = await _entries_of(files)
    entries = {entry.pk: entry for of_one in entries_of.values() for entry in of_one}
    seen = {entry.pk for entry in await visible_entries(access, list(entries.values()))} if entries else set()
    readable = await access.readable((file.res_model, file.res_id) for file in files if file.pk not in entries_of)

    def is_visible(file: Any) -> bool:
        if file.pk in entries_of:
            return any(entry.pk in seen for entry in entries_of[file.pk])
        if file.res_model is None:
            return access.is_admin or file.created_by_id == access.user_id
        return access.is_admin or (file.res_model, file.res_id) in readable

    return [file for file in files if is_visible(file)]


async def delete_file(access: Access, file: Any) -> None:
    """Delete a file that the user may see: their own that hangs on nothing, or any by the right to.

    Refused with 409 for what is part of a message, which stays as it was sent.
    """
    if await _entries_of([file]):
        raise Conflict("This file is part of a message, which stays as it is.")
    if file.res_model is not None or file.created_by_id != access.user_id:
        access.require("Attachment", Right.DELETE)
    if file.res_model is not None and not access.is_admin:
        await access.find(file.res_model, file.res_id, Right.WRITE)
    await get_model("Attachment").filter(id=file.pk).delete()


async def _entries_of(files: Sequence[Any]) -> dict[int, list[Any]]:
    """Return the messages that some files are on, by the id of the file."""
    ids = [file.pk for file in files]
    model = get_model("Message")
    pairs = await model.filter(attachments__id__in=ids).values_list("attachments__id", "id") if ids else []
    messages = {one.pk: one for one in await model.filter(id__in=[pair[1] for pair in pairs])} if pairs else {}
    found: dict[int, list[Any]] = {}
    for file_id, message_id in pairs:
        if file_id in ids and message_id in messages:
            found.setdefault(file_id, []).append(messages[message_id])
    return found
