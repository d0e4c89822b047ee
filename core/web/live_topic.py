"""What can be watched: its topics, who may watch them, and what a change looks like to whoever does.

A change tells what moved and never what it says now, so that nothing in it must be kept from whoever may watch at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.access import Access, Right
from core.errors import AccessDenied, UserError
from core.orm.feed import EVERY, Change
from core.pattern import pattern
from core.web.parameters import LARGEST
from core.web.timeline import find_with_timeline

MOST_TOPICS = 20
_PLAIN = {
    "queue": ("queue", "Message"),
    "cron": ("cron", "CronJob"),
    "inbound": ("inbound", "InboundEmail"),
    "notifications": ("notification", ""),
}
"""The topics that are one word: the name of their events, and the model that whoever watches may read."""
_RECORD = pattern(r"record:(\w{1,100}):(\d{1,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Topic:
    """Something to watch. `model` is whose records must be readable, `record_id` the one record that it is about."""

    name: str
    event: str
    model: str = ""
    record_id: int | None = None

    async def require(self, access: Access) -> None:
        """Raise AccessDenied or UnknownName where the user may not watch this, or no longer."""
        if self.record_id is not None:
            await find_with_timeline(access, self.model, self.record_id, Right.READ)
        elif self.model:
            access.require(self.model)
            if not may_watch(access, self.name):
                raise AccessDenied(f"Watching {self.name} is for those inside.")

    def keys(self, user_id: int) -> tuple[str, ...]:
        """Return the topics of the feed that this is told by."""
        if self.record_id is not None:
            return f"record:{self.model}:{self.record_id}", f"record:{self.model}:{EVERY}"
        return (f"user:{user_id}", f"user:{EVERY}") if self.event == "notification" else (self.name,)

    def concerns(self, change: Change, access: Access) -> bool:
        """Tell whether a change under one of the keys is any of the user's business."""
        if change.inside and not access.is_internal:
            return False
        return access.is_admin or change.company_id in {None, *access.company_ids}

    def told(self, change: Change, access: Access) -> dict[str, Any]:
        """Return what the event says; no ids means that there may be any number of them.

        How sending went is told to those inside.
        """
        states = list(change.states) if access.is_internal else []
        if self.record_id is not None:
            about = {"model": self.model, "id": self.record_id, "messages": list(change.ids)}
            return {"topic": self.name, **about, "states": states}
        if self.event == "cron":
            return {"topic": self.name, "jobs": list(change.ids), "states": states}
        return {"topic": self.name, "states": states}


def may_watch(access: Access, name: str) -> bool:
    """Tell whether the user may watch a topic; one of a record whoever may read that, which is not asked here."""
    if name not in _PLAIN:
        return True
    model = _PLAIN[name][1]
    return not model or (access.is_internal and access.may(model))


def topics_of(text: str) -> tuple[Topic, ...]:
    """Return the topics in a list with commas, each once; UserError for none, too many, or what is no topic."""
    names = list(dict.fromkeys(name for one in text.split(",") if (name := one.strip())))
    if not 1 <= len(names) <= MOST_TOPICS:
        raise UserError(f"Name one to {MOST_TOPICS} topics, such as topics=queue,record:Lead:7.")
    return tuple(map(_topic, names))


def _topic(name: str) -> Topic:
    if name in _PLAIN:
        event, model = _PLAIN[name]
        return Topic(name, event, model)
    found = _RECORD.fullmatch(name)
    if found is None or int(found[2]) > LARGEST:
        raise UserError(f"There is no such topic; there are {', '.join(_PLAIN)} and record:MODEL:ID.")
    return Topic(f"record:{found[1]}:{int(found[2])}", "timeline", found[1], int(found[2]))


async def require_all(topics: Sequence[Topic], access: Access) -> None:
    """Raise what the first topic raises that the user may not watch."""
    for topic in topics:
        await topic.require(access)
