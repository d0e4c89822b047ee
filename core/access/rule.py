"""Record rules as values: which records of a model a right reaches, by a filter that is data.

A rule of no group holds for everybody; of those of a user's groups, one is enough. A rule that cannot be read denies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from tortoise.expressions import Q

from core.access.right import Right
from core.errors import AccessDenied, UserError
from core.orm.filter import condition, parse_filter

_SAMPLE_AT = datetime(2030, 1, 1, tzinfo=UTC)
SAMPLE_VALUES: Mapping[str, object] = MappingProxyType(
    dict.fromkeys(("$user.id", "$user.contact", "$user.company"), 1)
    | dict.fromkeys(("$user.companies", "$user.groups"), (1,))
    | {"$now": _SAMPLE_AT, "$today": _SAMPLE_AT.date()}
)
"""What the names in rules stand for, as a rule is checked with before anybody asks."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One RecordRule; `tree` is its filter as JSON gave it. `is_global` says that it is of no group."""

    name: str
    model: str
    rights: frozenset[Right]
    is_global: bool
    tree: object

    def condition(self, model: Any, values: Mapping[str, object]) -> Q:
        """Return the condition on the model's records; AccessDenied where the rule does not fit the model any more."""
        try:
            return checked_condition(self.tree, model, values)
        except UserError as error:
            raise AccessDenied(
                f'The rule "{self.name}" on {self.model} cannot be read, so it lets nobody in: {error}. Mend the rule.'
            ) from error


def checked_condition(tree: object, model: Any, values: Mapping[str, object] = SAMPLE_VALUES) -> Q:
    """Return a rule's condition; UserError with the place of what does not fit the model."""
    return condition(parse_filter(tree), model, lambda model, name: None, values)
