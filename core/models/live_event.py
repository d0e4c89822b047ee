"""`LiveEvent`: what changed within a fifth of a second, for those who watch; see `core.orm.feed`."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class LiveEvent(Record):
    """One row of the feed. Rows are kept for ten minutes; their ids rise in the order in which they can be seen."""

    label_field = "created_at"
    _title = "Live events"
    _written_over_http = False

    changes = fields.TextField()
    """A JSON list of what `core.orm.feed.Change` holds."""
    created_at = fields.DatetimeField(auto_now_add=True)
