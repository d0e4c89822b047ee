"""Whether those who watch still may: what rights are made of is read for all of them at once, and compared."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from core import clock
from core.access import Access, access_of
from core.errors import PostroomError
from core.runtime import get_model
from core.web.live_stream import Stream
from core.web.live_topic import require_all
from core.web.session import Visit, user_of

_OF_ALL: Mapping[str, str] = MappingProxyType({"Group": "implies__id", "ModelAccess": "", "RecordRule": "groups__id"})
"""The models whose rows say what groups may do, each with the relation that is a part of them."""


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
    if access is None or access.company_ids != stream.access.company_ids:
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
        return await access_of(user) if user is not None else None
    token = await get_model("ApiToken").get_or_none(id=visit.token.pk).select_related("user")
    if token is None or token.fault or token.scopes != visit.token.scopes:
        return None
    return replace(await access_of(token.user), scopes=frozenset(token.scopes))


async def _stamps(streams: list[Stream]) -> dict[Stream, tuple[object, ...]]:
    """Return for each stream what its watcher's rights are made of, by a handful of statements for all of them."""
    user_ids = {stream.access.user_id for stream in streams}
    token_ids = {stream.visit.token.pk for stream in streams if stream.visit.token is not None}
    keys = {stream.visit.session.key for stream in streams if stream.visit.token is None}
    columns = ("password_hash", "active", "is_admin", "company_id", "contact_id")
    users = await _by_first("User", columns, id__in=user_ids)
    tokens = await _by_first("ApiToken", ("revoked_at", "expires_at", "scopes"), id__in=token_ids)
    sessions = await _by_first("UserSession", ("key",), key__in=keys)
    known = {row[1] for rows in sessions.values() for row in rows}
    groups = await _by_last("Group", "users__id", user_ids)
    companies = await _by_last("Company", "members__id", user_ids)
    general = await _general()
    return {
        stream: (
            *(general, users.get(user), groups.get(user), companies.get(user)),
            *(stream.visit.session.key in known, _of_token(tokens, stream.visit)),
        )
        for stream in streams
        for user in (stream.access.user_id,)
    }


_Rows = dict[int, list[tuple[Any, ...]]]


async def _by_first(model: str, columns: tuple[str, ...], **among: Iterable[Any]) -> _Rows:
    """Return rows by their ids, each a list of one."""
    ((condition, wanted),) = among.items()
    rows = get_model(model).filter(**{condition: list(wanted)})
    return {row[0]: [row] for row in await rows.values_list("id", *columns)} if wanted else {}


async def _by_last(model: str, users: str, user_ids: Iterable[int]) -> _Rows:
    """Return the ids of what users belong to, by user."""
    found: _Rows = defaultdict(list)
    rows = get_model(model).filter(**{f"{users}__in": list(user_ids)}).order_by("id")
    for row in await rows.values_list("id", users):
        found[row[1]].append(row)
    return found


def _of_token(tokens: _Rows, visit: Visit) -> object:
    if visit.token is None:
        return None
    for _, revoked_at, expires_at, scopes in tokens.get(visit.token.pk, ()):
        return revoked_at, expires_at is not None and expires_at <= clock.now(), tuple(scopes)
    return "gone"


async def _general() -> str:
    """Return what stands for all that says what groups may do."""
    digest = hashlib.sha256()
    for model, more in _OF_ALL.items():
        rows = get_model(model).all().order_by("id")
        digest.update(repr(await rows.values_list()).encode())
        if more:
            digest.update(repr(await rows.order_by("id", more).values_list("id", more)).encode())
    return digest.hexdigest()
