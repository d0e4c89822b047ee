"""Who may do what: ModelAccess rows through a user's groups, and each company's records for itself.

Denied unless a row allows it. Every page and every API call asks here; code that acts for the system itself does not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tortoise.expressions import Q

from core.errors import AccessDenied, UnknownName
from core.runtime import get_model

INTERNAL_GROUP = "user"
"""The identifier of the group whose members see internal notes."""


class Right(StrEnum):
    """What one may do with the records of a model."""

    READ = "read"
    CREATE = "create"
    WRITE = "write"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Access:
    """All that one user may do, loaded once; `grants` are (model, right)."""

    user_id: int
    company_id: int | None
    is_admin: bool
    is_internal: bool
    grants: frozenset[tuple[str, Right]]

    def may(self, model: str, right: Right = Right.READ) -> bool:
        """Tell whether the user has a right on a model, whichever the record."""
        return self.is_admin or (model, right) in self.grants

    def require(self, model: str, right: Right = Right.READ) -> None:
        """Raise AccessDenied unless the user has a right on a model."""
        if not self.may(model, right):
            raise AccessDenied(f"You may not {right} {model}; an administrator can allow it to one of your groups.")

    def records(self, model: str, right: Right = Right.READ) -> Any:
        """Return a query over the records that the user has a right on; AccessDenied where the model is none of theirs.

        Raises UnknownName for a model that nobody declared.
        """
        declared = get_model(model)
        self.require(model, right)
        return declared.filter(self.company_filter(model))

    def company_filter(self, model: str) -> Q:
        """Return the condition that leaves out the records of other companies, and the parts of such records."""
        path = "" if self.is_admin else _company_path(get_model(model))
        if not path:
            return Q()
        shared: dict[str, Any] = {f"{path}__isnull": True, **getattr(get_model(model), "_shared_where", {})}
        own: dict[str, Any] = {path: self.company_id}
        return Q(**shared) | Q(**own)

    async def find(self, model: str, record_id: int, right: Right = Right.READ) -> Any:
        """Return one record; UnknownName where it is not there, or not for this user (see `visible`)."""
        record = await self.records(model, right).get_or_none(id=record_id)
        if record is None or not await self.visible([record]):
            raise UnknownName(f"There is no {model} {record_id}.")
        return record

    async def visible(self, rows: list[Any]) -> list[Any]:
        """Leave out what belongs to a record that the user may not read: its entries, files, followers; and notes.

        `rows` are records of one model, found by `records`.
        """
        if self.is_admin or not rows or not _is_of_timelines(type(rows[0])):
            return rows
        owners = [_owner_of(row) for row in rows]
        found = await self.readable(owner for owner in owners if owner[0])
        return [
            row for row, owner in zip(rows, owners, strict=True) if (not owner[0] or owner in found) and self.sees(row)
        ]

    def sees(self, row: Any) -> bool:
        """Tell whether the user may see this of a record that it may read: notes are for those inside, and so are the
        drafts of others.
        """
        if self.is_internal:
            return True
        is_draft = getattr(row, "send_state", None) == "Draft"
        return getattr(row, "kind", None) != "note" and (not is_draft or row.author_id == self.user_id)

    def may_take_back(self, message: Any) -> bool:
        """Tell whether the user may take back, edit or throw away what was written: its author may."""
        return message.author_id == self.user_id or (self.may("Message", Right.WRITE) and self.sees(message))

    async def readable(self, wanted: Iterable[tuple[str | None, int | None]]) -> dict[tuple[str, int], Any]:
        """Return those of the named records that the user may read, by (model, id)."""
        ids: dict[str, set[int]] = {}
        for model, record_id in wanted:
            if model and record_id:
                ids.setdefault(model, set()).add(record_id)
        found: dict[tuple[str, int], Any] = {}
        for model, among in ids.items():
            try:
                rows = await self.visible(await self.records(model).filter(id__in=list(among)))
            except (AccessDenied, UnknownName):
                continue
            found |= {(model, row.pk): row for row in rows}
        return found

    async def one_readable(self, model: str | None, record_id: int | None) -> Any:
        """Return the named record if the user may read it; None where not, or where nothing is named."""
        return next(iter((await self.readable([(model, record_id)])).values()), None)


def _company_path(model: Any, inside: tuple[Any, ...] = ()) -> str:
    """Return the way from a record to its company: its own, or that of what it is a part of; empty where none is."""
    if "company" in model._meta.fk_fields:
        return "company_id"
    for name, whole in _wholes(model):
        if whole not in inside and (path := _company_path(whole, (*inside, model))):
            return f"{name}__{path}"
    return ""


def _is_of_timelines(model: Any, inside: tuple[Any, ...] = ()) -> bool:
    """Tell whether a model's rows name any record as theirs (`res_model`, `res_id`), or are parts of such rows."""
    if "res_model" in model._meta.fields_map:
        return True
    return any(_is_of_timelines(whole, (*inside, model)) for _, whole in _wholes(model) if whole not in inside)


def _owner_of(row: Any) -> tuple[str | None, int | None]:
    """Return (model, id) of what a row of a timeline belongs to; (None, None) for a row that stands alone."""
    if "res_model" in row._meta.fields_map:
        return row.res_model, row.res_id
    name, whole = next(pair for pair in _wholes(type(row)) if _is_of_timelines(pair[1]))
    return whole.__name__, getattr(row, row._meta.fields_map[name].source_field)


def _wholes(model: Any) -> list[tuple[str, Any]]:
    """Return the relations that a record cannot be without, with their models: what it is a part of."""
    declared = model._meta.fields_map
    return [
        (name, field.related_model)
        for name, field in declared.items()
        if name in model._meta.fk_fields and not field.null
    ]


async def access_of(user: Any) -> Access:
    """Load what a User may do, by its groups and by all that they imply."""
    groups = {group.id: group for group in await get_model("Group").all().prefetch_related("implies")}
    direct = await get_model("Group").filter(users__id=user.pk).values_list("id", flat=True)
    implied = {group.id: [other.id for other in group.implies] for group in groups.values()}
    member_of = closure(direct, implied)
    rows = await get_model("ModelAccess").filter(group_id__in=list(member_of)).values(
        "model__identifier", "can_read", "can_create", "can_write", "can_delete"
    )  # fmt: skip
    return Access(
        user_id=user.pk,
        company_id=user.company_id,
        is_admin=user.is_admin,
        is_internal=user.is_admin or any(groups[one].identifier == INTERNAL_GROUP for one in member_of),
        grants=frozenset((row["model__identifier"], right) for row in rows for right in Right if row[f"can_{right}"]),
    )


def closure(start: Iterable[int], leads_to: Mapping[int, Collection[int]]) -> set[int]:
    """Return all that can be reached from `start`; circles do no harm."""
    reached: set[int] = set()
    waiting = list(start)
    while waiting:
        one = waiting.pop()
        if one not in reached:
            reached.add(one)
            waiting += leads_to.get(one, ())
    return reached


async def may(user: Any, model: str, right: Right = Right.READ) -> bool:
    """Tell whether a user has a right on a model; nobody (None) has none."""
    return user is not None and (await access_of(user)).may(model, right)
