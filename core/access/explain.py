"""Why a user may do something, or may not: every group, rule, company and gate that is asked, with its answer.

It asks the same limits as everybody's requests do, one at a time, so that what it says is what happens. For the
operator alone: it tells of records and rules that the user it is about never learns of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from core.access.access import Access
from core.access.limits import Cause, Limit
from core.access.load import access_of
from core.access.parts import owner_of
from core.access.right import Right
from core.errors import UnknownName
from core.runtime import get_model


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was asked: what kind of thing, what it answers, and the reason as a sentence."""

    asked: str
    allows: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether a user may, and each step on the way; `fields` are those that it may not, whatever the record."""

    login: str
    model: str
    record_id: int | None
    right: Right
    steps: tuple[Step, ...]
    fields: tuple[Step, ...]

    @property
    def allows(self) -> bool:
        """Whether every step allows."""
        return all(step.allows for step in self.steps)

    @property
    def verdict(self) -> str:
        """`ann may not write CrmLead 7.`"""
        about = self.model if self.record_id is None else f"{self.model} {self.record_id}"
        return f"{self.login} {'may' if self.allows else 'may not'} {self.right} {about}."


async def explain(login: str, model: str, record_id: int | None = None, right: Right = Right.READ) -> Explanation:
    """Say why a user has a right on a model, or on one of its records, or why not.

    Raises UnknownName for a user, a model or a record that is not there at all.
    """
    declared = get_model(model)
    user = await get_model("User").get_or_none(login=login.strip().casefold())
    if user is None:
        raise UnknownName(f"There is no user {login}; see `postroom user ls`.")
    record = None if record_id is None else await declared.get_or_none(id=record_id)
    if record_id is not None and record is None:
        raise UnknownName(f"There is no {model} {record_id}, for anybody.")
    access = await access_of(user)
    steps = [_of_user(user)]
    if not user.is_admin:
        steps += await _of_model(access, model, right)
        steps += [await _of_limit(access, limit, declared, record) for limit in access.limits(model, right)]
    fields = tuple(_of_fields(access, declared, right))
    return Explanation(user.login, model, record_id, right, tuple(steps), fields)


def _of_user(user: Any) -> Step:
    if not user.active:
        return Step("user", False, f"{user.login} is switched off; `postroom user enable {user.login}`.")
    if user.is_admin:
        return Step("user", True, f"{user.login} is an administrator, who passes every check.")
    return Step("user", True, f"{user.login} is active, and no administrator.")


async def _of_model(access: Access, model: str, right: Right) -> list[Step]:
    """Return the grants of the user's groups, or which groups have one."""
    rows = await get_model("ModelAccess").filter(
        **{"model__identifier": model, f"can_{right}": True}
    ).order_by("group__identifier").values("group_id", "group__identifier", "identifier")  # fmt: skip
    own = [row for row in rows if row["group_id"] in access.group_ids]
    steps = [Step("group", True, f"The group {_with_row(row)} may {right} {model}.") for row in own]
    if not own:
        others = ", ".join(row["group__identifier"] for row in rows)
        hint = f"these may: {others}" if others else "add a ModelAccess"
        mine = ", ".join(await _group_names(access)) or "no group at all"
        steps.append(Step("group", False, f"No group of theirs ({mine}) may {right} {model}; {hint}."))
    elif not access.may(model, right):
        steps.append(Step("model", False, f"Only administrators {right} {model}, whatever a group's rights."))
    return steps


def _with_row(row: dict[str, Any]) -> str:
    return f"{row['group__identifier']} ({row['identifier']})" if row["identifier"] else str(row["group__identifier"])


async def _group_names(access: Access) -> list[str]:
    groups = get_model("Group").filter(id__in=list(access.group_ids)).order_by("identifier")
    return list(await groups.values_list("identifier", flat=True))


async def _of_limit(access: Access, limit: Limit, model: Any, record: Any) -> Step:
    """Return whether a record is within a limit; without a record, what the limit is."""
    if record is None:
        return Step(limit.cause, True, f"Only some records: {await _described(access, limit, model)}.")
    is_within = await model.filter(limit.where, id=record.pk).exists()
    told = await _told(access, limit, model, record)
    return Step(limit.cause, is_within, f"{told}: {'within' if is_within else 'not within'} this limit.")


async def _described(access: Access, limit: Limit, model: Any) -> str:
    if limit.cause is Cause.RULE:
        return f'those of the rule "{limit.name}"'
    if limit.cause is Cause.COMPANY:
        return f"those of {await _company_names(access.company_ids)}, and those of no company"
    if limit.cause is Cause.WHOLE:
        whole = model._meta.fields_map[limit.name].related_model.__name__
        return f"parts of a {whole} that they have the right on"
    if limit.cause is Cause.OWNER:
        return "what hangs on records that they have the right on, or on none"
    return "no notes, and no drafts of others"


async def _told(access: Access, limit: Limit, model: Any, record: Any) -> str:
    """Return what a limit looks at in a record."""
    if limit.cause is Cause.COMPANY:
        company = await _company_names([record.company_id] if record.company_id else [])
        return f"It belongs to {company}, and they work for {await _company_names(access.company_ids)}"
    if limit.cause is Cause.WHOLE:
        column = model._meta.fields_map[limit.name]
        return f"It is a part of {column.related_model.__name__} {getattr(record, column.source_field)} ({limit.name})"
    if limit.cause is Cause.OWNER:
        owner, owner_id = owner_of(record)
        return f"It hangs on {f'{owner} {owner_id}' if owner else 'no record'}"
    if limit.cause is Cause.RULE:
        return f'The rule "{limit.name}"'
    return "Notes, and drafts of others, are for those inside"


async def _company_names(ids: Iterable[int]) -> str:
    names = await get_model("Company").filter(id__in=list(ids)).order_by("name").values_list("name", flat=True)
    return " and ".join(names) or "no company"


def _of_fields(access: Access, model: Any, right: Right) -> list[Step]:
    """Return the fields that the user may not read or write, of those that others may."""
    name, found = model.__name__, []
    if not access.may(name, right) or right is Right.DELETE:
        return []
    for field in model._meta.fields_map:
        if field == "pk" or access.may_field(name, field, right):
            continue
        if (name, field) in access.gates:
            reason = f"{name}.{field} is for the groups of its FieldAccess rows."
        elif right is Right.READ:
            reason = f"{name}.{field} is a secret, which nobody reads."
        else:
            reason = f"Only administrators {right} {name}.{field}."
        found.append(Step("field", False, reason))
    return found
