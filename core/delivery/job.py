"""What one lane carries: a message's claimed recipients, and later its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Claimed:
    """One delivery of a claim. `attempts` are the retries that it has used up."""

    id: int
    message_id: int
    recipient: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Job:
    """One mail on its way: recipients that share a message, a claim and a server.

    `message` is the message's row as plain values; `token` fences everything that is written about the job.
    """

    token: str
    message: Mapping[str, Any]
    deliveries: tuple[Claimed, ...]

    @property
    def message_id(self) -> int:
        return self.deliveries[0].message_id
