"""What one lane carries: a message's claimed recipients, and what their mail is made from."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, NamedTuple

from core.delivery.outgoing import Outgoing
from core.delivery.signing import UNSIGNED, Signer


class Claimed(NamedTuple):
    """One delivery of a claim. `attempts` are the retries that it has used up."""

    id: int
    message_id: int
    recipient: str
    attempts: int
    kind: str = "to"
    """to, cc or bcc."""
    is_suspect: bool = False
    """Whether a worker died that had claimed it."""
    priority: int = 0
    """As the queue has it: the lower, the more urgent."""


class Job(NamedTuple):
    """One mail on its way: recipients that share their bytes, a claim and a server.

    `token` fences everything that is written about the job. A message whose recipients each get a copy of their own
    makes as many jobs, which share one `outgoing`.
    """

    token: str
    outgoing: Outgoing
    deliveries: tuple[Claimed, ...]
    tracks: bool = False
    """Whether this recipient's opens and clicks are counted, if the server has nothing against it."""
    signer: Signer = UNSIGNED

    @property
    def message(self) -> Mapping[str, Any]:
        """The message's row as plain values."""
        return self.outgoing.message

    def without(self, ids: Container[int]) -> Job:
        """Return the job for the deliveries that are none of these."""
        return self._replace(deliveries=tuple(one for one in self.deliveries if one.id not in ids))

    @property
    def is_suspect(self) -> bool:
        """Whether one of its deliveries may be what a worker died of."""
        return any(delivery.is_suspect for delivery in self.deliveries)

    @property
    def message_id(self) -> int:
        return self.deliveries[0].message_id
