"""Asking the rules in order until one has an answer, and noting what each said."""

from __future__ import annotations

import asyncio
from typing import Any

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.values import Pass, Received, TraceStep, Unmatched, Verdict
from core.runtime import runtime


def rules_in_order() -> tuple[GatewayRule, ...]:
    """Return the rules of all addons in the order in which they are asked."""
    registered = [rule for _, rule in runtime().contributions.gateway_rules]
    return tuple(sorted(registered, key=lambda rule: rule.order))


LONGEST_RULE_S = 10.0
"""An addon's rule that never answers costs its own mail a try, and no other's."""


async def decide(email: Received, lookup: Lookup) -> tuple[Verdict, tuple[TraceStep, ...]]:
    """Return the verdict of the first rule that has one, and every rule asked with its answer."""
    trace: list[TraceStep] = []
    for rule in rules_in_order():
        answer = await _asked(rule, email, lookup)
        if answer is None or isinstance(answer, Pass):
            trace.append(TraceStep(rule.name, hit=False, reason=answer.reason if answer else ""))
            continue
        trace.append(TraceStep(rule.name, hit=True, reason=answer.reason))
        return answer, tuple(trace)
    return Unmatched("no rule had an answer"), tuple(trace)


async def _asked(rule: GatewayRule, email: Received, lookup: Lookup) -> Any:
    try:
        async with asyncio.timeout(LONGEST_RULE_S) as limit:
            return await rule.decide(email, lookup)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"the rule {rule.name} had no answer within {LONGEST_RULE_S:g} s") from error
