"""Loading what a user may do: a handful of statements, however many groups, rules and gates there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from core.access.access import Access
from core.access.right import INTERNAL_GROUP, Right
from core.access.rule import Rule
from core.runtime import get_model

_RIGHTS = tuple(f"can_{right}" for right in Right)


async def access_of(user: Any) -> Access:
    """Load what a User may do, by its groups and by all that they imply."""
    if user.is_admin:
        return Access(user.pk, user.company_id, is_admin=True, is_internal=True, contact_id=user.contact_id)
    identifiers, implied = await _groups()
    direct: list[int] = await get_model("Group").filter(users__id=user.pk).values_list("id", flat=True)
    member_of = frozenset(closure(direct, implied))
    companies: list[int] = await get_model("Company").filter(members__id=user.pk).values_list("id", flat=True)
    own = [user.company_id] if user.company_id is not None else []
    return Access(
        user_id=user.pk,
        company_id=user.company_id,
        is_admin=False,
        is_internal=any(identifiers[one] == INTERNAL_GROUP for one in member_of),
        grants=await _grants(member_of),
        company_ids=frozenset([*companies, *own]),
        contact_id=user.contact_id,
        group_ids=member_of,
        rules=await _rules(member_of),
        gates=await _gates(member_of),
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


async def _groups() -> tuple[dict[int, str], dict[int, set[int]]]:
    """Return the identifiers of all groups, and what each implies."""
    identifiers: dict[int, str] = {}
    implied: dict[int, set[int]] = defaultdict(set)
    for row in await get_model("Group").all().values("id", "identifier", "implies__id"):
        identifiers[row["id"]] = row["identifier"]
        if row["implies__id"] is not None:
            implied[row["id"]].add(row["implies__id"])
    return identifiers, implied


async def _grants(groups: Collection[int]) -> frozenset[tuple[str, Right]]:
    rows = await get_model("ModelAccess").filter(group_id__in=list(groups)).values("model__identifier", *_RIGHTS)
    return frozenset((row["model__identifier"], right) for row in rows for right in _rights_in(row))


async def _rules(groups: Collection[int]) -> tuple[Rule, ...]:
    """Return the rules of no group, and those of the user's groups."""
    rows = await get_model("RecordRule").filter(active=True).order_by("id").values(
        "id", "name", "where", "model__identifier", "groups__id", *_RIGHTS
    )  # fmt: skip
    of_rules: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        of_rules[row["id"]].append(row)
    return tuple(
        _rule(first)
        for first, *more in of_rules.values()
        if first["groups__id"] is None or any(row["groups__id"] in groups for row in (first, *more))
    )


def _rule(row: Mapping[str, Any]) -> Rule:
    is_global = row["groups__id"] is None
    return Rule(row["name"], row["model__identifier"], frozenset(_rights_in(row)), is_global, row["where"])


async def _gates(groups: Collection[int]) -> dict[tuple[str, str], frozenset[Right]]:
    """Return what the user may do with the fields that somebody's rows stand before."""
    gates: dict[tuple[str, str], frozenset[Right]] = defaultdict(frozenset)
    rows = get_model("FieldAccess").all()
    for row in await rows.values("model__identifier", "field", "group_id", "can_read", "can_write"):
        given = {Right.READ} if row["can_read"] else set()
        given |= {Right.CREATE, Right.WRITE} if row["can_write"] else set()
        gates[row["model__identifier"], row["field"]] |= given if row["group_id"] in groups else set()
    return dict(gates)


def _rights_in(row: Mapping[str, Any]) -> list[Right]:
    return [right for right in Right if row[f"can_{right}"]]
