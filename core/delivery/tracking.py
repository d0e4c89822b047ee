"""Who may be tracked: the wish of a recipient and of a company, asked when their mail is made."""

from __future__ import annotations

from collections.abc import Iterable

from core.runtime import runtime


async def trackable(wanted: Iterable[tuple[int | None, str]]) -> set[tuple[int | None, str]]:
    """Return those of some (company id, recipient's address) of which neither has `no_tracking` set: two queries."""
    asked = set(wanted)
    companies = await _companies({company for company, _ in asked if company is not None})
    addresses = await _addresses({address for _, address in asked})
    return {one for one in asked if one[0] not in companies and one[1].lower() not in addresses}


async def _companies(ids: set[int]) -> set[int]:
    if not ids:
        return set()
    database = runtime().database
    among = database.dialect.among("id", database.dialect.param(1))
    rows = await database.fetch(
        f"SELECT id FROM company WHERE no_tracking = TRUE AND {among}", [database.dialect.ids(sorted(ids))]
    )
    return {row["id"] for row in rows}


async def _addresses(addresses: set[str]) -> set[str]:
    """Return, in lower case, the addresses whose contact wants no tracking."""
    database = runtime().database
    lowered = sorted({address.lower() for address in addresses})
    places = ", ".join(database.dialect.param(number) for number in range(1, len(lowered) + 1))
    rows = await database.fetch(
        f"SELECT email FROM contact WHERE no_tracking = TRUE AND LOWER(email) IN ({places})", lowered
    ) if lowered else []  # fmt: skip
    return {row["email"].lower() for row in rows}
