"""All that one user may do, loaded once for a request and asked by whatever the request does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tortoise.expressions import Q

from core import clock
from core.access.limits import Limit, limits_of
from core.access.parts import is_of_timelines, owner_of
from core.access.right import Right
from core.access.rule import Rule
from core.access.scope import Scope
from core.errors import AccessDenied, UnknownName
from core.orm.fields import SecretField
from core.orm.filter import condition, parse_filter
from core.runtime import get_model, runtime


@dataclass(frozen=True, slots=True)
class Access:
    """What one user may do; `grants` are (model, right). An administrator passes everything, whatever the rest says."""

    user_id: int
    company_id: int | None
    """The company that it works for now."""
    is_admin: bool
    is_internal: bool
    grants: frozenset[tuple[str, Right]] = frozenset()
    company_ids: frozenset[int] = frozenset()
    """All companies that it may work for, the present one among them."""
    contact_id: int | None = None
    group_ids: frozenset[int] = frozenset()
    """Its groups, and all that they imply."""
    rules: tuple[Rule, ...] = ()
    """The rules of no group, and those of its groups."""
    gates: Mapping[tuple[str, str], frozenset[Right]] = field(default_factory=dict, hash=False)
    """What it may do with the fields, by (model, field), that not everybody may."""
    scopes: frozenset[str] | None = None
    """What a token was made for; None for a session, which may all that its user may."""

    # Models.

    def may(self, model: str, right: Right = Right.READ) -> bool:
        """Tell whether the user has a right on a model, whichever the record."""
        if self._lacks_scope(model, right):
            return False
        return self.is_admin or ((model, right) in self.grants and not _is_guarded(model, right))

    def require(self, model: str, right: Right = Right.READ) -> None:
        """Raise AccessDenied unless the user has a right on a model."""
        if self._lacks_scope(model, right):
            raise AccessDenied(f"This token may not {right} {model}; that needs the scope admin.")
        if not self.may(model, right):
            raise AccessDenied(f"You may not {right} {model}; an administrator can allow it to one of your groups.")

    def _lacks_scope(self, model: str, right: Right) -> bool:
        """Whether this is a token that may not change how the host works."""
        is_limited = self.scopes is not None and Scope.ADMIN not in self.scopes and right is not Right.READ
        return is_limited and model in runtime().registry and get_model(model)._of_host

    # Records.

    def records(self, model: str, right: Right = Right.READ) -> Any:
        """Return a query over the records that the user has a right on; AccessDenied where the model is none of theirs.

        Raises UnknownName for a model that nobody declared.
        """
        declared = get_model(model)
        self.require(model, right)
        return declared.filter(self.condition(model, right))

    def condition(self, model: str, right: Right = Right.READ) -> Q:
        """Return the condition on the records that a right on their model reaches: which is not asked for here.

        It leaves out other companies' records, what record rules do not allow, and what belongs to such records.
        """
        return Q(*[limit.where for limit in self.limits(model, right)])

    def limits(self, model: str, right: Right = Right.READ) -> list[Limit]:
        """Return what limits a right on a model to some of its records; nothing does for an administrator."""
        return [] if self.is_admin else limits_of(self, get_model(model), right)

    def matching(self, model: str, tree: object) -> Q:
        """Return the condition of a JSON filter that the user asks with.

        Raises UserError for what is no filter on this model, AccessDenied for a field or a model on its way that the
        user may not read. Records that it may not read are as if they were not there.
        """
        return condition(parse_filter(tree), get_model(model), self._ask, within=self._relatives)

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
        if self.is_admin or not rows or not is_of_timelines(type(rows[0])):
            return rows
        owners = [owner_of(row) for row in rows]
        found = await self.readable(owner for owner in owners if owner[0])
        return [
            row for row, owner in zip(rows, owners, strict=True) if (not owner[0] or owner in found) and self.sees(row)
        ]

    def sees_sending(self, message: Any) -> bool:
        """Tell whether the user may see whom a message that it `sees` went to: those outside only of their own."""
        return self.is_internal or message.author_id == self.user_id

    def sees(self, row: Any) -> bool:
        """Tell whether the user may see this of a record that it may read: notes are for those inside, and so are the
        drafts of others.
        """
        if self.is_internal:
            return True
        is_draft = getattr(row, "send_state", None) == "Draft"
        return getattr(row, "kind", None) != "note" and (not is_draft or row.author_id == self.user_id)

    def may_post(self, model: str) -> bool:
        """Tell whether the user may write messages on records of a model: those outside may on what they may read."""
        if self.is_internal or self.may(model, Right.WRITE):
            return self.may(model, Right.WRITE)
        return self.may(model) and self.may("Message", Right.CREATE)

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

    # Fields.

    def may_field(self, model: str, name: str, right: Right = Right.READ) -> bool:
        """Tell whether the user has a right on a field of a model's records; a secret is never read, not by anybody.

        `name` is the field's own, or that of the column under a relation. Nobody has a right on a field that is none.
        """
        declared = get_model(model)
        name = _own_name(declared, name)
        if name not in declared._meta.fields_map or (right is Right.READ and is_secret(declared, name)):
            return False
        if self.is_admin:
            return True
        if not self.may(model, right) or (right is not Right.READ and name in _guarded(declared)):
            return False
        return right is Right.DELETE or right in self.gates.get((model, name), right)

    def require_field(self, model: str, name: str, right: Right = Right.READ) -> None:
        """Raise AccessDenied unless the user has a right on a field."""
        if not self.may_field(model, name, right):
            raise AccessDenied(f"You may not {right} {model}.{name}.")

    # What was written.

    async def check_written(
        self, records: Sequence[Any], right: Right = Right.WRITE, fields: Collection[str] | None = None
    ) -> None:
        """Raise AccessDenied where a record that was just stored is not, or not any more, one that the user may store.

        Call it in the transaction that stored the records, which are of one model. `right` is CREATE for new ones.
        `fields` are those that were written, None for all: what they point at must be for the user to read. So
        nothing is put into another company, onto a stranger's record, or beyond a rule.
        """
        if self.is_admin or not records:
            return
        model = type(records[0])
        ids = {record.pk for record in records}
        within = await self.records(model.__name__, right).filter(id__in=list(ids)).values_list("id", flat=True)
        for one in sorted(ids.difference(within)):
            raise AccessDenied(
                f"You may not {right} {model.__name__} {one} as it would be then: it would be another company's, "
                "belong to a record that is none of yours, or be beyond a rule."
            )
        for name in _relations(model, fields):
            await self._check_related(model, name, ids)

    async def _check_related(self, model: Any, name: str, ids: Collection[int]) -> None:
        """Raise AccessDenied where records point, by a relation, at what the user may not read."""
        related = model._meta.fields_map[name].related_model
        key = f"{name}__id"
        rows = model.filter(**{"id__in": list(ids), f"{key}__isnull": False})
        wanted = set(await rows.values_list(key, flat=True))
        if wanted and self.may(related.__name__):
            wanted -= set(await self.records(related.__name__).filter(id__in=list(wanted)).values_list("id", flat=True))
        for one in sorted(wanted):
            raise AccessDenied(f"You may not link {model.__name__}.{name} to {related.__name__} {one}.")

    def values(self) -> dict[str, object]:
        """Return what the names in record rules stand for."""
        now = clock.now()
        return {
            "$user.id": self.user_id,
            "$user.contact": self.contact_id,
            "$user.company": self.company_id,
            "$user.companies": self.company_ids,
            "$user.groups": self.group_ids,
            "$now": now,
            "$today": now.date(),
        }

    def _ask(self, model: type, name: str) -> None:
        self.require_field(model.__name__, name)

    def _relatives(self, model: type) -> Q:
        self.require(model.__name__)
        return self.condition(model.__name__)


def is_secret(model: Any, name: str) -> bool:
    """Tell whether a field is never shown: what a model names as private, and whatever is encrypted."""
    return name in getattr(model, "_private", ()) or isinstance(model._meta.fields_map.get(name), SecretField)


def _guarded(model: Any) -> tuple[str, ...]:
    names: tuple[str, ...] = getattr(model, "_admins_write", ())
    return names


def _is_guarded(model: str, right: Right) -> bool:
    """Whether only administrators may do this to the records of a model at all."""
    return right is not Right.READ and model in runtime().registry and "*" in _guarded(get_model(model))


def _own_name(model: Any, name: str) -> str:
    """Return the relation's name for that of the column under it."""
    reference = getattr(model._meta.fields_map.get(name), "reference", None)
    return name if reference is None else str(reference.model_field_name)


def _relations(model: Any, fields: Collection[str] | None) -> list[str]:
    """Return the relations among the written fields that are stored with a record."""
    meta = model._meta
    forward = [name for name in meta.m2m_fields if not meta.fields_map[name]._generated]
    written = None if fields is None else {_own_name(model, name) for name in fields}
    return [name for name in (*sorted(meta.fk_fields), *forward) if written is None or name in written]
