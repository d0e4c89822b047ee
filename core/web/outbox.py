"""Outbound messages for a list: narrow rows, the records they belong to, and counts by state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tortoise.expressions import Q
from tortoise.functions import Count

from core.access import Access
from core.runtime import get_model
from core.web.records import PAGE

STATES = ("Queued", "Sending", "Sent", "Failed", "Held", "Unknown", "Cancelled", "Draft")
_COLUMNS = (
    *("id", "send_state", "subject", "email_to", "email_cc", "res_model", "res_id", "created_at", "sent_at"),
    *("next_retry_at", "retry_count", "error", "scheduled_at", "bounced_at", "channel"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """A message as plain values, and its record, if it has one."""

    message: dict[str, Any]
    record: Any

    @property
    def state(self) -> str:
        """The state that people read: a waiting retry and a bounce have words of their own."""
        if self.message["bounced_at"]:
            return "bounced"
        if self.message["retry_count"] and self.message["next_retry_at"]:
            return "retrying"
        return str(self.message["send_state"]).lower()

    @property
    def recipients(self) -> list[str]:
        """Whom the headers name."""
        return [*self.message["email_to"], *self.message["email_cc"]]


async def counts_by_state(access: Access) -> dict[str, int]:
    """Return how many outbound messages there are in each state, as far as the user's company goes."""
    access.require("Message")
    rows = get_model("Message").filter(access.condition("Message"), send_state__isnull=False)
    counts = dict(await rows.annotate(n=Count("id")).group_by("send_state").values_list("send_state", "n"))
    return {state: counts.get(state, 0) for state in STATES}


async def lines(access: Access, state: str | None, before: int | None) -> tuple[list[Line], int | None]:
    """Return a page of messages, newest first, and where the next one starts.

    A page may be short: what belongs to records that the user may not read is left out.
    """
    rows = access.records("Message").filter(direction="Outbound")
    rows = rows.filter(send_state=state) if state else rows.filter(send_state__isnull=False)
    if not access.is_internal:  # As `Access.sees` says it.
        rows = rows.exclude(~Q(author_id=access.user_id), send_state="Draft")
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = await rows.order_by("-id").limit(PAGE + 1).values(*_COLUMNS)
    page, more = found[:PAGE], len(found) > PAGE
    records = await access.readable((row["res_model"], row["res_id"]) for row in page)
    shown = [Line(row, records.get((row["res_model"], row["res_id"]))) for row in page]
    kept = [line for line in shown if line.record is not None or line.message["res_model"] is None or access.is_admin]
    return kept, page[-1]["id"] if more else None
