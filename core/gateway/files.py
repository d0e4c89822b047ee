"""Keeping a mail's files as attachments of its timeline entry, each content once per record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.gateway.values import KeptFile
from core.runtime import get_model

_Key = tuple[str, str, str | None]


async def attach(message: Any, files: Sequence[KeptFile], *, to_new_record: bool) -> None:
    """Link files to a timeline entry; one that its record has already is linked again, not stored again."""
    if not files:
        return
    known = {} if to_new_record or message.res_id is None else await _known(message, files)
    for file in files:
        if _key(file) not in known:
            known[_key(file)] = await _store(message, file)
    wanted = dict.fromkeys(map(_key, files))
    await message.attachments.add(*(known[key] for key in wanted))


async def _known(message: Any, files: Sequence[KeptFile]) -> dict[_Key, Any]:
    attachments = get_model("Attachment").filter(
        res_model=message.res_model, res_id=message.res_id, sha256__in=[file.sha256 for file in files]
    )
    found = await attachments.only("id", "name", "sha256", "content_id")
    return {(one.sha256, one.name, one.content_id): one for one in found}


async def _store(message: Any, file: KeptFile) -> Any:
    return await get_model("Attachment").create(
        name=file.name[:255],
        content_type=file.content_type,
        content=file.content,
        size_bytes=len(file.content),
        sha256=file.sha256,
        content_id=file.content_id,
        res_model=message.res_model,
        res_id=message.res_id,
    )


def _key(file: KeptFile) -> _Key:
    return file.sha256, file.name[:255], file.content_id
