"""Mails that had to stay on their server, and why: too large, not handed out, or breaking the session off each time.

They are remembered by their identity there, told of, and tried again: a large one as soon as the limit allows it, any
other once a day. A mail that breaks off a session is suspected first, and left behind at the third time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from core import clock
from core.runtime import get_model, settings
from core.transport.mailbox_items import TooLarge, Unfetchable

_AGAIN_AFTER = timedelta(days=1)
_SUSPECT_TRIES = 3
_SHOWN = 20
_TOO_LARGE = "bytes are more than MAX_MAIL_BYTES"


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Those of one folder of a server; `prefix` is what their identities begin with."""

    server_id: int
    folder: str
    prefix: str = ""

    async def leave(self, uid: str, item: TooLarge | Unfetchable) -> None:
        """Note that a mail stays there."""
        limit = settings().MAX_MAIL_BYTES
        if isinstance(item, TooLarge):
            why = f"{item.size_bytes} {_TOO_LARGE} ({limit})"
        else:
            why = f"the server does not hand it out: {item.server_text}"
        await self._note(uid, item.size_bytes, "left", why)

    async def suspect(self, uid: str, why: str) -> bool:
        """Note that fetching this mail broke off the session; whether that makes it one to leave behind."""
        row = await self._rows().get_or_none(uid=uid)
        tries = (row.tries if row is not None else 0) + 1
        state = "left" if tries >= _SUSPECT_TRIES else "suspect"
        await self._note(uid, row.size_bytes if row is not None else 0, state, why, tries)
        return state == "left"

    async def forget(self, *uids: str) -> None:
        """Forget mails that were fetched after all, or are gone."""
        await self._rows().filter(uid__in=uids, state__in=("left", "suspect")).delete()

    async def trust(self) -> None:
        """Forget the suspicions: all that was to be fetched is here."""
        await self._rows().filter(state="suspect").delete()

    async def due(self) -> list[str]:
        """Return those that are worth another try, and note that it is made."""
        now, limit = clock.now(), settings().MAX_MAIL_BYTES
        rows = await self._rows().filter(state="left", uid__startswith=self.prefix).order_by("id")
        due = [
            row
            for row in rows
            if row.tried_at < now - _AGAIN_AFTER or (_TOO_LARGE in row.why and row.size_bytes <= limit)
        ]
        await self._rows().filter(id__in=[row.id for row in due]).update(tried_at=now)
        return [row.uid for row in due]

    async def drop_others(self) -> int:
        """Forget those whose identities begin otherwise, since they mean nothing any more; return how many."""
        return int(await self._rows().exclude(uid__startswith=self.prefix).delete())

    async def words(self) -> list[str]:
        """Return a sentence for each mail that stays there."""
        rows = self._rows().filter(state="left", uid__startswith=self.prefix).order_by("id").limit(_SHOWN)
        place = f"{self.folder}, UID" if self.folder else "Mail"
        return [f"{place} {row.uid.removeprefix(self.prefix)} stays there unread: {row.why}." for row in await rows]

    async def _note(self, uid: str, size_bytes: int, state: str, why: str, tries: int = 0) -> None:
        values = {
            "size_bytes": size_bytes,
            "state": state,
            "why": why.replace("\0", ""),
            "tries": tries,
            "tried_at": clock.now(),
        }
        key = {"server_id": self.server_id, "folder": self.folder, "uid": uid}
        await get_model("MailUid").update_or_create(defaults=values, **key)

    def _rows(self) -> Any:
        return get_model("MailUid").filter(server_id=self.server_id, folder=self.folder)
