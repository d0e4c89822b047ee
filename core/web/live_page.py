"""What a page needs to keep itself as it is on the server: topics to listen to, and since when."""

from __future__ import annotations

from dataclasses import dataclass

from core.access import Access
from core.runtime import runtime, settings
from core.web.live_topic import may_watch


@dataclass(frozen=True, slots=True)
class LivePage:
    """The topics of a page, with commas between, and the newest entry of the feed before the page was read."""

    topics: str
    since: int


async def live_page(access: Access, *names: str) -> LivePage | None:
    """Return what a page listens to of some topics, asked before it reads anything; None where there is nothing.

    A topic of a record is for a page that has found the record.
    """
    topics = [name for name in names if may_watch(access, name)]
    if not topics or not settings().LIVE_STREAMS_PER_USER:
        return None
    return LivePage(",".join(topics), await runtime().feed.position())
