"""Replies: the writer's own words stay in sight, what is quoted is folded, and no line takes long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.quotation import Part, passages, split_reply
from core.mail.quotation_words import FORWARDING_SUBJECT
from tests.budget import within

INTRODUCTIONS = [
    "On Mon, 5 Jan 2026 at 10:00, Alice <alice@x.test> wrote:",
    "On Mon, 5 Jan 2026 at 10:00, Alice Longname\n<alice@x.test> wrote:",
    "On Jan 5, 2026, at 10:12 AM, Alice von und zu Longname <\n4f1c2d9a8b7e6f5a4b3c2d1e0f9a8b7c@mail.x.test>\nwrote:",
    "On 2026-01-05 10:12, Alice wrote:",
    "On Monday, January 5, 2026 10:12:31 CET Alice Smith wrote:",
    "On Mon, Jan 05, 2026 at 10:12:31AM +0000, Alice Smith wrote:",
    "On 05/01/2026 10:12, Alice wrote:",
    "At 10:12 AM 1/5/2026, you wrote:",
    "Alice Smith <alice@x.test> writes:",
    "Alice Smith <alice@x.test> wrote on Mon, 5 Jan 2026 at 10:12:",
    "---- On Mon, 05 Jan 2026 10:12:31 +0100 Alice <alice@x.test> wrote ----",
    "---- Alice Smith wrote ----",
    "2026-01-05 10:12 GMT+01:00 Alice Smith <alice@x.test>:",
    "2026/1/5 Alice Smith <alice@x.test>",
    "Alice via Forum wrote:",
    "Quoting Alice Smith <alice@x.test>:",
    "In message <17.abc@x.test>, Alice Smith <alice@x.test> writes:",
    "Am 05.01.2026 um 10:00 schrieb Alice:",
    "Am Montag, 5. Januar 2026, 10:12:31 CET schrieb Alice Smith:",
    "Am Mo., 5. Jan. 2026 um 10:12 Uhr schrieb Alice Smith <\nalice@x.test>:",
    "Alice Smith <alice@x.test> schrieb am Mo., 5. Jan. 2026, 10:12:",
    "Zitat von Alice Smith <alice@x.test>:",
    "Le 5 janv. 2026 à 10:00, Alice a écrit :",
    "Le lun. 5 janv. 2026 à 10:12, Alice Smith <alice@x.test> a\u00a0écrit\u00a0:",
    "El 5 ene 2026, Alice escribió:",
    "El lun, 5 ene 2026 a las 10:12, Alice Smith (<alice@x.test>)\nescribió:",
    "Il giorno 5 gen 2026 Alice ha scritto:",
    "Il giorno lun 5 gen 2026 alle ore 10:12 Alice Smith <\nalice@x.test> ha scritto:",
    "Em seg., 5 de jan. de 2026 às 10:12, Alice Smith <alice@x.test>\nescreveu:",
    "W dniu 5.01.2026 o 10:00, Alice pisze:",
    "pon., 5 sty 2026 o 10:12 Alice Smith <alice@x.test> napisał(a):",
    "Op 5 jan. 2026 schreef Alice:",
    "Op ma 5 jan 2026 om 10:12 schreef Alice Smith <alice@x.test>:",
    "Op 5 jan. 2026, om 10:12 heeft Alice Smith <alice@x.test> het volgende geschreven:",
    "Den mån 5 jan. 2026 kl 10:12 skrev Alice Smith <alice@x.test>:",
    "man. 5. jan. 2026 kl. 10.12 skrev Alice Smith <alice@x.test>:",
    "På 5 januar 2026 på 10:12:31, Alice Smith (alice@x.test) skrev:",
    "ma 5. tammik. 2026 klo 10.12 Alice Smith (alice@x.test) kirjoitti:",
    "Dne 5. 1. 2026 v 10:12 Alice Smith napsal(a):",
    "Dňa 5. 1. 2026 o 10:12 Alice Smith napísal(a):",
    "Alice Smith <alice@x.test> ezt írta (időpont: 2026. jan. 5., H, 10:12):",
    "În lun., 5 ian. 2026 la 10:12, Alice Smith <alice@x.test> a scris:",
    "5 января 2026 г., Alice написал(а):",
    "пн, 5 янв. 2026 г. в 10:12, Alice Smith <alice@x.test>:",
    "пн, 5 січ. 2026 р. о 10:12 Alice Smith <alice@x.test> пише:",
    "На пн, 5.01.2026 г. в 10:12 Alice Smith <alice@x.test> написа:",
    "pon, 5. sij 2026. u 10:12 Alice Smith <alice@x.test> napisao\nje:",
    "Στις Δευ 5 Ιαν 2026 στις 10:12 π.μ., ο χρήστης Alice <alice@x.test> έγραψε:",
    "Alice Smith <alice@x.test>, 5 Oca 2026 Pzt, 10:12 tarihinde şunu\nyazdı:",
    "‫בתאריך יום ב׳, 5 בינו׳ 2026 ב-10:12 מאת ‪Alice Smith‬‏ <‪alice@x.test‬‏>:‬",
    "في الاثنين، 5 يناير 2026 في 10:12 ص تمت كتابة ما يلي بواسطة Alice <alice@x.test>:",
    "เมื่อ จ. 5 ม.ค. 2026 เวลา 10:12 Alice <alice@x.test> เขียนว่า:",
    "Vào Th 2, 5 thg 1, 2026 vào lúc 10:12 Alice Smith <alice@x.test> đã viết:",
    "Pada Sen, 5 Jan 2026 pukul 10.12 Alice <alice@x.test> menulis:",
    "Alice Smith <alice@x.test> 于2026年1月5日周一 10:12写道：",
    "在 2026-01-05 10:12:31，“Alice” <alice@x.test> 写道：",
    "Alice Smith <alice@x.test> 於 2026年1月5日 週一 上午10:12寫道：",
    "2026年1月5日(月) 10:12 Alice Smith <alice@x.test>:",
    "2026년 1월 5일 (월) 오전 10:12, Alice Smith <alice@x.test>님이 작성:",
    "Στις 5/1/2026 10:12 π.μ., ο/η Alice έγραψε:",
    "La 05.01.2026 10:12, Alice a scris:",
    "2026-01-05 오전 10:12에 Alice 이(가) 쓴 글:",
]


@pytest.mark.parametrize("introduction", INTRODUCTIONS)
def test_what_follows_an_introduction_is_quoted(introduction: str) -> None:
    reply = split_reply(f"Yes, do.\n\n{introduction}\n> Shall we?\n> Alice\n")
    assert reply.new == "Yes, do."
    assert reply.quoted == f"{introduction}\n> Shall we?\n> Alice"


@pytest.mark.parametrize("introduction", [one for one in INTRODUCTIONS if "@" in one and ":" in one[-12:]])
def test_an_introduction_with_address_or_time_needs_no_marks(introduction: str) -> None:
    reply = split_reply(f"Yes, do.\n\n{introduction}\n\nShall we?\n\nAlice\n")
    assert reply.new == "Yes, do."


HEADERS = [
    "From: Alice Smith <alice@x.test>\nSent: Monday, January 5, 2026 10:12 AM\nTo: Bob <bob@y.test>\nSubject: Chairs",
    "From: Alice\nSent: Monday\nTo: Bob\nSubject: x",
    "*From:* Alice\n*Sent:* Monday\n*To:* Bob\n*Subject:* x",
    "Von: Alice\nGesendet: Montag, 5. Januar 2026 10:12\nAn: Bob\nCc: Eva\nBetreff: Stühle",
    "**Von:** Alice\n**Datum:** 5. Januar 2026\n**An:** Bob\n**Betreff:** Stühle",
    "De : Alice\nEnvoyé : lundi 5 janvier 2026 10:12\nÀ : Bob\nObjet : Chaises",
    "De\u00a0: Alice\nDate\u00a0: 5 janvier 2026\nÀ\u00a0: Bob\nObjet\u00a0: Chaises",
    "De: Alice\nEnviado: lunes, 5 de enero de 2026 10:12\nPara: Bob\nAsunto: Sillas",
    "De: Alice\nEnviada em: segunda-feira, 5 de janeiro de 2026 10:12\nPara: Bob\nAssunto: Cadeiras",
    "Da: Alice\nInviato: lunedì 5 gennaio 2026 10:12\nA: Bob\nOggetto: Sedie",
    "Van: Alice\nVerzonden: maandag 5 januari 2026 10:12\nAan: Bob\nOnderwerp: Stoelen",
    "Från: Alice\nSkickat: den 5 januari 2026 10:12\nTill: Bob\nÄmne: Stolar",
    "Fra: Alice\nSendt: 5. januar 2026 10:12\nTil: Bob\nEmne: Stole",
    "Lähettäjä: Alice\nLähetetty: maanantai 5. tammikuuta 2026 10.12\nVastaanottaja: Bob\nAihe: Tuolit",
    "Od: Alice\nWysłano: poniedziałek, 5 stycznia 2026 10:12\nDo: Bob\nTemat: Krzesła",
    "Od: Alice\nOdesláno: pondělí 5. ledna 2026 10:12\nKomu: Bob\nPředmět: Židle",
    "Od: Alice\nOdoslané: pondelok 5. januára 2026 10:12\nKomu: Bob\nPredmet: Stoličky",
    "Feladó: Alice\nElküldve: 2026. január 5., hétfő 10:12\nCímzett: Bob\nTárgy: Székek",
    "De la: Alice\nTrimis: luni, 5 ianuarie 2026 10:12\nCătre: Bob\nSubiect: Scaune",
    "От: Alice\nОтправлено: 5 января 2026 г. 10:12\nКому: Bob\nТема: Стулья",
    "Від: Alice\nНадіслано: 5 січня 2026 р. 10:12\nКому: Bob\nТема: Стільці",
    "Kimden: Alice\nGönderildi: 5 Ocak 2026 Pazartesi 10:12\nKime: Bob\nKonu: Sandalyeler",
    "Από: Alice\nΣτάλθηκε: Δευτέρα, 5 Ιανουαρίου 2026 10:12\nΠρος: Bob\nΘέμα: Καρέκλες",
    "מאת: Alice\nנשלח: יום שני 05 ינואר 2026 10:12\nאל: Bob\nנושא: כיסאות",
    "من: Alice\nتم الإرسال: 5 يناير 2026 10:12\nإلى: Bob\nالموضوع: كراسي",
    "发件人: Alice\n发送时间: 2026年1月5日 10:12\n收件人: Bob\n主题: 椅子",
    "发件人：Alice\n日期：2026年1月5日\n收件人：Bob\n主题：椅子",
    "寄件者: Alice\n傳送日期: 2026年1月5日 上午 10:12\n收件者: Bob\n主旨: 椅子",
    "差出人: Alice\n送信日時: 2026年1月5日 10:12\n宛先: Bob\n件名: 椅子",
    "보낸 사람: Alice\n보낸 날짜: 2026년 1월 5일 10:12\n받는 사람: Bob\n제목: 의자",
    "Từ: Alice\nĐã gửi: 5 Tháng Một 2026 10:12\nĐến: Bob\nChủ đề: Ghế",
    "From: Alice Smith <alice@x.test>\nDate: Mon, 5 Jan 2026 10:12:31 +0100\nTo: Bob <bob@y.test>",
    "From: Alice\nSent: Monday, January 5, 2026 10:12 AM\nTo: Bob; Charlotte Longname;\n Dora@y.test; Emil\nSubject: x",
    "From: Alice\n\nSent: Monday, January 5, 2026\n\nTo: Bob\n\nSubject: x",
    "________________________________\nFrom: Alice\nSent: Monday\nTo: Bob\nSubject: x",
    "________________________________\nVon: Alice <alice@x.test>\nGesendet: Montag, 5. Januar 2026\nAn: Bob",
    "-----Original Message-----\nFrom: Alice\nSent: Monday\nTo: Bob\nSubject: x",
    "Date: Mon, 5 Jan 2026 10:12:31 +0100\nFrom: alice@x.test\nTo: bob@y.test",
    "Από: Alice\nΣτάλθηκε: 5/1/2026\nΠρος: Bob\nΘέμα: Καρέκλες",
]
DIVIDERS = [
    "-----Original Message-----",
    "----- Original Message -----",
    "-------- Original message --------",
    "------- Original Message -------",
    "-----Ursprüngliche Nachricht-----",
    "-------- Originalnachricht --------",
    "-----Message d'origine-----",
    "----- Mail original -----",
    "-----Mensaje original-----",
    "-----Messaggio originale-----",
    "-----Mensagem original-----",
    "-----Oorspronkelijk bericht-----",
    "-----Ursprungligt meddelande-----",
    "-----Oprindelig meddelelse-----",
    "-----Alkuperäinen viesti-----",
    "-----Wiadomość oryginalna-----",
    "-----Původní zpráva-----",
    "-----Исходное сообщение-----",
    "------------------ 原始邮件 ------------------",
    "------------------ Original ------------------",
    "-----元のメッセージ-----",
    "-----원본 메시지-----",
    "##- Please type your reply above this line -##",
    "--- Please reply above this line ---",
    "## Bitte antworten Sie oberhalb dieser Zeile ##",
]


@pytest.mark.parametrize("heading", [*HEADERS, *DIVIDERS])
def test_what_follows_a_header_or_divider_is_quoted(heading: str) -> None:
    reply = split_reply(f"Yes.\n\n{heading}\n\nunmarked old text\n")
    assert (reply.new, reply.quoted) == ("Yes.", f"{heading}\n\nunmarked old text")


@pytest.mark.parametrize(
    "divider",
    [
        "---------- Forwarded message ---------",
        "-------- Forwarded Message --------",
        "-------- Weitergeleitete Nachricht --------",
        "---------- Message transféré ----------",
        "Begin forwarded message:",
        "Anfang der weitergeleiteten Nachricht:",
    ],
)
def test_what_is_passed_on_is_shown(divider: str) -> None:
    text = f"FYI\n\n{divider}\nFrom: Alice <alice@x.test>\nSubject: Chairs\n\nWe need chairs.\n"
    assert split_reply(text).new == text
    assert [one.part for one in passages(text)] == [Part.OWN, Part.FORWARD]
    quoted = f"No.\n\nOn 5 Jan 2026 at 10:12, Bob <bob@y.test> wrote:\n\n{text}"
    assert split_reply(quoted).new == "No."


@pytest.mark.parametrize("header", HEADERS)
def test_what_outlook_passes_on_is_shown_where_the_subject_says_so(header: str) -> None:
    text = f"Please see to it.\n\n{header}\n\nWe need chairs.\n"
    assert split_reply(text, is_forward=True).new == text
    assert [one.part for one in passages(text, is_forward=True)] == [Part.OWN, Part.FORWARD]


def test_the_subject_of_a_forward_is_known() -> None:
    for subject in ("FW: Chairs", "Fwd: Chairs", "WG: Stühle", "TR : Chaises", "RV: Sillas", "转发：椅子", "  fw: x"):
        assert FORWARDING_SUBJECT.match(subject)
    for subject in ("Re: Fwd: Chairs", "AW: WG: Stühle", "Forward", "Infos: x", "", "Trip: x"):
        assert FORWARDING_SUBJECT.match(subject) is None


def test_an_answer_below_the_quote_is_new() -> None:
    reply = split_reply("On 5 Jan 2026 Alice wrote:\n> Shall we?\n\nYes, do.\n")
    assert (reply.new, reply.quoted) == ("Yes, do.", "On 5 Jan 2026 Alice wrote:\n> Shall we?")


def test_words_around_a_quote_are_new() -> None:
    reply = split_reply("Hello,\n\nAm 5.1.2026 um 10:12 schrieb Alice:\n> Shall we?\n>\n>> Or not?\n\nYes.\n\nBob\n")
    assert reply.new == "Hello,\n\nYes.\n\nBob"


def test_own_words_that_begin_alike_stay() -> None:
    reply = split_reply("Am 4. Mai ja\nAm So., 1. Jan. 2023 um 17:22 Uhr schrieb Alice <\nalice@x.test>:\n\nalt\n")
    assert reply.new == "Am 4. Mai ja"


def test_a_divider_in_any_language_stands_above_a_header() -> None:
    header = "Fra: Alice <alice@x.test>\nDato: 04.07.2024  17.45\nTil: bob@y.test\nEmne: Stole"
    reply = split_reply(f"Ja.\n\n-------- Brev fra før --------\n{header}\n\ngammelt")
    assert reply.new == "Ja."


def test_an_introduction_that_shares_a_line_is_cut_off() -> None:
    reply = split_reply("Yes, all of it On Wed, Jan 7, 2026 at 3:59 PM, alice@x.test wrote:\n> Shall we?\n")
    assert reply.new.rstrip() == "Yes, all of it"


@pytest.mark.parametrize(
    "introduction",
    [
        "On Mon, Jan 5, 2026 at 10:12, Alice<alice@x.test> wrote:",
        "Am Mo., 5. Jan. 2026 um 10:12 schrieb Alice<alice@x.test>:",
        "El lun., 5 de ene. de 2026 a las 10:12, Alice<alice@x.test> escribió:",
    ],
)
def test_what_is_quoted_on_the_line_of_its_introduction_is_cut_off(introduction: str) -> None:
    reply = split_reply(f"Yes.\n\n  {introduction}   Shall we?\nAlice\n")
    assert reply.new == "Yes."


def test_a_telephone_with_its_network_is_a_footer() -> None:
    assert split_reply("Yes.\n\nSent via the Samsung Galaxy S99, an XY&Z 9G smartphone\n").new == "Yes."


@pytest.mark.parametrize(
    "text",
    [
        "On 5 Jan 2026 Alice wrote:\n> one?\nyes\n> two?\nno\n> bye",
        "> one?\n\nyes\n\n> two?\n\nno",
        "> Can you come at five?\n\nYes.",
        "On 5 Jan 2026 Alice wrote:\nunmarked, and nothing above",
        "> only a quote",
        "I wrote: nothing more",
        "From: my point of view\nthis is fine",
        "a -- b",
        "Hello,\n\nOn Monday at 9:45 the driver said:\nnobody is here.\nWhat now?",
        "De : 9h\nÀ : 11h\nObjet : chaises\n\nEst-ce possible ?",
        "Two colours:\n--\ngreen\n--\ngrey\n--\nWhich do you like?",
        "The first part.\n\n________________________________\n\nThe second part.",
        "Dear all,\n\nOn Monday we meet.\nOn 7 Jan 2026 we decide.\nAlice wrote that she comes.",
        "As Bob wrote:\nit works.\n\nI do not think so.",
        "I need a journey:\nFrom: Zurich\nTo: Berlin\nDate: 5 May 2026 10:00\n\nPlease book it.",
        "Order:\nTo: Bob's house\nfrom: the shop\nCan you do it?",
        "Two things:\n\n- one\n- two\n\nBye",
        "Todo\n--\n" + "a long line of words that goes on and on, as no signature does, up to the very end of it, " * 3,
        "My options are\n\n"
        + "\n".join(f"line {n}" for n in range(40))
        + "\n--\n"
        + "\n".join("own words" for _ in range(30)),
        "Thanks, Bob wrote me at bob@y.test:\nhe agrees.\n\nLet us start.",
        "Please reply above this line of thought.",
        "Sent from my home in Basel, this letter must reach you before Monday, or else we are lost and all is in vain "
        "because nobody else knows where the key of the old house is kept, so come quickly.",
        "Well.\n\nSent from my desk, this is much easier than from my telephone.",
        "Points:\n----\n1. fast\n2. small\n----\nThe rules above are mine.\n\n====\n\nAnd so is this one.",
        "One\n---\nTwo is here.\n---\nThree goes on, and ends.",
        "Am 5. Mai war ich dort.\nSo war es.",
        "Best regards\nBob\n\nPS: do not forget the chairs.",
        "My answers are in red below.\n\nFrom: Alice <a@x.test>\nSent: Monday\nTo: B\nSubject: x\n\nShall we?\nYes!",
        "Meine Antworten im Text.\n\nAm 05.01.2026 um 10:12 schrieb Alice <alice@x.test>:\n\nSollen wir?\nJa!",
        "Let me know by 10:30:\nalice@x.test or bob@y.test",
        "",
    ],
)
def test_when_unsure_everything_is_shown(text: str) -> None:
    assert split_reply(text).new.strip() == text.strip()
    assert split_reply(text).quoted == ""


def test_a_long_rest_below_inline_answers_is_folded() -> None:
    rest = "\n".join(f"> old line {number}" for number in range(30))
    reply = split_reply(f"On 5 Jan 2026 Alice wrote:\n> one?\n\nyes\n\n> two?\n\nno\n\n{rest}\n")
    assert reply.new.endswith("> two?\n\nno")
    assert reply.quoted == rest


SIGNATURES = [
    "-- \nBob\nSales",
    "--\nBob Smith\n+41 44 123 45 67",
    "-- \n\nBob\n\nACME Ltd\n1 Main Street",
    "—————\nBob Smith\nSales\nbob@y.test\n+41 44 123 45 67",
    "---\nBob",
    "Sent from my HTC phone. Please excuse typos",
    "Sent from TypeApp<http://www.typeapp.test/r?b=1>",
    "-Bob",
    "— Bob Smith",
    "Sent from my iPhone",
    "Sent from my Galaxy S25, please excuse typos",
    "Get Outlook for iOS<https://aka.ms/o0ukef>",
    "Sent from Yahoo Mail on Android",
    "Sent from Outlook for Android",
    "Von meinem iPhone gesendet",
    "Diese Nachricht wurde von meinem Android-Gerät mit K-9 Mail gesendet.",
    "Gesendet mit der GMX Mail App",
    "Envoyé de mon iPhone",
    "Enviado desde mi iPhone",
    "Enviado do meu iPhone",
    "Inviato da iPhone",
    "Verstuurd vanaf mijn iPhone",
    "Skickat från min iPhone",
    "Sendt fra min iPhone",
    "Lähetetty iPhonesta",
    "Wysłane z iPhone'a",
    "Odesláno z iPhonu",
    "iPhone'umdan gönderildi",
    "Отправлено с iPhone",
    "Надіслано з iPhone",
    "发自我的iPhone",
    "從我的 iPhone 傳送",
    "iPhoneから送信",
    "나의 iPhone에서 보냄",
    "ส่งจาก iPhone ของฉัน",
    "Đã gửi từ iPhone của tôi",
    "_______________________________________________\nchairs mailing list\nchairs@lists.x.test\nhttps://lists.x.test/chairs",
    "This e-mail and any files transmitted with it are confidential and intended solely for the use of the individual "
    "to whom they are addressed.",
    "Diese E-Mail enthält vertrauliche oder rechtlich geschützte Informationen. Wenn Sie nicht der richtige Adressat "
    "sind, informieren Sie bitte den Absender.",
    "Sent from my iPhone\n\nThis message is confidential and intended only for the addressee named above, nobody else.",
]


@pytest.mark.parametrize("signature", SIGNATURES)
@pytest.mark.parametrize("below", ["", "\n\nOn 5 Jan 2026 at 10:12, Alice <alice@x.test> wrote:\n> Shall we?"])
def test_a_signature_is_folded(signature: str, below: str) -> None:
    reply = split_reply(f"Yes, do.\n\n{signature}{below}")
    assert reply.new == "Yes, do."
    assert signature in reply.quoted


def test_a_signature_below_the_quote_is_folded() -> None:
    quote = "On 5 Jan 2026 at 10:12, Alice <alice@x.test> wrote:\n> Shall we?"
    for signature in ("-- \nBob", "Von meinem iPhone gesendet"):
        reply = split_reply(f"Yes.\n\n{quote}\n\n{signature}")
        assert (reply.new, reply.quoted) == ("Yes.", f"{quote}\n\n{signature}")


def test_a_greeting_and_a_name_stay_and_the_card_below_is_folded() -> None:
    card = "ACME GmbH\nHauptstr. 1, 8000 Zürich\nTel. +41 44 123 45 67\nwww.acme.test"
    reply = split_reply(f"Gerne.\n\nMit freundlichen Grüßen\nBob Muster\n\n{card}\n")
    assert (reply.new, reply.quoted) == ("Gerne.\n\nMit freundlichen Grüßen\nBob Muster", card)


def test_a_reply_of_a_signature_alone_shows_it() -> None:
    assert split_reply("Sent from my iPhone").new == "Sent from my iPhone"
    both = split_reply("Sent from my iPhone\n\nOn 5 Jan 2026 at 10:12, Alice <alice@x.test> wrote:\n> Shall we?")
    assert both.new == "Sent from my iPhone"


lines = st.sampled_from([
    *("own words", "> old", ">> older", "", "-- ", "On 5 Jan 2026 A wrote:", "From: a", "To: b@x.test", "Subject: c"),
    *("____" * 9, "Sent from my iPhone", "---------- Forwarded message ----------", "-----Original Message-----"),
    *("Best regards", "Tel. +41 44 123 45 67", "http://x.test/a)", "x On 5 Jan 2026 at 1:00, b@x.test wrote:"),
])  # fmt: skip


@given(st.lists(lines, max_size=14).map("\n".join))
def test_the_segments_are_the_body_and_nothing_is_lost(text: str) -> None:
    found = passages(text)
    assert "".join(text[one.start : one.end] for one in found) == text
    reply = split_reply(text)
    assert sorted(f"{reply.new}\n{reply.quoted}".split()) == sorted(text.split())
    assert reply.new.strip() or not text.strip()


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert "".join(text[one.start : one.end] for one in passages(text)) == text


@given(st.lists(st.integers(1, 4), min_size=2, max_size=6))
def test_own_words_between_quoted_lines_are_always_shown(sizes: list[int]) -> None:
    blocks = ["\n".join(f"> old {number}" for number in range(size)) for size in sizes]
    text = "On 5 Jan 2026 at 10:12, Alice <a@x.test> wrote:\n" + "".join(
        f"{block}\nanswer number {number}\n" for number, block in enumerate(blocks)
    )
    shown = split_reply(text).new
    assert all(f"answer number {number}" in shown for number in range(len(blocks)))


PIECES = [
    *(" ", ">", ">\n", "> a\n", "On ... wrote:\n", "On 1\n", "On 1, 2026 10:00\n", "-", "_", "Am 1 schrieb ", "x"),
    *("From: a\n", "From: a@b\n\n", "2026/1/1 <@>", "a\n", "--\n", "-- \n", "Best regards\nA\n", "> a\nb\n"),
    *(
        "http://x/a)\n> a\n",
        "____________\n",
        "Sent from my iPhone\n",
        "a@b.test ",
        "x On 1 a@b wrote:\n",
        "(",
        "* a\n",
    ),
    *(f"{piece * 33}:\n" for piece in ("a 1\u00a0", "1:1", ":", "@", "am 1. ", "x@y ")),
    *("This message is confidential\n", "\u200b", "-Bob\n", "On 1:00 a@b.test wrote:\n\n", "tel. +1 2 3 4 5 6 7 8 9 "),
]


def test_i13_introductions_far_above_a_quote_are_linear_too() -> None:
    introductions = "On 1 Jan 2026 at 1:00, a@b.test wrote:\n\n" * 9_000
    for text in (introductions + "x\n" * 150 + "> a\n", (introductions[:4_000] + "x\n" * 40 + "> a\nb\n") * 200):
        with within(2):
            split_reply(text)


@pytest.mark.parametrize("piece", PIECES)
def test_i13_every_stage_is_linear(piece: str) -> None:
    with within(1.5):
        split_reply(piece * (1_000_000 // len(piece)))
