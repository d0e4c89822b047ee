"""A large mail in the spool: byte by byte what came, on either database, and once."""

from __future__ import annotations

from random import Random

import pytest

from core.gateway import large_mail, spool
from core.runtime import Runtime

pytestmark = pytest.mark.anyio


async def test_a_large_mail_is_stored_as_it_came(host: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_mail, "LARGE_BYTES", 1000)
    monkeypatch.setattr(large_mail, "_PIECE_BYTES", 700)
    mails = [(f"test:{size}", Random(size).randbytes(size)) for size in (10, 1001, 70_001, 1400)]
    ids = await spool.store_many(mails)
    assert [await spool.raw_of(ids[source]) for source, _ in mails] == [raw for _, raw in mails]
    assert await spool.store_many(mails) == {}
