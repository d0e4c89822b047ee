"""Indexes beside those that the ORM brings."""

from __future__ import annotations

from tortoise.indexes import Index


class SetIndex(Index):
    """A small index, over the rows in which its first field is set. A query that compares that field may use it."""

    def __init__(self, *, fields: tuple[str, ...]):
        super().__init__(fields=fields)
        self.extra = f' WHERE "{fields[0]}" IS NOT NULL'
