"""What invoicing adds to the host, and what it does when something happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from core.api import Command, MenuItem, OutgoingEmail, Page, Route, TemplateFilter, get_model, hookimpl

from . import api, pages
from .amounts import trimmed
from .commands import overdue
from .models.document_sequence import DocumentSequence
from .models.financial_document import REMINDER, TYPES, FinancialDocument
from .models.financial_document_line import FinancialDocumentLine
from .payment_term import payment_term

_HEADER = "X-Postroom-Document"


@hookimpl
def register_models() -> list[type]:
    return [DocumentSequence, FinancialDocument, FinancialDocumentLine]


@hookimpl
def register_pages() -> list[Page]:
    return [Page("unpaid", "unpaid.html", pages.unpaid, "Unpaid invoices", menu=False)]


@hookimpl
def register_menu() -> list[MenuItem]:
    return [MenuItem("Unpaid invoices", "/addons/invoicing/unpaid", order=40)]


@hookimpl
def register_routes() -> list[Route]:
    return [Route("GET", "/api/invoicing/overdue", api.overdue, "Invoices that are past their due date")]


@hookimpl
def register_commands() -> list[Command]:
    return [Command("overdue", overdue, "Print the invoices that are past their due date.")]


@hookimpl
def register_template_filters() -> list[TemplateFilter]:
    return [
        TemplateFilter("document_type", lambda value: TYPES.get(str(value), str(value))),
        TemplateFilter("trimmed", trimmed),
    ]


@hookimpl
async def filter_template_context(context: dict[str, Any], record: Any, audience: Any) -> dict[str, Any] | None:
    """Give templates of a document its `taxes`, one for each rate, and `payment_term` in its reader's language.

    A draft says that it is one where its number will be.
    """
    if not isinstance(record, FinancialDocument):
        return None
    taxes = [asdict(tax) for tax in (await record.totals()).taxes]
    words = {"number": record.number or f"(draft {record.pk})", "payment_term": payment_term(record, audience.locale)}
    return {**context, **words, "taxes": taxes}


@hookimpl
def filter_outgoing_email(email: OutgoingEmail, message: Mapping[str, Any]) -> OutgoingEmail | None:
    """Mark each mail about a document, so that mail programs can file it."""
    if not _is_document(message["res_model"]):
        return None
    return email._replace(headers=(*email.headers, (_HEADER, f"{message['res_model']}/{message['res_id']}")))


@hookimpl
async def message_sent(message: Any) -> None:
    """A draft whose own PDF was accepted by a server is sent."""
    if not _is_document(message.res_model):
        return
    document = await get_model("FinancialDocument").get_or_none(id=message.res_id, state="draft")
    if document is not None and document.number and await _carries_pdf(message):
        document.state = "sent"
        await document.save()


@hookimpl
async def message_failed(message: Any, error: str) -> None:
    """Say so on the document's timeline, where whoever waits for the money looks."""
    if not _is_document(message.res_model):
        return
    document = await get_model("FinancialDocument").get_or_none(id=message.res_id)
    if document is not None:
        await document.post_failure(message, error)


@hookimpl
async def message_opened(message: Any) -> None:
    """Remember when a document was first seen: a reminder reads differently to who never saw the invoice."""
    if _is_document(message.res_model):
        await get_model("FinancialDocument").filter(id=message.res_id, seen_at=None).update(seen_at=message.opened_at)


@hookimpl
async def message_bounced(message: Any, report: Any) -> None:
    """Give whoever waits for the money something to do, since the document did not arrive."""
    if not _is_document(message.res_model):
        return
    document = await get_model("FinancialDocument").get_or_none(id=message.res_id)
    if document is not None:
        await document.note_bounce(report.recipient, report.reason)


@hookimpl
async def record_updated(record: Any, changed: Mapping[str, Any]) -> None:
    """A document that is settled, or due on another day, needs its reminder no more."""
    if not isinstance(record, FinancialDocument):
        return
    if "due_date" in changed or ("state" in changed and record.state in ("paid", "cancelled")):
        waiting = {"res_model": "FinancialDocument", "res_id": record.pk, "kind": REMINDER, "done_at": None}
        for activity in await get_model("Activity").filter(**waiting):
            await activity.finish()
        await get_model("FinancialDocument").filter(id=record.pk).update(reminded_on=None)


def _is_document(model: str | None) -> bool:
    return model == "FinancialDocument"


async def _carries_pdf(message: Any) -> bool:
    """Whether a file that was made of the document is among the attachments."""
    found: bool = await get_model("Attachment").filter(
        messages=message.pk, content_type="application/pdf", res_model=message.res_model, res_id=message.res_id
    ).exists()  # fmt: skip
    return found
