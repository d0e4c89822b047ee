"""What fetching from a mailbox brings, whichever the protocol, and how much is asked for at once.

A mail's `uid` is its number there: with IMAP the UID, with POP3 the number within the session.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class FetchedMail:
    """A mail as it lies in the mailbox; `size_bytes` is what the server said before, `raw` is what came."""

    uid: int
    size_bytes: int
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A mail over the limit; it was not fetched and stays on the server."""

    uid: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Unfetchable:
    """A mail that the server lists but does not hand out; `server_text` is its reason."""

    uid: int
    size_bytes: int
    server_text: str


Item: TypeAlias = FetchedMail | TooLarge | Unfetchable


def batches(sizes_bytes: Mapping[int, int], max_bytes: int, max_count: int) -> Iterator[dict[int, int]]:
    """Cut mails (size by UID), in the order given, into parts of at most that many mails and bytes.

    A mail larger than that goes alone.
    """
    batch: dict[int, int] = {}
    batch_bytes = 0
    for uid, size in sizes_bytes.items():
        if batch and (len(batch) == max_count or batch_bytes + size > max_bytes):
            yield batch
            batch, batch_bytes = {}, 0
        batch[uid] = size
        batch_bytes += size
    if batch:
        yield batch
