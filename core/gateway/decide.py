"""Asking the rules in order until one has an answer, and noting what each said."""

from __future__ import annotations

import asyncio
from operator import attrgetter

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.values import Pass, Received, TraceStep, Unmatched, Verdict
from core.runtime import runtime


def rules_in_order() -> tuple[GatewayRule, ...]:
    """Return the rules of all addons in the order in which they are asked."""
    registered = [rule for _, rule in runtime().contributions.gateway_rules]
    return tuple(sorted(registered, key=attrgetter("order")))


LONGEST_RULE_S = 10.0
"""An addon's rule that never answers costs its own mail a try, and no other's."""


async def decide(email: Received, lookup: Lookup) -> tuple[Verdict, tuple[TraceStep, ...]]:
    """Return the verdict of the first rule that has one, and every rule asked with its answer."""
    trace: list[TraceStep] = []
    asked = ""
    try:
        async with asyncio.timeout(LONGEST_RULE_S) as limit:
            for rule in rules_in_order():
                asked = rule.name
                answer = await rule.decide(email, lookup)
                if answer is None or isinstance(answer, Pass):
                    trace.append(TraceStep(asked, hit=False, reason=answer.reason if answer else ""))
                    continue
                trace.append(TraceStep(asked, hit=True, reason=answer.reason))
                return answer, tuple(trace)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"the rule {asked} had no answer within {LONGEST_RULE_S:g} s") from error
    return Unmatched("no rule had an answer"), tuple(trace)
