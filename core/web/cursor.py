"""Where a page of a list begins, as a program carries it: signed, so that it comes from an answer of ours."""

from __future__ import annotations

from itsdangerous import BadData

from core.web.record_faults import invalid
from core.web.record_query import signer


def cursor_behind(what: str, last_id: int | None) -> str | None:
    """Return the cursor of the page that begins behind a row of a list; None where nothing comes."""
    return None if last_id is None else str(signer(f"postroom page of {what}").dumps(last_id))


def last_id_of(what: str, cursor: str | None) -> int | None:
    """Return the id of the row that a page begins behind, None for the first page; UserError for no cursor of ours."""
    if cursor is None:
        return None
    try:
        last_id = signer(f"postroom page of {what}").loads(cursor)
    except (BadData, ValueError):
        raise invalid("/cursor", "is no cursor of this list; take it from `next_cursor` as it is") from None
    return int(last_id)
