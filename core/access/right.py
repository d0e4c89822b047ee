"""The rights on a model's records, and the groups that core itself knows."""

from __future__ import annotations

from enum import StrEnum

INTERNAL_GROUP = "user"
"""The identifier of the group whose members see internal notes."""
PORTAL_GROUP = "portal"
"""The identifier of the group of those outside, such as customers, who see their own records alone."""


class Right(StrEnum):
    """What one may do with the records of a model."""

    READ = "read"
    CREATE = "create"
    WRITE = "write"
    DELETE = "delete"

    @property
    def of_whole(self) -> Right:
        """What one must be allowed on a record to do this to a part of it."""
        return Right.READ if self is Right.READ else Right.WRITE
