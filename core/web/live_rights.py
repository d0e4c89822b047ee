"""Whether those who watch still may: what rights are made of is read for all of them at once, and compared."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from core import clock
from core.access import Access, access_of
from core.errors import PostroomError
from core.runtime import get_model, runtime
from core.web.live_stream import Stream
from core.web.live_topic import require_all
from core.web.session import Visit, user_of

_OF_ALL = ("Group", "ModelAccess", "RecordRule")
"""The models whose rows say what groups may do."""


class Rights:
    """Remembers what the rights of each stream were made of when they were last looked at."""

    def __init__(self) -> None:
        self._seen: dict[Stream, tuple[object, ...]] = {}

    async def lost(self, streams: Iterable[Stream]) -> list[Stream]:
        """Return the streams whose watcher may no longer watch what it does; give the others their rights as of now.

        A new one is looked at once, since its rights may have changed while it came.
        """
        now = list(streams)
        stamps = await _stamps(now)
        changed = [stream for stream in now if self._seen.get(stream) != stamps[stream]]
        self._seen = stamps
        gone = []
        of_user: dict[tuple[int, object], Access | None] = {}
        for stream in changed:
            visit = stream.visit
            key = (stream.access.user_id, visit.token.pk if visit.token is not None else visit.session)
            if key not in of_user:
                of_user[key] = await _access_now(visit)
            if not await _may_go_on(stream, of_user[key]):
                gone.append(stream)
        return gone


async def _may_go_on(stream: Stream, access: Access | None) -> bool:
    # A move to another company is another stream: what was told before was told under the old rights.
    if access is None or access.company_id != stream.access.company_id:
        return False
    try:
        await require_all(stream.topics, access)
    except PostroomError:
        return False
    stream.access = access
    return True


async def _access_now(visit: Visit) -> Access | None:
    """Return what a visitor may do now; None for one who would not be let in any more."""
    if visit.token is None:
        user = await user_of(visit.session)
    else:
        token = await get_model("ApiToken").get_or_none(id=visit.token.pk).select_related("user")
        user = token.user if token is not None and not token.fault and token.scopes == visit.token.scopes else None
    return await access_of(user) if user is not None else None


async def _stamps(streams: list[Stream]) -> dict[Stream, tuple[object, ...]]:
    """Return for each stream what its watcher's rights are made of, by a handful of statements for all of them."""
    user_ids = {stream.access.user_id for stream in streams}
    keys = {stream.visit.session.key for stream in streams if stream.visit.token is None}
    token_ids = {stream.visit.token.pk for stream in streams if stream.visit.token is not None}
    columns = ("password_hash", "active", "is_admin", "company_id", "contact_id")
    users = {row[0]: row for row in await _rows("User", user_ids, columns)}
    tokens = {row[0]: row for row in await _rows("ApiToken", token_ids, ("revoked_at", "expires_at", "scopes"))}
    sessions = (
        set(await get_model("UserSession").filter(key__in=list(keys)).values_list("key", flat=True)) if keys else set()
    )
    groups: dict[int, list[int]] = defaultdict(list)
    for group_id, user_id in await get_model("Group").filter(users__id__in=list(user_ids)).order_by(
        "id", "users__id"
    ).values_list("id", "users__id"):  # fmt: skip
        groups[user_id].append(group_id)
    general = await _general()
    return {
        stream: (
            *(general, users.get(user), tuple(groups[user])),
            *(stream.visit.session.key in sessions, _of_token(tokens, stream.visit)),
        )
        for stream in streams
        for user in (stream.access.user_id,)
    }


async def _rows(model: str, ids: Iterable[int], columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    wanted = list(ids)
    return await get_model(model).filter(id__in=wanted).values_list("id", *columns) if wanted else []


def _of_token(tokens: dict[int, tuple[Any, ...]], visit: Visit) -> object:
    if visit.token is None:
        return None
    row = tokens.get(visit.token.pk)
    if row is None:
        return "gone"
    _, revoked_at, expires_at, scopes = row
    return revoked_at, expires_at is not None and expires_at <= clock.now(), tuple(scopes)


async def _general() -> str:
    digest = hashlib.sha256()
    for entry in runtime().registry:
        if entry.name in _OF_ALL and entry.model is not None:
            digest.update(repr(await entry.model.all().order_by("id").values_list()).encode())
    implied = await get_model("Group").all().order_by("id", "implies__id").values_list("id", "implies__id")
    digest.update(repr(implied).encode())
    return digest.hexdigest()
