"""Whether a program wrote a mail, and whether a mail wants no automatic answer.

What a header declares counts at once (RFC 3834 sections 2 and 5, and what Exchange, Gmail, vacation programs and ticket
systems write beside it). A subject counts where only programs write it. Words that people write too, "I am out of
office", count only beside something else that speaks for a program. It decides nothing.
"""

from __future__ import annotations

import re

from core.mail.address import domain_of
from core.mail.body import html_to_text
from core.mail.bounce_signs import ANSWERED, SENDERS
from core.mail.thread import alias_of
from core.mail.values import IncomingEmail

_BODY_CHARS = 3000
_FIRST_CHARS = 600
_NO = frozenset({"", "no", "none", "false", "0", "off"})
_AUTO_REPLY = frozenset({"auto_reply", "auto-reply", "autoreply", "auto_replied", "vacation"})
_BULK = frozenset({"bulk", "junk", "list"})
_AUTOMATIC_HEADERS = re.compile(
    r"x-(?:[a-z0-9]{1,20}-){0,2}(?:auto-?(?:repl(?:y|ied)|rply|respond(?:er)?|responses?|answer)|vacation"
    r"|automatic-reply)(?:-(?:from|id|reply|message))?|x-auto-?(?:generated|submitted)|x-fc-machinegenerated"
)
"""`X-Autoreply`, `X-Amazon-Auto-Reply`, ...: but not `X-Auto-Response-Suppress`, which people's mail has."""
_PROGRAMS = re.compile(
    r"(?:vacation|autorespond|auto-?repl|out.?of.?office|gnarwl|mailbox rules agent|yahoo.* vacation)"
)
"""In X-Mailer, User-Agent, X-POST-MessageClass, X-MS-Exchange-Generated-Message-Source, Delivered-To."""
_ROBOTS = re.compile(r"auto-?(?:respond\w*|repl\w*|answer\w*)|mailer-?daemon|mail-daemon|vacation|out-?of-?office")

_CERTAIN_SUBJECT = re.compile(
    r"[\[(*<【「（\s]*(?:"
    # English.
    r"(?:automatic|automated|auto(?:matic)?[ -]?generated|auto)[ -]?(?:e?-?mail )?(?:reply|response|answer"
    r"|acknowledgement)"
    r"|auto(?:reply|response|responder)|out of (?:the )?office[ -]{0,3}(?:auto ?reply|automatic reply|autoresponse"
    r"|reply|response|notification|notice|message|assistant)?(?<!out of office)(?<!out of the office)"
    r"|out of (?:the )?office(?=\s?:)|ooo(?=:? re:)|vacation (?:auto)?(?:reply|response|message|responder|notice)"
    r"|away from my mail"
    # German, French, Spanish, Portuguese, Italian, Dutch.
    r"|automatische (?:antwort|abwesenheit\w*|e-?mail-?antwort|r[üu]ckantwort)|auto-?antwort"
    r"|abwesenheits(?:notiz|nachricht|meldung|assistent|benachrichtigung|info)"
    r"|r[eé]ponse automatique(?: d'absence)?|message (?:d'absence automatique|automatique d'absence)"
    r"|(?:avis|notification|message) d'absence|abs(?:ent\w?|ence) du bureau(?=\s?:)"
    r"|accus[eé] de r[eé]ception automatique|urlaubs(?:notiz|benachrichtigung|meldung)"
    r"|aus[eê]ncia tempor[aá]ria(?=\s?:)|respuesta autom[aá]tica|contestaci[oó]n autom[aá]tica|auto ?respuesta"
    r"|fuera de (?:la )?oficina(?=\s?:)|resposta autom[aáà]tica|risposta automatica|messaggio automatico"
    r"|fuori (?:sede|ufficio)(?=\s?:)|automatische? (?:antwoord|beantwoording|reactie|bericht)"
    r"|automatisch antwoord|afwezigheids(?:bericht|melding|assistent)|niet aanwezig(?=\s?:)"
    # Scandinavian, Polish, Czech, Hungarian, Romanian, Turkish, Balkan, Baltic.
    r"|automatiskt? (?:svar|besked|svarmelding)|autosvar|fr[aå]nvaromeddelande|frånvar(?:o|ande)(?=\s?:)"
    r"|automaattinen (?:vastaus|poissaolo\w*)|poissaoloilmoitus|frav[æa]r(?:sassistent|smelding| fra kontoret)"
    r"|odpowied[zź] automatyczna|automatyczna odpowied[zź]|autoodpowied[zź]|automatick[aá] odpov[eě][dď]"
    r"|automatikus v[aá]lasz|h[aá]zon k[ií]v[uü]l|r[aă]spuns automat|otomatik (?:yan[ıi]t|cevap)"
    r"|mimo kancel[aá][rř](?=\s?:)|poza biurem(?=\s?:)|sjálfvirkt svar|erantzun automatikoa"
    r"|samodejni odgovor|automatski odgovor|automatinis atsakymas|autom[aā]tisk[aā] atbilde"
    r"|automaatvastus|automaatne vastus"
    # Greek, Cyrillic, and scripts of the east.
    r"|αυτόματη απάντηση|автоответ(?:чик)?|ответ автоответчика|аутоматски одговор"
    r"|автоматическ\w{2} (?:ответ|уведомление)"
    r"|автоматичн[аи]\w? (?:відповідь|отговор)|автоматичен отговор|رد تلقائي|תשובה אוטומטית|ตอบกลับอัตโนมัติ"
    r"|trả lời tự động|balasan otomatis|jawapan automatik|स्वचालित (?:उत्तर|जवाब)|پاسخ خودکار"
    r"|自動(?:返信|応答|回覆|回复|答覆)(?:メール)?|不在(?:通知|応答|連絡|のお知らせ)"
    r"|自动(?:回复|答复)|자동 ?(?:회신|응답)|부재중"
    # A sentence that begins so is a person's: "Automatic reply does not work".
    r")\s{0,2}(?:[:\])】」）>*|–—!-]|$|(?<=\s)(?:re|aw|from|von|de|to|an)\b)",
)
_TAGGED = re.compile(
    r"[\[(](?:auto(?:matic|mated)?[ -]?(?:reply|response)|automatische antwort|réponse automatique"
    r"|respuesta automática|risposta automatica|resposta automática)[\])]$"
)
"""What ticket systems put at the end."""
_LOTUS = re.compile(
    r"auto: .{0,120}(?:out of|away|absent|abwesend|return|zurück|fuera|fuori|not (?:in|available)|urlaub|vacation)"
)
"""`AUTO: Ada is out of the office (returning 06/12)`: Notes. A car is for sale under `Auto: ` too."""
_AWAY = re.compile(
    r"out of (?:the |my )?office|on (?:vacation|holiday|annual leave|leave|maternity|parental)|away from (?:my|the) "
    r"(?:office|desk|mail|email)|(?:i am|i'm|i will be|will be) (?:currently )?(?:away|out|absent|travel)"
    r"|(?:limited|no) access to (?:my )?e?-?mail|autorespon|auto-?reply|no longer (?:with|work|employed)"
    r"|left the company|abwesen|nicht (?:im (?:büro|haus)|erreichbar)|im urlaub|in elternzeit|außer haus"
    r"|wieder (?:da|erreichbar|im büro)|absent|en (?:congés?|vacances|déplacement)|de retour|bureau ferm|ausente"
    r"|de vacaciones|fuera de la oficina|de f[eé]rias|fora do escrit|in ferie|fuori ufficio|assente|rientr"
    r"|afwezig|op vakantie|niet op kantoor|nieobecn|na urlopie|poza biurem|semester|frånvarande|på ferie"
    r"|tilbake|tillbaka|lomalla|poissa|nepřítom|dovolen|szabadság|în concediu|izin|tatilde|в отпуске|отсутств"
    r"|у відпустці|不在|休暇|外出|休假|出差|不在办公室|휴가|부재"
)
"""What absent people have their program say, and say themselves."""
_RECEIVED = re.compile(
    r"thank you for (?:your (?:e-?mail|message|inquiry|enquiry|request)|contacting|writing|reaching)"
    r"|(?:we (?:have|.ve)|has been|have been) received|(?:ticket|case) (?:#|\(#|number|id|has been)"
    r"|request (?:#|\(|has been|received)|\[request received|support (?:request|ticket)"
    r"|eingangsbestätigung|ihre (?:anfrage|nachricht|e-?mail) (?:ist|wurde|haben)|vielen dank für ihre (?:anfrage"
    r"|nachricht|e-?mail)|accus[eé] (?:de )?réception|bien reçu votre|merci (?:de|pour) votre (?:message|mail|demande)"
    r"|acuse de recibo|hemos recibido|gracias por (?:su|contactar|escribir)|recebemos (?:a )?su|obrigad[oa] p"
    r"|abbiamo ricevuto|grazie per (?:aver|il suo|la sua)|ontvangstbevestiging|bedankt voor (?:uw|je)|otrzymaliśmy"
    r"|dziękujemy za|tack för ditt|tak for din|takk for din|(?:ваше|ваш) .{0,30}получен|спасибо за обращение"
    r"|благодарим за|受け付け|受付(?:完了|いた)|お問い合わせ(?:いただき|ありがとう)|已收到|收到您"
)
"""What is said at once to whoever writes; shops and newsletters say the like."""
_SAYS_SO = re.compile(
    r"(?:this|it) is an? (?:automat|auto-?(?:repl|gener|respon))|automatic(?:ally)? (?:generated|reply|response"
    r"|sent)|auto-?(?:reply|response|generated)|automated (?:reply|response|message|e-?mail)"
    r"|automatisch (?:erstellt|generiert|erzeugt|versendet|versandt)|automatische antwort|réponse automatique"
    r"|(?:généré|envoyé) automatiquement|respuesta automática|(?:generado|enviado) automáticamente"
    r"|risposta automatica|(?:generat|inviat)[oa] automaticamente|resposta automática|automatisch (?:gegenereerd"
    r"|verzonden|bericht)|automatyczn|автоматическ|自動(?:送信|配信|返信)|自动(?:回复|发送)"
)
_NOBODY = re.compile(r"(?:no|do-?not|donot)[-_.]?reply\w*")
_LIST_HEADERS = (
    *("List-Id", "List-Post", "List-Unsubscribe", "Mailing-List", "X-Mailing-List", "X-BeenThere", "Feedback-ID"),
    *("X-Mailman-Version", "X-Listname", "X-ListMember", "X-eGroups-Return", "X-Campaign", "X-Campaignid"),
)
_LIST_PATH = re.compile(r"owner-.*|.*[-+](?:owner|bounces?|request|admin|errors?|return|relay)(?:[-+=].*)?")


def automatic_reason(email: IncomingEmail) -> str | None:
    """Return in words why this mail must not be answered automatically, or None."""
    return program_reason(email) or no_answer_reason(email)


def program_reason(email: IncomingEmail) -> str | None:
    """Return in words why a program seems to have written this mail, or None."""
    return _declared(email) or _reported(email) or _guessed(email) or _supported(email)


def no_answer_reason(email: IncomingEmail) -> str | None:
    """Return in words why this mail wants no automatic answer, though a person may have written it, or None.

    Mailing lists and groups say so of all that they pass on, and gateways and web forms of what people write.
    """
    if _passes_on(email):
        return f"a program passes on what {email.reply_to[0].address} wrote"
    precedence = _word(email, "Precedence")
    if precedence in _BULK:
        return f"Precedence is {precedence}"
    suppress = _word(email, "X-Auto-Response-Suppress")
    if suppress not in _NO:
        return f"X-Auto-Response-Suppress is {suppress}"
    if email.sender and alias_of(email.sender.address)[0] == "postmaster":
        return "its sender is postmaster"
    found = list_header(email)
    return f"it has the header {found}, as lists and mailings do" if found else None


def list_header(email: IncomingEmail) -> str | None:
    """Return the name of a header that only mailing lists and mailings write (RFC 2369, RFC 2919), or None."""
    return next((name for name in _LIST_HEADERS if email.header(name)), None)


def _declared(email: IncomingEmail) -> str | None:
    submitted = _word(email, "Auto-Submitted")
    if submitted not in _NO and not _passes_on(email):
        return f"Auto-Submitted is {submitted}"
    for name in ("Precedence", "X-Precedence", "Preference"):
        if (word := _word(email, name)) in _AUTO_REPLY:
            return f"{name} is {word}"
    names = (name for name, _ in email.headers if _AUTOMATIC_HEADERS.fullmatch(name.lower()))
    found = next((name for name in names if _word(email, name) not in _NO), None)
    if found:
        return f"it has the header {found}"
    for name in (
        "X-Mailer",
        "User-Agent",
        "X-POST-MessageClass",
        "X-MS-Exchange-Generated-Message-Source",
        "Delivered-To",
    ):
        if _PROGRAMS.search((email.header(name) or "").lower()[:200]):
            return f"{name} names a program that answers by itself"
    return None


def _passes_on(email: IncomingEmail) -> bool:
    """Tell whether a program sends what a person wrote, such as a web form: no reply, and answered elsewhere."""
    if _word(email, "Auto-Submitted") != "auto-generated" or email.in_reply_to or email.references:
        return False
    elsewhere = email.reply_to[:1] if email.sender and email.return_path != "" else ()
    return any(domain_of(box.address) != domain_of(email.sender.address) for box in elsewhere if email.sender)


def _reported(email: IncomingEmail) -> str | None:
    if email.return_path == "":
        return "its envelope sender is the null address"
    if _word(email, "Content-Type") == "multipart/report":
        return "it is a report"
    return None


def _guessed(email: IncomingEmail) -> str | None:
    sender = alias_of(email.sender.address)[0] if email.sender else ""
    if _ROBOTS.fullmatch(sender) or ("daemon" in sender and SENDERS.fullmatch(sender)):
        return f"its sender is {sender}"
    if sender == "postmaster" and not email.return_path:
        return "its sender is postmaster, and no envelope sender is known"
    subject = _plain(email.subject)
    if _CERTAIN_SUBJECT.match(subject) or _LOTUS.match(subject) or _is_tagged(email, subject):
        return "its subject is that of an automatic reply"
    return None


def _is_tagged(email: IncomingEmail, subject: str) -> bool:
    """Tell whether a subject ends as ticket systems end theirs, and answers none of those."""
    return _TAGGED.search(subject[-60:]) is not None and ANSWERED.match(subject) is None


def _supported(email: IncomingEmail) -> str | None:
    """Believe the words of an automatic answer where the header speaks for one as well, and for no list or mailing."""
    sign, is_weak = ("", True) if _is_passed_on(email) else _sign(email)
    if not sign:
        return None
    text = email.text if email.text and email.text.strip() else html_to_text((email.html or "")[: 10 * _BODY_CHARS])
    body = " ".join(text[:_BODY_CHARS].lower().split())
    subject = _plain(email.subject)
    # Web forms and groups pass on with such a header what people write, be it about their holidays.
    by_subject = _AWAY.search(subject) or (not is_weak and _RECEIVED.search(subject))
    by_body = _SAYS_SO.search(body) or (not is_weak and _AWAY.search(body[:_FIRST_CHARS]))
    by_answer = not is_weak and _is_answer(email, subject) and _RECEIVED.search(body[:_FIRST_CHARS])
    return f"{sign}, and it speaks as automatic answers do" if by_subject or by_body or by_answer else None


def _is_passed_on(email: IncomingEmail) -> bool:
    """Tell whether a list passes it on, as its headers say, or who sends it instead of its writer."""
    sender, author = email.header("Sender"), email.sender
    path = (email.return_path or "").partition("@")[0].lower()
    is_sent_for = bool(sender and author and author.address.lower() not in sender.lower())
    return bool(list_header(email) or is_sent_for or email.header("Errors-To") or _LIST_PATH.fullmatch(path))


def _is_answer(email: IncomingEmail, subject: str) -> bool:
    return bool(email.in_reply_to or email.references) or subject.startswith(("re:", "aw:", "[", "rép", "odp:", "sv:"))


def _sign(email: IncomingEmail) -> tuple[str, bool]:
    """Return what speaks for a program beside the words, and whether people's mail often has it too."""
    precedence = _word(email, "Precedence")
    if precedence in ("bulk", "junk"):
        return f"Precedence is {precedence}", False
    sender = alias_of(email.sender.address)[0] if email.sender else ""
    if email.in_reply_to and _NOBODY.fullmatch(sender):
        return f"its sender is {sender}", False
    suppress = _word(email, "X-Auto-Response-Suppress")
    if "all" in suppress or "autoreply" in suppress:
        return f"X-Auto-Response-Suppress is {suppress}", True
    return ("a rule of an inbox sent it", True) if email.header("X-MS-Exchange-Inbox-Rules-Loop") else ("", True)


def _plain(subject: str) -> str:
    """Return a subject in lower case; the wide colon of Chinese and Japanese and no-break spaces are plain ones."""
    return " ".join(subject[:1000].lower().split()).replace("\uff1a", ":")


def _word(email: IncomingEmail, name: str) -> str:
    return (email.header(name) or "").partition(";")[0].strip().lower()[:60]
