"""What a body says of itself (SECURITY.md I8): automatic answers without any header, and people who say nearly that."""

from __future__ import annotations

import pytest

from core.mail.automatic import program_reason
from core.mail.parse import parse
from tests.budget import within

ANSWER = "From: Ada <ada@x.test>\nIn-Reply-To: <1@our.test>\nSubject: Re: Your invoice\n"
NEW = "From: Ada <office@x.test>\nSubject: Your message\n"


def reason(head: str, body: str) -> str | None:
    return program_reason(parse(f"{head}Content-Type: text/plain; charset=utf-8\n\n{body}".encode()))


@pytest.mark.parametrize(
    "body",
    [
        "Hello,\n\nThis is an automated response. We are closed today.",
        "We are closed today\n\n*** This is an automatic reply ***",
        "It's an automatic reply.",
        "Note: This is an automatic reply to your message.",
        "Auto-reply: I'm driving.",
        "Hinweis: Dies ist eine automatische Antwort auf Ihre Nachricht.",
        "Remarque : ceci est une réponse automatique à votre message.",
        "Esta es una respuesta automática.",
        "Questa è una risposta automatica.",
        "To jest automatyczna odpowiedź.",
        "Detta är ett automatiskt svar.",
        "Это автоматический ответ.",
        "Ez egy automatikus válasz.",
        "Bu otomatik bir yanıttır.",
        "このメールは自動返信です。",
        "本邮件为自动回复。",
        "이 메일은 자동 회신입니다.",
        "You have replied to an unmonitored mailbox. Nobody reads this.",
        "This is an automatic confirmation that we received your message. We'll be in touch.",
        "Dies ist eine automatische Eingangsbestätigung. Wir melden uns.",
        "Dette er en automatisk kvittering på at vi har mottatt henvendelsen din.",
        "Please note this is an auto-generated response. We will get back to you.",
        "*** This is a system generated reply ***",
        "You are receiving this automated response because we have got your message.",
        "This email has been automatically generated in response to your enquiry. Somebody will be in touch.",
        "This is an automated email to acknowledge receipt of your message.",
        "***AUTOMATED RESPONSE***\n\nWe like letters.",
        "Sehr geehrte Damen und Herren,\n\ndies ist eine automatische Antwort. Wir haben Betriebsferien.",
        "Данное сообщение является автоматическим ответом.",
        "این یک پاسخ خودکار است.",
        "นี่คือข้อความตอบกลับอัตโนมัติ",
        "Đây là thư trả lời tự động.",
        "Ini adalah balasan otomatis.",
        "本メールはシステムより自動的に返信しています。",
        "본 메일은 자동회신 메일입니다.",
    ],
)
def test_i8_a_mail_that_says_that_it_is_an_automatic_answer(body: str) -> None:
    assert reason(NEW, body) == "it says that it is an automatic reply"


@pytest.mark.parametrize(
    "body",
    [
        "We've received your enquiry.\n\nThis is an automated message, please do not reply to it.",
        "Wir haben Ihre E-Mail erhalten und melden uns in Kürze.\n\nDiese E-Mail wurde automatisch erstellt.",
        "Nous avons bien reçu votre message.\n\nCeci est un message automatique, merci de ne pas y répondre.",
        "Ваше обращение принято.\n\nЭто письмо сформировано автоматически, отвечать на него не нужно.",
        "您的邮件我们已收到。此邮件为系统自动发送，请勿直接回复。",
        "This email confirms receipt of your ticket. This message was automatically generated, please do not reply.",
        "Please do not reply to this message, which was sent automatically. Your enquiry has reached us.",
        "Thank you for your application. This is an automatically generated e-mail, please do not reply.",
        "Vielen Dank für Ihre Bewerbung. Diese E-Mail wurde automatisch erstellt. Bitte antworten Sie nicht auf diese"
        " Nachricht.",
        "Merci pour votre commande. Ceci est un message automatique, merci de ne pas y répondre.",
        "Gracias por su pedido. Este es un mensaje automático, por favor no responda a este correo.",
        "Grazie per il suo ordine. Questo è un messaggio generato automaticamente, si prega di non rispondere.",
        "Dziękujemy za zamówienie. Wiadomość została wygenerowana automatycznie, prosimy na nią nie odpowiadać.",
        "Tack för er beställning. Detta är ett automatiskt meddelande och går inte att svara på.",
        "Děkujeme za objednávku. Tento e-mail byl vygenerován automaticky, prosím neodpovídejte na něj.",
        "Vă mulțumim pentru comandă. Acesta este un mesaj generat automat, vă rugăm să nu răspundeți.",
        "ご注文ありがとうございます。このメールは自動送信されています。返信されてもお答えできません。",
    ],
)
def test_i8_a_mail_that_says_nothing_but_that_another_has_come(body: str) -> None:
    assert reason(NEW, body)


@pytest.mark.parametrize(
    "body",
    [
        "This mailbox is no longer monitored. Please write to office@x.test. This message was generated automatically.",
        "I am out of the office until Monday. This message was generated automatically.",
    ],
)
def test_i8_an_answer_that_says_that_nobody_reads_and_that_a_program_wrote(body: str) -> None:
    assert reason(ANSWER, body)
    assert reason(NEW, body) is None


def test_i8_the_subject_of_an_answer_says_that_its_writer_is_away() -> None:
    answer = "From: Ada <ada@x.test>\nIn-Reply-To: <1@our.test>\nSubject: Ada Byron is out of the office\n"
    assert reason(answer, "Back on Monday.")
    assert reason(answer, "She left me your draft. Please change the second paragraph.") is None


@pytest.mark.parametrize(
    "body",
    [
        # About automatic answers.
        "This automatic reply came at night. I'd like a person to answer me.",
        'I got this from you:\n\n"This is an automated response. We have received your message."',
        "They sent me this: This is an automated response to your message.",
        "Ich erhalte immer nur den Satz: Diese E-Mail wurde automatisch erstellt, bitte antworten Sie nicht.",
        "Dies ist eine automatische Tür, wir brauchen eine Drehtür.",
        "Sorry, that was our robot.\n\nOn Mon, 2 Jun 2025, Ada wrote:\n> This is an automated response.",
        # Who is away, and speaks of the matter.
        "I'm currently out of the office, but the total is right, the VAT number isn't.",
        "Thanks for your e-mail. I'm on vacation, the invoice looks right. If it's urgent, contact Tom.",
        "Thanks for your message. I'm away until Monday, please contact Lena at lena@x.test and let her sign for me.",
        "Thank you for your message. I'm on vacation until Monday. In urgent cases call Tom. Is Tuesday early enough?",
        "Gracias por su mensaje. Estoy de vacaciones, pero la factura está bien. Si es urgente, llame a Juan.",
        "Спасибо за письмо. Я в отпуске, но счёт проверил: сумма неверная. Срочные вопросы решает Иван.",
        "I am out of office tomorrow, please contact Paul at paul@x.test about the delivery.",
        "Thank you for your message. I am out of the office until 10 June. In urgent cases please call 0171 123.",
        "Vielen Dank für Ihre Nachricht. Ich bin bis 13. Juni nicht im Haus. Ihre E-Mail wird nicht weitergeleitet.",
        "This file was generated automatically. Thank you for your message, I'll check the totals and get back to you.",
        # What has come, and what is to be done.
        "Thank you for contacting us. We have received your message and will reply as soon as possible.",
        "We have received your request; a colleague will repair the boiler on Monday at 9.",
        "Wir haben Ihre Mail erhalten und unterschreiben den Wartungsvertrag schnellstmöglich.",
        "Ihre E-Mail mit der Rechnung ist nicht eingegangen. Bitte senden Sie sie schnellstmöglich nochmals.",
        "We have not received your request, ticket 4711. Thank you for your message.",
        "My ticket has been opened for weeks and nobody from your team will talk to me. Thank you for your message.",
        "We accept your offer of 4000 EUR.\n\nAda\n\nPlease note: this mailbox is not monitored at weekends.",
        "Our customers get this at the moment:\n\nThis is an automatic reply. We will come back to you.\n\n"
        "Please change the two days to three.",
        "Thank you for your message. We have received your invoice and will pay it by Friday.",
        "Thank you for your e-mail. We've received your request for 20 chairs and will get back to you.",
        "Thank you for your message. I've got it and will get back to you as soon as I can.",
        "Merci pour votre message. Nous avons bien reçu votre demande, il nous faut encore le plan du toit.",
        "Your ticket has been assigned to me. Your account was locked on Friday. I have unlocked it, please try again.",
        "Thank you for your message. Ticket 5521 was opened by my colleague, she will reply on Monday.",
        # What programs pass on.
        "I'd like ten chairs in oak.\n\nThis message was generated automatically. Please do not reply to it.",
        "Bitte rufen Sie mich wegen der Heizung zurück.\n\nDiese E-Mail wurde automatisch erstellt. Bitte antworten Sie"
        " nicht auf diese Nachricht.",
        '"Please call me back, the boiler leaks."\n\nThis e-mail was generated automatically, please do not reply.',
        "We have received your message. The pump ships Monday by truck. Your driver gets the code at the gate.\n\n"
        "This e-mail was generated automatically.",
        # Between quotation marks.
        '"Thank you for your email. This is an automatic reply." sounds cold to me. Try something warmer.',
        'Your answer says "This is an automated message, please do not reply". Well, I do reply.',
        # Questions, and what is automatic beside answers.
        "Hallo Sam, das ist eine automatische Antwort deines Systems, oder?",
        "C'est une réponse automatique que j'ai reçue ? Je voudrais parler à quelqu'un.",
        "Hello Sam, this is an automatic door. Please send the right manual.",
        "Can you build us a system generated reply for new orders?",
        "This drawing was generated in reply to your questions. Please check the holes.",
        "We hereby confirm receipt of your request. Please send the photos of the damage by Friday.",
    ],
)
def test_i8_what_people_write_is_not_taken_for_that(body: str) -> None:
    assert reason(ANSWER, body) is None
    assert reason(NEW, body) is None


def test_i8_what_a_page_quotes_is_not_what_it_says() -> None:
    quoted = "<p>Is anybody there</p><blockquote type=cite>This is an automated response.</blockquote>"
    assert program_reason(parse(f"{ANSWER}Content-Type: text/html\n\n{quoted}".encode())) is None
    assert program_reason(parse(f"{ANSWER}Content-Type: text/html\n\n<p>This is an automated response.".encode()))


def test_i8_a_program_attaches_no_file() -> None:
    head = f"{ANSWER}MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n"
    file = "\n--b\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=signed.pdf\n\nx\n--b--\n"
    said = "This is an automatic reply."
    assert program_reason(parse(f"{head}{said}\n--b--\n".encode()))
    assert program_reason(parse(f"{head}{said}{file}".encode())) is None


def test_i8_a_form_passes_on_what_a_person_wrote() -> None:
    form = "From: Shop <form@shop.test>\nReply-To: ada@x.test\nSubject: Contact form\n"
    body = "Thank you for your message. We have received your request and will reply.\n\nSent by a form."
    assert reason(form, body) is None


@pytest.mark.parametrize(
    "piece",
    ["a", "a ", "this is an ", "your request (", "ticket ", ". this ", "nicht ", "reply auto ", "[a-", "é ", "\n"],
)
def test_i13_long_bodies_are_read_in_no_time(piece: str) -> None:
    email = parse(f"{ANSWER}\n{piece * (100_000 // len(piece))}".encode())
    with within(0.3):
        program_reason(email)
