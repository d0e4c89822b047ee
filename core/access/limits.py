"""What limits a right on a model to some of its records: companies, rules, and what a record belongs to.

Each limit has its cause and a name, so that what leaves a record out can say so (`core.access.explain`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from tortoise.expressions import Q, Subquery

from core.access.parts import is_of_timelines, names_owner, wholes
from core.access.right import Right
from core.access.rule import Rule
from core.runtime import get_model, runtime


class Cause(StrEnum):
    """Why a right reaches some records only."""

    COMPANY = "company"
    RULE = "rule"
    WHOLE = "whole"
    """What a record is a part of."""
    OWNER = "owner"
    """The record that a timeline's row names."""
    NOTE = "note"
    """Notes, and drafts of others, are for those inside."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One condition that the records must fulfil, and what it is called."""

    cause: Cause
    name: str
    where: Q


class Asker(Protocol):
    """Who asks, as far as the limits depend on it."""

    @property
    def user_id(self) -> int: ...
    @property
    def is_internal(self) -> bool: ...
    @property
    def company_ids(self) -> frozenset[int]: ...
    @property
    def rules(self) -> tuple[Rule, ...]: ...

    def may(self, model: str, right: Right = ...) -> bool: ...
    def values(self) -> Mapping[str, object]: ...


def limits_of(asker: Asker, model: Any, right: Right, inside: tuple[Any, ...] = ()) -> list[Limit]:
    """Return the limits of a right on a model's records; `inside` are the models whose limits led here."""
    found = _rules(asker, model, right)
    if "company" in model._meta.fk_fields:
        found.append(Limit(Cause.COMPANY, "company", _company(asker, model)))
    if names_owner(model):
        found += _timeline(asker, model, right.of_whole)
    for name, whole in wholes(model):
        if whole not in inside and (of_whole := limits_of(asker, whole, right.of_whole, (*inside, model))):
            found.append(Limit(Cause.WHOLE, name, _among(model._meta.fields_map[name].source_field, whole, of_whole)))
    return found


def _rules(asker: Asker, model: Any, right: Right) -> list[Limit]:
    """Return a limit for each global rule, and one for all rules of groups, of which one is enough."""
    of_right = [rule for rule in asker.rules if rule.model == model.__name__ and right in rule.rights]
    values = asker.values() if of_right else {}
    found = [Limit(Cause.RULE, rule.name, rule.condition(model, values)) for rule in of_right if rule.is_global]
    of_groups = [rule for rule in of_right if not rule.is_global]
    if not of_groups:
        return found
    some = Q(*[rule.condition(model, values) for rule in of_groups], join_type=Q.OR)
    return [*found, Limit(Cause.RULE, " or ".join(rule.name for rule in of_groups), some)]


def _company(asker: Asker, model: Any) -> Q:
    shared: dict[str, Any] = {"company_id__isnull": True, **getattr(model, "_shared_where", {})}
    return Q(Q(**shared), Q(company_id__in=list(asker.company_ids)), join_type=Q.OR)


def _timeline(asker: Asker, model: Any, right: Right) -> list[Limit]:
    """Return the limits of what hangs on records: those must be the asker's, and notes are for those inside."""
    open_models: list[str] = []
    belongs: list[Q] = []
    for entry in runtime().registry:
        if not asker.may(entry.name, right) or is_of_timelines(entry.model):
            continue
        open_models.append(entry.name)
        owner = get_model(entry.name)
        if of_owner := limits_of(asker, owner, right, (model,)):
            belongs.append(Q(Q(res_model__not=entry.name), _among("res_id", owner, of_owner), join_type=Q.OR))
    # Said the other way round, since SQLite would take an index for each of the models, and then sort all rows.
    is_open = Q(_alone(asker, model), ~Q(res_model__not_in=open_models), join_type=Q.OR)
    where = Q(Q(is_open, *belongs), *_of_entries(asker, model), join_type=Q.OR)
    found = [Limit(Cause.OWNER, "res_model", where)]
    if "send_state" in model._meta.fields_map and not asker.is_internal:
        is_own = Q(Q(send_state__not="Draft"), Q(author_id=asker.user_id), join_type=Q.OR)
        found.append(Limit(Cause.NOTE, "kind", Q(Q(kind__not="note"), is_own)))
    return found


def _alone(asker: Asker, model: Any) -> Q:
    """Return the condition on rows that name no record; a file that hangs on nothing is for whoever brought it."""
    is_loose = Q(res_model__isnull=True)
    return Q(is_loose, Q(created_by_id=asker.user_id)) if "created_by" in model._meta.fk_fields else is_loose


def _of_entries(asker: Asker, model: Any) -> list[Q]:
    """Return the condition on files that hang on entries of timelines alone, where the model's rows are files."""
    relation = model._meta.fields_map.get("messages")
    if "messages" not in model._meta.m2m_fields or not asker.may(relation.related_model.__name__):
        return []
    limits = limits_of(asker, relation.related_model, Right.READ, (model,))
    hung: dict[str, Any] = {"messages__id__in": _ids(relation.related_model, limits)}
    on_entries: dict[str, Any] = {"id__in": Subquery(model.filter(**hung).values("id"))}
    return [Q(Q(res_model__isnull=True), Q(**on_entries))]


def _ids(model: Any, limits: list[Limit]) -> Subquery:
    return Subquery(model.filter(*[one.where for one in limits]).values("id"))


def _among(key: str, model: Any, limits: list[Limit]) -> Q:
    """Return the condition that a key names one of the records within some limits."""
    where: dict[str, Any] = {f"{key}__in": _ids(model, limits)}
    return Q(**where)
