"""Hooks that note what they are told, and fail on request."""

from __future__ import annotations

import asyncio
from typing import Any

from core.contributions import GatewayRule
from core.gateway.values import Ignore, Outcome, Quarantine
from core.hookspecs import hookimpl

from .models.ticket import Ledger, Order, Ticket

TOLD: list[tuple[str, Any]] = []


async def _decide(email: Any, lookup: Any) -> Any:
    subject = email.parsed.subject
    if "crash the rule" in subject:
        raise RuntimeError("the rule crashed")
    if "stall the rule" in subject:
        await asyncio.sleep(60)
    if "poison" in subject:
        return Quarantine("the addon calls it poison")
    return Ignore(Outcome.IGNORED, "the addon wants none of it") if "unwanted" in subject else None


@hookimpl
def register_models() -> list[type]:
    return [Ticket, Order, Ledger]


@hookimpl
def register_gateway_rules() -> list[GatewayRule]:
    return [GatewayRule("desk", 650, _decide)]


@hookimpl
async def filter_route_values(values: dict[str, Any], route: Any, email: Any) -> dict[str, Any] | None:
    if "refuse me" in email.parsed.subject:
        raise ValueError("tickets of this kind are refused")
    return {**values, "priority": 9} if "urgent" in email.parsed.subject else None


@hookimpl
async def email_routed(email: Any, record: Any, message: Any) -> None:
    TOLD.append(("routed", (email.source, record and record.display_name, message.id)))


@hookimpl
async def email_unmatched(email: Any) -> None:
    TOLD.append(("unmatched", email.source))


@hookimpl
async def message_posted(message: Any) -> None:
    TOLD.append(("posted", message.id))
