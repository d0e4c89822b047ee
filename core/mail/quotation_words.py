"""What mail programs write around the mail they quote, by language: introductions, dividers, header labels, endings.

Data alone. Each phrase is in the form in which `folded` leaves a line, and none is a word that opens an ordinary
sentence on its own: what surrounds it (a date, an address, quote marks) has to speak for it too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from core.pattern import pattern

INTRODUCTION_ENDS = (
    # Germanic
    *("wrote", "writes", "write", "said", "says", "sent", "via wrote"),
    *("schrieb", "schreibt", "geschrieben", "schrieben sie", "schreef", "het volgende geschreven", "geschreven"),
    *("skrev", "skrev følgende", "skrev folgende", "skriver", "følgende", "skrifaði", "skreiv"),
    # Romance
    *("a écrit", "a ecrit", "a écrit ce qui suit", "nous a dit", "écrivait"),
    *("escribió", "escribio", "ha escrito", "va escriure", "ha escrit", "escribiu", "idatzi du"),
    *("escreveu", "ha scritto", "scrisse", "scriveva", "ha inviato", "a scris", "a scris următoarele"),
    # Slavic and Baltic
    *("pisze", "napisał", "napisała", "napisał(a)", "napisał/a", "napisał:", "napsal(a)", "napsal", "napsala"),
    *("napísal(a)", "napísal", "napísala", "napisao", "napisala", "je napisao", "je napisala", "je napisao/la"),
    *("je napisal(a)", "je napisal", "piše", "написал", "написала", "написал(а)", "написа", "написав", "написала"),
    *("написав(ла)", "пишет", "пише", "напісаў", "rakstīja", "rašė", "parašė"),
    # Finnic, Hungarian, Turkish, Greek
    *("kirjoitti", "kirjutas", "írta", "ezt írta", "yazdı", "şunu yazdı", "şunları yazdı", "έγραψε", "έγραψαν"),
    # Asia
    *("写道", "寫道", "写到", "のメール", "が書きました"),
    *("さんは書きました", "님이 작성", "작성", "이(가) 작성함", "씀", "쓴 글"),
    *("เขียนว่า", "เขียน", "đã viết", "viết", "menulis", "כתב"),
    *("כתבה", "כתב/ה", "كتب", "كتبت", "نوشت", "ने लिखा", "skribis"),
)  # fmt: skip
"""How an introduction ends, before its colon."""

SPOKEN_ENDS = ("said", "says", "nous a dit")
"""Ends that people write about talks too: only an address, or marks below, tell an introduction from those."""

INTRODUCTION_VERBS = (
    *(" schrieb ", " schreibt ", " schreef ", " skrev "),
    *(" wrote ", " kirjoitti ", " écrivait ", " napisał ", " heeft "),
    *(" napisał(a) ", " napsal(a) ", " kirjutas ", " ezt írta ", " írta ", " ecrit ", " a écrit ", " schreven "),
    "missatge de ",
)  # fmt: skip
"""A verb in the middle: `Am 5. Januar schrieb Anna:`, `Anna schrieb am 5. Januar:`."""

_INTRODUCTION_STARTS = (
    *("on ", "at ", "in message ", "in article ", "am ", "vom "),
    *("zitat von ", "quoting ", "le ", "el ", "il ", "em "),
    *("dia ", "no dia ", "data ", "in data ", "sul ", "citando ", "citação ", "a les ", "op ", "den ", "på ", "kl. "),
    *("ons", "tor", "fre", "lør", "søn", "man", "tir"),
    *("lör", "sön", "mån", "tis", "w dniu ", "dnia ", "dne ", "dňa "),
    *(
        "ze dne ",
        "v ",
        "u ",
        "dana ",
        "pe ",
        "în ",
        "la ",
        "ma ",
        "a ",
        "kell ",
        "kuupäeval ",
        "na ",
        "на ",
        "в ",
        "у ",
        "στις ",
    ),
    *("vào ", "lúc ", "ngày ", "pada ", "tarihinde ", "בתאריך ", "ב-"),
    *("في ", "به ", "در ", "在", "于", "於", "เมื่อ "),
)
INTRODUCTION_STARTS = tuple(map(str.casefold, _INTRODUCTION_STARTS))
"""How an introduction begins, before its date; one may begin with the date itself."""

ORIGINAL = frozenset({
    *("original message", "original", "original email", "original mail", "reply message", "original appointment"),
    *("ursprüngliche nachricht", "original-nachricht"),
    *("originalnachricht", "original nachricht", "antwort nachricht"),
    *("ursprüngliche e-mail", "message d'origine", "message d’origine", "message original", "mail original"),
    *("message initial", "courriel original", "mensaje original", "correo original", "messaggio originale"),
    *("mensagem original", "oorspronkelijk bericht", "originele bericht", "origineel bericht", "original meddelelse"),
    *("oprindelig meddelelse", "oprindelig besked", "opprinnelig melding", "ursprungligt meddelande"),
    "originalmeddelande",
    *("alkuperäinen viesti", "wiadomość oryginalna", "oryginalna wiadomość", "původní zpráva", "původní e-mail"),
    *("pôvodná správa", "eredeti üzenet", "mesaj original", "mesajul original", "исходное сообщение"),
    *("оригинальное сообщение", "исходное письмо", "оригінальне повідомлення", "вихідне повідомлення"),
    *("оригинално съобщение", "originalna poruka", "izvorna poruka", "izvirno sporočilo", "orijinal ileti"),
    *("özgün ileti", "orijinal mesaj", "αρχικό μήνυμα", "הודעה מקורית", "الرسالة الأصلية", "پیام اصلی", "原始邮件"),
    *("原始郵件", "原始訊息", "原邮件", "回复的原邮件"),
    *("元のメッセージ", "オリジナルメッセージ", "원본 메시지", "원본 메일"),
    *("ข้อความต้นฉบับ", "thư gốc", "tin nhắn gốc"),
    *("pesan asli", "mesej asal", "missatge original", "sākotnējais ziņojums"),
    *("algne kiri", "pradinis laiškas", "upprunaleg skilaboð", "jatorrizko mezua", "mensaxe orixinal"),
    *("urspr. nachricht", "vorherige nachricht", "previous message", "message précédent", "mensaje anterior"),
})  # fmt: skip
"""Between dashes, above a mail that is answered."""

FORWARDED = frozenset({
    *("forwarded message", "begin forwarded message", "forwarded email", "forwarded mail", "fwd", "begin forward"),
    *("weitergeleitete nachricht", "anfang der weitergeleiteten nachricht", "weitergeleitete e-mail"),
    *("message transféré", "début du message transféré", "début du message réexpédié", "message réexpédié"),
    *("mensaje reenviado", "inicio del mensaje reenviado", "mensagem encaminhada", "mensagem reencaminhada"),
    *("início da mensagem encaminhada", "início da mensagem reencaminhada", "messaggio inoltrato"),
    *("inizio messaggio inoltrato", "doorgestuurd bericht", "begin doorgestuurd bericht", "videresendt meddelelse"),
    *("start på videresendt besked", "videresendt melding", "videresend fra", "vidarebefordrat meddelande"),
    *("vidarebefordrat brev", "välitetty viesti", "edelleenlähetetty viesti", "wiadomość przekazana"),
    *("przekazana wiadomość", "przesłana wiadomość", "początek przekazywanej wiadomości", "přeposlaná zpráva"),
    *("preposlaná správa", "továbbított üzenet", "továbbított levél", "mesaj redirecționat", "mesaj redirectionat"),
    *("пересылаемое сообщение", "пересланное сообщение", "начало переадресованного сообщения"),
    *("переслане повідомлення", "препратено съобщение", "proslijeđena poruka", "prosleđena poruka"),
    *("posredovano sporočilo", "yönlendirilen ileti", "iletilen mesaj", "προωθημένο μήνυμα", "הודעה שהועברה"),
    *("رسالة معاد توجيهها", "转发的邮件", "轉寄郵件", "轉寄的郵件", "转发邮件信息", "轉寄訊息", "転送メッセージ"),
    *("転送されたメッセージ", "전달된 메시지", "ข้อความที่ส่งต่อ"),
    *("thư đã chuyển tiếp", "pesan terusan", "missatge reenviat"),
})  # fmt: skip
"""Between dashes, above a mail that is passed on: the reader is to see it."""


class Label(StrEnum):
    """What a line of a quoted header says."""

    FROM = "from"
    DATE = "date"
    TO = "to"
    COPY = "copy"
    SUBJECT = "subject"
    OTHER = "other"


_LABELS: Mapping[Label, tuple[str, ...]] = {
    Label.FROM: (
        *("from", "von", "de", "da", "van", "från", "fra", "od", "z", "от", "від", "от кого", "від кого", "кто"),
        *("de la", "expéditeur", "remitente", "remetente"),
        *("mittente", "afzender", "absender", "avsändare", "afsender"),
        *("lähettäjä", "nadawca", "odesílatel", "odosielateľ", "feladó", "kimden", "gönderen", "από", "מאת", "من"),
        *("发件人", "寄件者", "寄件人", "发送人", "差出人", "送信者", "送信元", "보낸 사람", "보낸사람", "발신"),
        *("จาก", "từ", "người gửi", "dari", "pengirim", "pošiljatelj", "šalje", "отправитель", "saatja", "nuo", "no"),
        *("sent by", "از", "frá", "d'", "nork", "od koga", "desde", "autor", "author"),
    ),
    Label.DATE: (
        *("sent", "date", "sent at", "date sent", "when", "gesendet", "datum", "gesendet am", "envoyé", "envoyé le"),
        *("date d'envoi", "enviado", "enviado el", "fecha", "fecha de envío", "enviada em", "enviado em", "enviada"),
        *("data", "inviato", "data invio", "inviato il", "verzonden", "verzonden op", "skickat", "datum", "sendt"),
        *("dato", "lähetetty", "päivämäärä", "päiväys"),
        *("wysłano", "wysłane", "data wysłania", "odesláno", "odoslané"),
        *(
            "dátum",
            "elküldve",
            "küldve",
            "trimis",
            "发送时间",
            "发送日期",
            "日期",
            "时间",
            "時間",
            "傳送日期",
            "寄件日期",
        ),
        *("寄件時間", "送信日時", "日時", "日付", "送信日", "보낸 날짜", "보낸날짜", "날짜", "дата", "отправлено"),
        *("надіслано", "изпратено", "tarih", "gönderilme tarihi", "gönderildi", "ημερομηνία", "στάλθηκε", "απεστάλη"),
        *("תאריך", "נשלח", "تاريخ", "التاريخ", "تم الإرسال", "تاریخ", "ส่งเมื่อ", "ส่ง", "วันที่", "đã gửi", "ngày"),
        *("dikirim", "tanggal", "poslano", "poslato", "datum slanja", "saadetud", "kuupäev", "išsiųsta", "data"),
        *("nosūtīts", "datums", "sent date", "enviat", "odesláno dne", "le", "dags"),
    ),
    Label.TO: (
        *("to", "an", "à", "a", "aan", "till", "til", "do", "кому", "до", "para", "per", "recipient", "empfänger"),
        *("destinataire", "destinatario", "destinatário", "ontvanger", "mottagare", "modtager", "收件人", "宛先"),
        *("送信先", "收件者", "받는 사람", "받는사람", "수신", "vastaanottaja", "címzett", "către", "komu", "pre"),
        *("kime", "alıcı", "προς", "אל", "إلى", "ถึง", "đến"),
        *("tới", "kepada", "za", "prima", "kam", "kellele", "кому"),
        *("gavėjas", "saaja", "adresát", "odbiorca", "til", "به", "per a", "nori", "kenelle"),
    ),
    Label.COPY: (
        *("cc", "bcc", "copy", "kopie", "kopia", "kopi", "copie", "copie à", "cópia", "copia", "dw", "抄送", "副本"),
        *(
            "참조",
            "kopio",
            "másolatot kap",
            "másolat",
            "копия",
            "копія",
            "bilgi",
            "κοιν.",
            "κοινοποίηση",
            "עותק",
            "نسخة",
        ),
        *("สำเนา", "đồng gửi", "tembusan", "kp", "ccn", "cco", "ud", "kópia", "kopija", "koopia", "kopiju"),
    ),
    Label.SUBJECT: (
        *("subject", "betreff", "objet", "asunto", "assunto"),
        *("oggetto", "onderwerp", "ämne", "emne", "aihe", "temat"),
        *("předmět", "predmet", "tárgy", "subiect", "subiectul", "主题", "主旨", "主題", "件名", "제목", "тема"),
        *("konu", "θέμα", "נושא", "موضوع", "الموضوع", "เรื่อง", "หัวเรื่อง", "chủ đề", "subjek", "perihal", "zadeva"),
        *(
            "naslov",
            "teema",
            "dalykas",
            "tema",
            "temats",
            "относно",
            "assumpte",
            "efni",
            "sujet",
            "gaia",
            "objeto",
            "re",
        ),
    ),
    Label.OTHER: (
        *("reply-to", "reply to", "antwort an", "répondre à", "responder a", "importance", "priority", "wichtigkeit"),
        *(
            "attachments",
            "anlagen",
            "importancia",
            "priorité",
            "sensitivity",
            "organization",
            "message-id",
            "newsgroups",
        ),
        *("resent-from", "beantwoorden - aan", "rispondi a", "responder para", "x-mailer", "svar til", "svara till"),
        *("mailed-by", "signed-by", "in-reply-to", "references", "mime-version", "content-type", "list-id"),
    ),
}
LABELS: Mapping[str, Label] = MappingProxyType(
    {word.casefold(): label for label in reversed(Label) for word in _LABELS[label]},
)
"""The label of a header line, by the words before its colon, in small letters."""

REPLY_ABOVE = (
    "reply above this line",
    "type your reply above this line",
    "write above this line",
    "reply above the line",
    "antworten sie oberhalb dieser zeile",
    "oberhalb dieser linie antworten",
    "oberhalb dieser zeile",
    "répondre au-dessus de cette ligne",
    "au-dessus de cette ligne",
    "responda por encima de esta línea",
    "por encima de esta línea",
    "responda acima desta linha",
    "acima desta linha",
    "sopra questa linea",
    "sopra questa riga",
    "boven deze regel",
    "boven deze lijn",
    "над этой чертой",
    "выше этой линии",
    "powyżej tej linii",
    "ovanför denna linje",
    "ovenfor denne linje",
)
"""What help desks write above their mail."""

FORWARDING_SUBJECT = pattern(
    r"\s*(?:fwd?|wg|tr|rv|enc|i|vb|vs|vl|doorst|pd|podaj dalej|továbbítás|fs|vidarebefordrat|videresendt|ilt|iletildi"
    r"|πρθ|hl|edel|пересл|переслано|转发|轉寄|転送|전달|ส่งต่อ|yml|trs|redir)\s?[:：]",
    re.IGNORECASE,
)
"""How mail programs begin the subject of a mail that is passed on."""
