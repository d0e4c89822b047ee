"""What recipients did with their copies, as the timeline and the message's page tell it: always an estimate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.runtime import get_model, runtime

_LINKS_SHOWN = 5
_EVENTS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Followed:
    """A link that a person followed, how often, and when first."""

    url: str
    at: datetime
    count: int


@dataclass(slots=True)
class Reading:
    """What became known of one copy; `machines` counts what scanners and proxies fetched by themselves."""

    links: list[Followed] = field(default_factory=list)
    more_links: int = 0
    machines: int = 0


async def readings(delivery_ids: Iterable[int]) -> dict[int, Reading]:
    """Return what is known of some copies, by delivery; nothing for one that nobody touched."""
    database = runtime().database
    dialect = database.dialect
    rows = await database.fetch(
        f"""SELECT delivery_id, kind, url, verdict, MIN(at) AS at, SUM(count) AS count FROM tracking_event
            WHERE {dialect.among("delivery_id", dialect.param(1))}
            GROUP BY delivery_id, kind, url, verdict ORDER BY MIN(at)""",
        [dialect.ids(list(delivery_ids))],
    )
    found: dict[int, Reading] = defaultdict(Reading)
    for row in rows:
        _add(found[row["delivery_id"]], row, dialect.read_time(row["at"]))
    return dict(found)


def _add(reading: Reading, row: dict[str, Any], at: datetime | None) -> None:
    if row["verdict"] == "machine":
        reading.machines += row["count"]
    elif row["kind"] == "click" and at is not None:
        if len(reading.links) < _LINKS_SHOWN:
            reading.links.append(Followed(row["url"], at, row["count"]))
        else:
            reading.more_links += 1


async def events_of(message_id: int, delivery_ids: Iterable[int]) -> list[Any]:
    """Return the last events of a message: of those copies, and those that name no copy."""
    known = set(delivery_ids)
    rows = get_model("TrackingEvent").filter(message_id=message_id).order_by("-at", "-id").limit(_EVENTS_SHOWN)
    return [row for row in await rows if row.delivery_id is None or row.delivery_id in known]
