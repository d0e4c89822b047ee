from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from pypdf import PdfReader

from core.api import UserError, get_model

from .conftest import MakeDocument

pytestmark = pytest.mark.anyio


@pytest.fixture
async def document(make_document: MakeDocument) -> Any:
    """An invoice to a reader of German: 2,977.00 EUR, due on 4 February 2031."""
    return await make_document(
        ("6", "412.90", "19"), ("6", "4.50", "7"), issue_date=date(2031, 1, 5), due_date=date(2031, 2, 4)
    )


async def caught_mail(message: Any) -> EmailMessage:
    await message.send_now()
    caught = await get_model("CaughtEmail").get(message_id=message.pk)
    mail = message_from_bytes(bytes(caught.raw_mail), policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


def pdf_text(mail: EmailMessage) -> str:
    (attached,) = mail.iter_attachments()
    assert attached.get_content_type() == "application/pdf"
    assert attached.get_filename() == "Rechnung INV-2031-0001.pdf"
    pages = PdfReader(io.BytesIO(attached.get_content())).pages
    return "\n".join(page.extract_text() for page in pages).replace("\xa0", " ")


async def test_a_preview_of_a_draft_is_in_one_language_and_names_the_draft(document: Any) -> None:
    template = await get_model("EmailTemplate").get(identifier="financial_document_send_template")
    shown = await template.preview(document, locale="fr")
    assert shown.faults == ()
    assert shown.texts["subject"] == f"Facture (draft {document.pk}) de Lakeside Joinery"
    assert shown.texts["file_name"] == f"Facture (draft {document.pk}).pdf"
    assert "Délai de paiement" in shown.texts["content"]


async def test_the_mail_and_its_pdf_say_the_same_in_the_readers_way(document: Any) -> None:
    message = await document.send()
    assert (message.subject, message.on_unknown) == ("Rechnung INV/2031/0001 von Lakeside Joinery", "hold")
    mail = await caught_mail(message)
    assert mail["To"] == "jonas@weber-bau.example"
    assert mail["From"] == "Lakeside Joinery <office@lakeside.example>"
    assert mail["X-Postroom-Document"] == f"FinancialDocument/{document.pk}"
    body = mail.get_body(("html",))
    assert body is not None
    html = body.get_content().replace("\xa0", " ")
    for text in (html, pdf_text(mail)):
        for said in ("Rechnung", "INV/2031/0001", "Gesamtbetrag", "2.977,00 €", "Zahlungsziel: 30 Tage"):
            assert said in text
    assert "4. Februar 2031" in html
    assert "04.02.2031" in pdf_text(mail)
    assert "470,71 €" in pdf_text(mail)


async def test_it_is_sent_when_the_mail_was_accepted_and_not_before(document: Any) -> None:
    message = await document.send()
    await document.refresh_from_db()
    assert (document.state, document.number) == ("draft", "INV/2031/0001")
    await message.send_now()
    await document.refresh_from_db()
    assert document.state == "sent"


async def test_a_mail_without_the_document_does_not_make_it_sent(document: Any) -> None:
    await document.confirm()
    message = await document.post_message("<p>One question first.</p>", from_email="office@lakeside.example")
    await message.send_now()
    await document.refresh_from_db()
    assert document.state == "draft"


async def test_a_failed_mail_leaves_a_note_on_the_document(host: Any, document: Any) -> None:
    message = await document.send()
    await host.hooks.emit("message_failed", message=message, error="550 <no such> user")
    (note, *_) = await document.timeline()
    assert note.kind == "note"
    assert "550 &lt;no such&gt; user" in note.body
    await document.refresh_from_db()
    assert document.state == "draft"


async def test_the_first_time_that_a_mail_about_it_is_opened_is_when_it_was_seen(host: Any, document: Any) -> None:
    message = await document.send()
    first = datetime(2031, 1, 6, 9, 30, tzinfo=UTC)
    for message.opened_at in (first, first + timedelta(days=1)):
        await host.hooks.emit("message_opened", message=message)
    await document.refresh_from_db()
    assert document.seen_at == first


async def test_without_an_address_nothing_is_numbered_or_queued(make_document: MakeDocument) -> None:
    document = await make_document(contact=await get_model("Contact").create(name="No address"))
    with pytest.raises(UserError, match="no contact with an e-mail address"):
        await document.send()
    await document.refresh_from_db()
    assert document.number is None
    assert await document.timeline() == []


async def test_a_long_invoice_runs_over_pages(host: Any, make_document: MakeDocument) -> None:
    document = await make_document()
    lines = get_model("FinancialDocumentLine")
    await lines.bulk_create([lines(document=document, description=f"Item {count}") for count in range(60)])
    report = await get_model("ReportAction").get(identifier="financial_document_print")
    made = await report.render_pdf(document)
    pages = PdfReader(io.BytesIO(bytes(made.content))).pages
    assert len(pages) > 1
    for number, page in enumerate(pages, 1):
        assert f"{number} / {len(pages)}" in page.extract_text()


async def test_an_invoice_that_came_back_gives_somebody_something_to_do_once(document: Any) -> None:
    for reason in ("550 no such user", "550 still no such user"):
        await document.note_bounce("jonas@weber-bau.example", reason)
    activity = await get_model("Activity").get(res_model="FinancialDocument", res_id=document.pk)
    assert (activity.kind, activity.note) == ("Find the right address", "550 no such user")
    assert "jonas@weber-bau.example" in activity.summary
    await activity.finish()
    await document.note_bounce("jonas@weber-bau.example", "550 again")
    assert await get_model("Activity").filter(res_id=document.pk).count() == 2
