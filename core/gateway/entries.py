"""The timeline entries of a batch with their files: gathered, and written by a few statements at its end.

A file belongs to its record and is stored there once, however often it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from core.gateway.large_mail import goes_in_pieces, write_in_pieces
from core.gateway.lookup import Lookup
from core.gateway.values import KeptFile, KnownMessage
from core.orm.insert import insert_many, new_record
from core.runtime import get_model, runtime

_Key = tuple[object, str, str, str | None]
"""Whose file, its hash, its name, its Content-ID."""


class Entries:
    """What waits to be written, in the order in which it came."""

    def __init__(self, lookup: Lookup):
        self._lookup = lookup
        self._waiting: list[tuple[Any, Sequence[KeptFile]]] = []

    def add(self, message: Any, files: Sequence[KeptFile] = ()) -> None:
        """Take an unsaved Message; it has its id after the next `write`."""
        self._waiting.append((message, files))

    def holds(self, message_ids: Iterable[str]) -> bool:
        """Whether one of the waiting entries has such a Message-ID."""
        waiting = {message.message_id for message, _ in self._waiting}
        return not waiting.isdisjoint(message_ids)

    async def write(self) -> None:
        """Store what waits, and let the lookup know it."""
        waiting, self._waiting = self._waiting, []
        await insert_many(runtime().database, [message for message, _ in waiting])
        for message, _ in waiting:
            self._lookup.learn_message(_known(message))
        await get_model("Notification").tell_followers(message for message, _ in waiting)
        with_files = [(message, files) for message, files in waiting if files]
        if with_files:
            await _write_files(with_files)


async def _write_files(entries: Sequence[tuple[Any, Sequence[KeptFile]]]) -> None:
    known = await _stored(entries)
    new: dict[_Key, Any] = {}
    for message, files in entries:
        for file in files:
            key = _key(message, file)
            if key not in known and key not in new:
                new[key] = _attachment(message, file)
    large = [(one, one.content) for one in new.values() if goes_in_pieces(one.content)]
    for attachment, _ in large:
        attachment.content = b""
    await insert_many(runtime().database, list(new.values()))
    for attachment, content in large:
        await write_in_pieces("attachment", "id", attachment.id, content)
    known |= {key: attachment.id for key, attachment in new.items()}
    links = {(message.id, known[_key(message, file)]) for message, files in entries for file in files}
    param = runtime().database.dialect.param
    await runtime().database.execute_many(
        f"INSERT INTO message_attachment (message_id, attachment_id) VALUES ({param(1)}, {param(2)})", sorted(links)
    )


async def _stored(entries: Sequence[tuple[Any, Sequence[KeptFile]]]) -> dict[_Key, int]:
    """Return the ids of the files that the records of these entries have already."""
    digests = {file.sha256 for message, files in entries for file in files if message.res_id is not None}
    record_ids = {message.res_id for message, _ in entries if message.res_id is not None}
    rows = get_model("Attachment").filter(sha256__in=list(digests), res_id__in=list(record_ids))
    columns = ("res_model", "res_id", "sha256", "name", "content_id", "id")
    return {
        ((model, record_id), digest, name, content_id): attachment_id
        for model, record_id, digest, name, content_id, attachment_id in await rows.values_list(*columns)
    }


def _key(message: Any, file: KeptFile) -> _Key:
    owner = message.id if message.res_id is None else (message.res_model, message.res_id)
    return owner, file.sha256, file.name, file.content_id


def _attachment(message: Any, file: KeptFile) -> Any:
    return new_record(
        get_model("Attachment"),
        name=file.name,
        content_type=file.content_type,
        content=file.content,
        size_bytes=len(file.content),
        sha256=file.sha256,
        content_id=file.content_id,
        res_model=message.res_model,
        res_id=message.res_id,
    )


def _known(message: Any) -> KnownMessage:
    return KnownMessage(
        id=message.id,
        message_id=message.message_id,
        token=message.tracking_identifier,
        res_model=message.res_model,
        res_id=message.res_id,
        kind=message.kind,
        direction=message.direction,
        company_id=message.company_id,
    )
