"""Automatic mail (SECURITY.md I8): every automatic answer is seen, and no person's mail is taken for one."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.automatic import automatic_reason, no_answer_reason, program_reason
from core.mail.parse import parse

AWAY = "I am out of the office until Monday and will answer then."
PERSON = "From: Ada <ada@x.test>\nTo: leads@our.test\n"


@pytest.mark.parametrize(
    "header",
    [
        "Auto-Submitted: auto-replied",
        "auto-submitted: auto-generated; owner-email=x@y.test",
        "Auto-Submitted: auto-notified",
        "Precedence: auto_reply",
        "Preference: auto_reply",
        "X-Autoreply: yes",
        "X-Autorespond: Out of office",
        "X-Helpdesk-Autoresponder: 1",
        "X-Vacation-Message: yes",
        "X-Mailer: vacation 1.2.7",
        "X-POST-MessageClass: 9; Autoresponder",
        "X-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent",
        "Delivered-To: Autoresponder",
        "Return-Path: <>",
        "Content-Type: multipart/report; report-type=delivery-status; boundary=x",
        "From: Mail Delivery <MAILER-DAEMON@x.test>",
        "From: autoreply@x.test",
        "From: postmaster@x.test",
        "X-Msgtype: autoreply",
        "X-Helpdesk-Mail-Type: auto.reply",
        "Auto-Submit: yes",
        "From: Ada <ada@x.test>\nIn-Reply-To: <1@our.test>\nX-MS-Exchange-Inbox-Rules-Loop: ada@x.test",
    ],
)
def test_i8_a_program_is_recognised_by_what_it_declares(header: str) -> None:
    assert program_reason(parse(f"{header}\nSubject: Offer\n\n{AWAY}".encode()))


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: I am away",
        "Out of Office AutoReply: Your invoice",
        "Out of office: Your invoice",
        "[Auto-Reply] Your invoice",
        "Autoreply: Re: Your invoice",
        "AUTO: Ada Byron is out of the office (returning 12/06/2026)",
        "Automatische Antwort: Ihre Rechnung",
        "Abwesenheitsnotiz: Ihre Rechnung",
        "Réponse automatique : absent",
        "Réponse automatique\u00a0: absent",
        "Respuesta automática: Su factura",
        "Risposta automatica: fattura",
        "Resposta automática: fatura",
        "Automatisch antwoord: factuur",
        "Autosvar: faktura",
        "Automatiskt svar: faktura",
        "Automaattinen vastaus: lasku",
        "Odpowiedź automatyczna: faktura",
        "[Automatyczna odpowiedź] faktura",
        "【自動返信】請求書",
        "Réponse automatique d'absence",
        "Automatická odpověď: faktura",
        "Автоответ: счёт",
        "Автоматический ответ: счёт",
        "自動応答: 請求書",
        "自动回复\uff1a我不在",
        "자동 회신: 청구서",
        "Otomatik yanıt: fatura",
        "Jawapan automatik: invois",
        "Аутоматски одговор: рачун",
        "پاسخ خودکار: فاکتور",
        "Absence du bureau : facture",
        "Ausência temporária: fatura",
        "Message d'absence",
        "We have your request 17 [Auto-Response]",
        "Balasan automatik: invois",
        "Përgjigje automatike: fatura",
        "Avtomatik cavab: faktura",
        "Outomatiese antwoord: faktuur",
        "Аўтаматычны адказ: рахунак",
        "ავტომატური პასუხი: ინვოისი",
    ],
)
def test_i8_a_subject_that_only_programs_write(subject: str) -> None:
    assert program_reason(parse(f"{PERSON}Subject: {subject}\n\nHello".encode()))


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("Precedence: bulk\nSubject: Re: Your invoice", AWAY),
        ("Precedence: junk\nSubject: Thank you for your message", "We will come back to you."),
        ("X-Auto-Response-Suppress: All\nSubject: Your request 17", "This is an automated response. Do not reply."),
        ("From: no-reply@x.test\nIn-Reply-To: <1@our.test>\nSubject: Re: x", "We have received your request (#17)."),
        ("X-MS-Exchange-Inbox-Rules-Loop: a@x.test\nSubject: Re: Invoice", "This is an automatic reply."),
        ("Precedence: bulk\nSubject: Re: Rechnung", "Ich bin bis Montag nicht im Büro."),
        ("Precedence: bulk\nSubject: Re: facture", "Je suis absent jusqu'au 12 mai."),
    ],
)
def test_i8_words_count_beside_a_sign(header: str, body: str) -> None:
    assert program_reason(parse(f"{header}\n\n{body}".encode()))


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("Subject: Out of office tomorrow", "I am out of office tomorrow, please call Bob."),
        ("Subject: Re: Automatic reply: Your invoice", "I got your automatic reply. When are you back?"),
        ("Subject: Fwd: Automatic reply: Your invoice", "See below"),
        ("Subject: Auto: Reparatur", "Das Auto ist fertig."),
        ("Subject: Automatic doors", "They are broken."),
        ("Return-Path: <postmaster@x.test>\nFrom: postmaster@x.test\nSubject: Your server", "It is slow."),
        ("Subject: Automatic reply does not work", "Please mend it."),
        ("Subject: Autoresponder and out of office", "How do I set it?"),
        ("Subject: OOO: Ada next week", AWAY),
        (
            "Precedence: bulk\nSender: owner-users@x.test\nIn-Reply-To: <1@x.test>\nSubject: Re: q",
            "Thank you for your mail.",
        ),
        ("Precedence: bulk\nReturn-Path: <users-bounces@x.test>\nSubject: Re: q", AWAY),
        ("Precedence: bulk\nSubject: Our spring news", "Thank you for your interest. Do not reply."),
        ("Subject: Out of Office supplies", "We need paper."),
        ("Subject: Abwesenheit im Mai", "Ich bin im Mai im Urlaub."),
        ("Subject: Absence du bureau de Paris", "Qui est là ?"),
        ("Subject: Out of office: who covers July?", "Please tell me your weeks."),
        ("Subject: Frånvaro: Tim, 7 B", "Tim är sjuk i dag."),
        ("Subject: Automotive response: figures", "Please find them attached."),
        ("Subject: Antwort: Auto", "Das Auto ist verkauft."),
        ("Subject: Auto: Golf, zurück am Montag", "Bitte die Bremsen prüfen."),
        ("X-Message-Type: personal\nSubject: Offer", AWAY),
        (
            "From: Ada <ada@x.test>\nIn-Reply-To: <1@our.test>\nX-MS-Exchange-Inbox-Rules-Loop: ada@x.test\n"
            "Subject: FW: Order",
            "We'd like ten.",
        ),
        ("From: Jo <noreply@x.test>\nIn-Reply-To: <1@our.test>\nSubject: Re: Table", "Thank you. Saturday is fine."),
        ("X-Auto-Response-Suppress: All\nSubject: Re: x", "> This is an automated response.\n\nThat is no answer."),
        ("Subject: Re: We have your request 17 [Auto-Response]", "Thank you."),
        ("X-Autoreply: no\nSubject: Offer", AWAY),
        ("Subject: Vacation request", "I will be on vacation in May."),
        ("Auto-Submitted: no\nSubject: Offer", AWAY),
        ("Precedence: normal\nSubject: Offer", AWAY),
        ("X-Auto-Response-Suppress: None\nSubject: Offer", AWAY),
        ("X-Auto-Response-Suppress: OOF\nSubject: Offer", AWAY),
        (
            "X-Auto-Response-Suppress: All\nSubject: Contact form",
            "We have received damaged goods, and I am on holiday.",
        ),
        ("Precedence: list\nSubject: [users] Re: question", AWAY),
        ("Precedence: bulk\nList-Id: <users.x.test>\nSubject: Re: question", AWAY),
        ("Return-Path: <ada@x.test>\nSubject: Offer", "Thank you for your mail."),
        ("Auto-Submitted: auto-generated\nReply-To: bob@y.test\nSubject: Contact form", "Hello"),
    ],
)
def test_i8_a_person_is_not_taken_for_a_program(header: str, body: str) -> None:
    person = "" if "From: " in header else PERSON
    assert program_reason(parse(f"{person}{header}\n\n{body}".encode())) is None


@pytest.mark.parametrize(
    "header",
    [
        "Precedence: list",
        "Precedence: bulk",
        "X-Auto-Response-Suppress: DR, OOF, AutoReply",
        "List-Id: <users.x.test>",
        "List-Unsubscribe: <https://x.test/>",
    ],
)
def test_i8_what_wants_no_answer_may_have_been_written_by_a_person(header: str) -> None:
    email = parse(f"{header}\nSubject: Our news\n\nHello".encode())
    assert automatic_reason(email) == no_answer_reason(email) is not None
    assert program_reason(email) is None


@pytest.mark.parametrize(
    "body", [b"out of " * 140_000, b"automatic" * 110_000, b" " * 1_000_000, "é ".encode() * 400_000]
)
def test_i13_a_megabyte_of_anything_is_read_in_half_a_second(body: bytes) -> None:
    email = parse(b"Precedence: bulk\nSubject: " + body[:60_000] + b"\n\n" + body)
    started = process_time()
    program_reason(email)
    assert process_time() - started < 0.5


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise(raw: bytes) -> None:
    automatic_reason(parse(raw))
    automatic_reason(parse(b"Precedence: bulk\nSubject: " + raw))
