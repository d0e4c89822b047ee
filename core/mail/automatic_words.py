"""By what the body of automatic mail is known: what it says, by language.

Tables alone, what they prove is said in `automatic_speech`. Patterns are lower-case, tried on lower-case text, and
linear.
"""

from __future__ import annotations

from core.pattern import pattern

# ---- automatic, and reply

_AUTOMATIC = (
    r"(?:(?:[ao]u?|av|aw|aŭ)tom(?:[aáàā]\w{0,12}|\.)|(?:авто|ауто|аўта)мат\w{0,10}|αυτ[οό]ματ\w{0,12}|savaimi\w{0,4}"
    r"|sjálfvirk\w{0,4}|samodejn\w{0,3}"
    r"|uathoibr\w{0,6}|自[動动]|자동|تلقائي\w?|خودکار|אוטומטי\w?|tự động|स्वचालित|স্বয়ংক্রিয়|ავტომატურ\w{0,3}"
    r"|ավտոմատ\w{0,4})"
)
"""In any language: nearly all have the Greek word. Not `automotive`."""

_AUTO = rf"(?:{_AUTOMATIC}|auto|авто)"

_REPLY = (
    r"(?:reply|respon[ds](?!er)\w{0,4}|acknowledge?ment|(?:rück)?antwort|rückmeldung|r[eé]ponse|respuesta|contestaci\w{2}"
    r"|resposta|risposta|antwoord|beantwoording|reactie|svar|vastau\w|vastus|v[aá]lasz(?:üzenet)?|odpowied[zź]|odpov[eě][dď]"
    r"|r[aă]spuns|yan[ıi]t|cevap|cavab|javob|odgovor|atsakymas|atbilde|одговор|отговор|ответ|відповідь|відгук|адказ|жауап"
    r"|απάντηση|balasan|jawapan|jawaban|tugon|përgjigj\w|erantzun|ateb|freagra|respondo"
    r"|رد|جواب|پاسخ|תשובה|מענה|trả lời|phản hồi|उत्तर|উত্তর|जवाब|პასუხი|պատասխան|返信|応答|回[覆复復]|答[复覆]|회신"
    r"|응답|답장)"
)

_ENDING = r"[^\W\u3040-\u9fff]{0,4}"
AUTOMATIC_REPLY = (
    rf"(?:{_AUTO}[ -]{{0,2}}(?:e?-?mail[ -]?|bir )?{_REPLY}{_ENDING}|(?:{_AUTOMATIC} |auto-?)answer"
    rf"|{_REPLY}\w{{0,3}} ?{_AUTOMATIC}|ตอบกลับอัตโนมัติ"
    r"|(?:auto(?:matically)?|system|computer)[ -]generated (?:reply|response|answer|acknowledge?ment))"
)

# ---- bodies: one table for each thing that automatic answers say

AWAY = pattern(
    r"\b(?:out of (?:the |my )?office|on (?:vacation|holiday|annual leave|leave|maternity|parental)|away from (?:my"
    r"|the) "
    r"(?:office|desk|mail|email)|(?:i am|i'm|i will be|will be) (?:currently )?(?:away|out|absent|travel)"
    r"|(?:limited|no) access to (?:my )?e?-?mail|autorespon|auto-?reply|no longer (?:with|work|employed)|stängt"
    r"|lukket|gesloten|cerrad|chius"
    r"|(?:has )?left the (?:company|organi[sz]ation)|abwesen|nicht (?:im (?:büro|haus)|erreichbar)|im urlaub"
    r"|in elternzeit|(?:office|company|we) (?:is|are|will be) closed|geschlossen|außer haus|nicht mehr (?:für|bei"
    r"|in) .{0,40}(?:tätig|beschäftigt)"
    r"|wieder (?:da|erreichbar|im büro)|absent|en (?:congés?|vacances|déplacement)|de retour|bureau ferm|ausente"
    r"|ne (?:travaille|fait) plus|ya no (?:trabaja|forma)|non lavora più|não (?:trabalha|faz) mais|już nie pracuje"
    r"|de vacaciones|fuera de la oficina|de f[eé]rias|fora do escrit|in ferie|fuori ufficio|assente|rientr"
    r"|afwezig|op vakantie|niet op kantoor|niet (?:meer|langer) werkzaam|nieobecn|na urlopie|poza biurem|semester"
    r"|frånvarande|på ferie|(?:holder|har) ferie|slutat|tilbake|tillbaka|lomalla|poissa|nepřítom|dovolen|szabadság"
    r"|în concediu|izin"
    r"|tatilde|в отпуске|отсутств|больше не работает|у відпустці)|不在|休暇|外出|退職|休假|出差|离职|不在办公室"
    r"|휴가|부재|퇴사"
)
"""What absent people have their program say, and say themselves."""

RECEIVED = pattern(
    r"thank you for (?:your (?:e-?mail|message|inquiry|enquiry|request)|contacting|writing|reaching)"
    r"|(?:we (?:have|.ve)|has been|have been) received|received your (?:e-?mail|mail|message)"
    r"|(?:ticket|case) (?:#|\(#|number|id|has been)"
    r"|request (?:#|\(|has been|received)|\[request received|support (?:request|ticket)"
    r"|eingangsbestätigung|ihre (?:anfrage|nachricht|e-?mail) (?:ist|wurde|haben)|vielen dank für ihre (?:anfrage"
    r"|nachricht|e-?mail)|accus[eé] (?:de )?réception|bien reçu votre|merci (?:de|pour) votre (?:message|mail|demande)"
    r"|acuse de recibo|hemos recibido|gracias por (?:su|contactar|escribir)|recebemos (?:a )?su|obrigad[oa] p"
    r"|abbiamo ricevuto|grazie per (?:aver|il suo|la sua)|ontvangstbevestiging|bedankt voor (?:uw|je)|otrzymaliśmy"
    r"|dziękujemy za|tack för ditt|tak for din|takk for din|(?:ваше|ваш) .{0,30}получен|спасибо за обращение"
    r"|благодарим за|受け付け|受付(?:完了|いた)|お問い合わせ(?:いただき|ありがとう)|已收到|收到您"
)
"""What is said at once to whoever writes; shops and newsletters say the like."""

_BEGINS = (
    r"(?:¶ (?:sehr geehrte|guten|hallo|liebe|dear|hello|hi|geachte|beste|madame|chère?)\b[^¶.!?,]{0,50}, ?"
    r"|[¶.!?。！？*※|–—-] ?)(?:[^\W\d]{1,14} ?: )?(?:please note:? (?:that )?)?"
)
_THIS = (
    r"(?:this|it|das|dies\w{0,2}|dit|deze|ceci|cet?|este|esta|esto|isto|questo|questa|to|toto|ta(?:to)?|niniejsza"
    r"|tento|detta|det|denne|dette|tämä|ez|aceasta?|acesta?|это|данное|настоящее|цей|це|това|ова|bu|αυτ\w|see|šis|tai|ovo"
    r"|aquest|email ini|đây là)"
    r"(?: (?:e-?mail|mail|message|reply|response|note|nachricht|antwort|mensaje|correo|mensagem|messaggio|courriel"
    r"|wiadomość|meddelande|besked|viesti|üzenet|mesaj|письмо|сообщение|e-?posta|bericht))?"
)
_ARTICLE = r"(?:(?:just |only )?an?|eine?|une?|una|uma|een|ett?|en|egy|um|un|o|bir|μια)"
_IS = (
    rf"(?:{_THIS}(?: (?:is|was|ist|war|est|es|é|è|jest|je|är|er|on|este|е|είναι|ir|yra|является)(?: {_ARTICLE})?"
    rf"| {_ARTICLE})"
    rf"|(?:it's|c'est|it’s|c’est)(?: {_ARTICLE})?|это|це|to|bu(?= \w{{4,12}} bir )|هذ[اه]|זו\w{{0,2}}|זהו"
    r"|این(?: یک)?|ini adalah|đây là (?:thư|email|tin nhắn)|यह एक)"
)
"""`This is an`; not `this` alone: `This automatic reply came at night` is what a person says."""

_RECEIPT = (
    r"(?:(?:confirmation|notification) (?:of (?:the )?receipt|that (?:we|your (?:e-?mail|mail|message|request"
    r"|[ei]nquiry)) )|(?:eingangs|empfangs)bestätigung|ontvangstbevestiging|mottagningsbekräftelse"
    r"|(?:kvittering|bekreftelse|bekræftelse|bekräftelse) på att? )"
)
STATED = pattern(
    rf"{_BEGINS}(?:{_IS} (?:{AUTOMATIC_REPLY}|{_AUTO}[ -]{{0,2}}{_RECEIPT})"
    r"|this is an acknowledge?ment (?:e-?mail|mail|for|of|that))"
    r"|(?:you have|you've) (?:replied|responded|written|sent an? \w+) to an un(?:monitored|attended) (?:e-?mail"
    r"|mailbox|inbox|address|account)"
    rf"|^¶ ?[\[(*]{{0,3}}{AUTOMATIC_REPLY}\s?(?:[:\])¶*]|$)|\byou are receiving this {AUTOMATIC_REPLY}"
    rf"|{_BEGINS}{_THIS} (?:has been|was|is) (?:automatically )?(?:generated|sent|created)(?: automatically)?"
    r" in (?:response|reply) to your"
    rf"|{_BEGINS}{_IS} {_AUTO}[ -]{{0,2}}(?:e-?mail|message) to (?:acknowledge|confirm|let you know that (?:we|your))"
    r"|นี่(?:คือ|เป็น).{0,8}ตอบกลับอัตโนมัติ"
    r"|(?:この|本|当)(?:メール|メッセージ|返信)[はも]?.{0,8}自動(?:的に)?(?:返信|応答)"
    r"|[此本这這](?:封|是)?(?:邮件|郵件|信件?)?(?:是|为|為|系)?.{0,6}自[动動](?:回[复覆復]|答[复覆])"
    r"|[이본] ?(?:메일|이메일|메시지)[은는] ?자동 ?(?:회신|응답|답장)"
)
"""A sentence in which a mail says that it is an automatic reply; not what somebody tells of one."""

_SENT = (
    r"(?:sent|send|gesend|generat|gener|génér|gegenere|erstell|erzeug|versand|versend|verschick|verzond|aangemaakt"
    r"|correo|courriel|envoy|envi|invia|creat|cread|creé|criad|gerad|message|messag|mensa|mesaj|e-?mail|nachricht|bericht|meddel"
    r"|skick|melding|besked|viest|lähetet|üzenet|küldött|wygenerow|wysłan|wiadomoś|vygenerov|odeslán|odoslan|zpráv"
    r"|сформиров|отправ|создан|сообщен|письм|уведомлен|згенер|створен|надісл|изпрат|gönder|oluştur|μήνυμα|poslan"
    r"|sporočil|poruk|missatge|dikirim|secara|laišk|ziņ|kiri|送信|配信|生成|发送|发出|發送|寄出|발송|전송|생성)"
)
GENERATED = pattern(
    rf"{_BEGINS}(?:please do not (?:reply|respond) to )?(?:{_THIS}"
    r"|wiadomość|e-?mail|mensaje|mensagem|messaggio|message|сообщение|письмо|správa|zpráva)"
    rf"[^.!?¶\"“„«:]{{0,40}}(?: {_AUTO}[ -]{{0,2}}(?:olarak |bir )?{_SENT}|{_SENT}\w{{0,10}} {_AUTO})"
    r"|[本この当]メール(?:は|アドレスは)?.{0,12}自動(?:送信|配信|生成|的に)"
    r"|[此本这該该](?:封|为|為)?(?:邮件|郵件|信件?)?[^。¶]{0,8}自[动動](?:发送|发出|發送|發出|生成|寄出)"
    r"|(?:이|본) ?(?:메일|이메일|메시지)[은는] ?[^.¶]{0,16}자동(?:으로)? ?(?:발송|전송|생성)"
)
"""A sentence in which a mail says that a program sent it, as programs that pass on a person's words do too."""

THANKS = pattern(
    r"thank(?:s| you)(?: very much)? for (?:your (?:e-?mail|mail|message|[ei]nquiry|request|interest|note"
    r"|order|application|registration|booking|submission|report)"
    r"|contacting|writing|reaching|getting in touch|applying|registering|the (?:e-?mail|message))"
    r"|(?:vielen|herzlichen)? ?dank für (?:ihre?n?|die|deine) (?:nachricht|e-?mail|mail|anfrage|mitteilung|kontakt"
    r"|bestellung|bewerbung|anmeldung|buchung|auftrag)"
    r"|merci (?:de|pour) (?:votre|vous|nous|ton)|nous vous remercions|gracias por (?:su|tu|contactar|escribir|ponerse)"
    r"|obrigad[oa] p(?:or|elo|ela)|agrade[cç](?:emos|o|ido) (?:o|a|pel)|grazie per (?:il|la|aver|averci)"
    r"|la ringraziamo per|bedankt voor|dank (?:u|je) (?:wel )?voor|dziękuj(?:ę|emy) za|děkuj(?:i|eme) za"
    r"|ďakujem(?:e)? za|köszön(?:öm (?:a|az|meg)|jük)|mulțumi(?:m|esc) pentru|tack för|tak for|takk for|kiitos|kiitämme"
    r"|спасибо за|благодар\w{1,3} (?:вас )?за|дякую?є?мо? за|teşekkür|hvala (?:na|za|vam)|ευχαριστούμε για|terima kasih"
    r"|cảm ơn|σας ευχαριστούμε|gràcies per|주셔서 감사합니다|ありがとうございます|お問い合わせいただき"
    r"|感谢您|感謝您|谢谢您"
)
"""What opens nearly every automatic answer, and many others."""

_YOURS = r"(?:e-?mail|mail|message|request|[ei]nquiry|submission|query|question|ticket|case)"
_THEN = r"(?=\W{0,2}(?:[.,!;(#¶:\"„«“。]|$|(?:and|und|et|y|e|en|och|og|ja|и|i|a|is|which|but|dated|on)\b))"
"""What is said of it is no more than that: not `your request for ten chairs`."""

TAKEN = pattern(
    rf"\b(?:(?:received|got|confirms? (?:the )?receipt of) your {_YOURS}{_THEN}"
    rf"|your {_YOURS}(?: ?[(\[#\"„“][^.]{{0,60}}?| [a-z]{{0,6}}-?\d+)? (?:has"
    rf"|have|was) (?:been )?"
    r"(?:\w{1,12}ly )?(?:received|reached us|logged|registered|created|opened|submitted|queued|assigned)(?! by)"
    r"|(?:ticket|case|request for support|support request)\b.{0,30}? (?:has|was) (?:been )?(?:created|opened|logged"
    r"|registered|assigned)(?! by)|(?:created|opened|raised|logged) (?:a|the) (?:new )?(?:support )?(?:ticket|case)"
    rf"|haben (?:wir )?ihre? (?:e-?mail|mail|nachricht|anfrage"
    rf"|mitteilung)(?: vom .{{0,20}}?)? (?:dankend )?(?:erhalten|bekommen)"
    r"|ihre? (?:e-?mail|mail|nachricht|anfrage|mitteilung)(?: ist| wurde)? .{0,30}?(?:eingegangen|erhalten"
    r"|entgegengenommen)"
    rf"|(?:reçu|pris en compte|réception de) votre (?:message|mail|e-?mail|courriel|demande){_THEN}|votre (?:message"
    rf"|demande|mail"
    r"|courriel)(?: n°? ?\w+)? (?:a (?:bien )?été|est bien) (?:reçue?|enregistrée?|prise? en compte|parvenue?"
    r"|transmise?)"
    rf"|recibido su (?:mensaje|correo|consulta|solicitud){_THEN}"
    r"|su (?:mensaje|correo|consulta|solicitud) ha sido (?:recibid|registrad)"
    rf"|recebemos (?:a |o )?(?:sua?|seu) (?:mensagem|e-?mail|contat?o|contacto|solicitação|pedido){_THEN}"
    rf"|(?:ricevuto|preso in carico) (?:il|la|la sua|il suo|la tua) (?:messaggio|richiesta|e-?mail|mail){_THEN}"
    r"|uw (?:bericht|e-?mail|mail|aanvraag|vraag)(?: in goede orde)? (?:is )?ontvangen|je (?:bericht|e-?mail|vraag) "
    rf"(?:is )?ontvangen|otrzymaliśmy (?:twoj\w|państwa|pana) (?:wiadomość|e-?mail|zgłoszenie){_THEN}"
    r"|zgłoszenie .{0,30}?(?:przyjęte|zarejestrowane|utworzone)|(?:obdrželi|přijali) jsme (?:vaš|váš)"
    r"|(?:vaši?|váš) (?:zpráv\w|dotaz|e-?mail)(?: jsme)? (?:obdrželi|přijat)|megkaptuk (?:az? )?(?:üzenet|level"
    r"|megkeres)"
    r"|am primit (?:mesajul|solicitarea)|har (?:nu )?(?:mottagit|tagit emot|modtaget|mottatt|fått) (?:ditt|din|dit) "
    rf"(?:mejl|mail|e-?post|meddelande|henvendelse|ärende|e-?mail|besked){_THEN}"
    r"|(?:vastaanotta\w+|saaneet) (?:viesti|yhteydenotto)|viestisi on vastaanotettu"
    r"|(?:ваш\w?|твоё) (?:письмо|сообщение|обращение|запрос|заявка)(?: ?(?:№|#) ?\w+)? (?:было |был "
    r"|была )?(?:успешно )?"
    rf"(?:получен|принят|зарегистрирован|доставлен)|(?:получили|приняли) ваш\w? (?:письмо|сообщение|обращение|запрос"
    rf"|заявку)"
    r"|ваш\w? (?:лист|звернення|запит) (?:отриман|прийнят|зареєстр)"
    r"|(?:mesaj|talep|başvuru|e-?posta)\w{0,8} (?:bize ulaş|alın|tarafımıza)|zaprimili smo vaš\w?|prejeli smo vaš\w?"
    r"|primili smo vaš\w?|rebut (?:correctament )?(?:el|la) (?:teu|seu|teva|seva)"
    r"|telah kami terima|đã nhận được (?:yêu cầu|email|thư|tin nhắn)|λάβαμε το (?:μήνυμα|αίτημα)"
    r")|受け付け(?:いた|まし|完了)|受付(?:完了|いた)|承りました|(?:邮件|郵件|来信|信件|留言|咨询|申请"
    r"|请求)(?:我们)?已(?:经)?(?:收到|受理)|收到您的(?:邮件|郵件|来信|來信|留言|訊息)|접수되었"
)
"""That the very message has arrived, or got a number: not an invoice, nor a parcel."""

PROMISED = pattern(
    r"(?:get|be|come) back to you|(?:representative|agent|someone|somebody|specialist|advis[eo]r|colleague|member|team"
    r"|staff|engineer)s?\b.{0,30} will\b|(?:mitarbeiter\w*|kolleg\w+|team) (?:wird|werden)|担当者?より|"
    r"(?:will|'ll) (?:\w{1,9} )?(?:respond|reply|answer|be in touch|contact you|be reviewed|receive an? (?:reply"
    r"|response|answer)"
    r"|be processed|follow-?up)|(?:is|are) being (?:reviewed|processed)|we're on it|(?:repl(?:y|ies)|respond) within"
    r"|melden uns|(?:so (?:schnell|bald) wie|schnellst|baldmöglichst|in kürze|umgehend|werktag"
    r"|reihenfolge des eingangs)|we (?:usually|typically|normally|aim to) (?:reply|respond|answer)|dès que possible"
    r"|(?:dans les (?:meilleurs|plus brefs)|répondr(?:ons|a)|reviendrons vers|sous \d+ ?h)|a la (?:mayor )?brevedad"
    r"|lo antes posible|(?:responderemos|contestaremos)|le responder|o mais breve|assim que poss|entraremos em contato"
    r"|(?:prima|presto) possibile|(?:risponderemo|ricontatter)|zo (?:snel|spoedig) mogelijk|(?:reageren|antwoorden) wij"
    r"|wij (?:reageren|nemen)|werkdagen|najszybciej|możliwe|(?:odpowiemy|skontaktujemy)|co nejdříve|(?:odpovíme|ozveme)"
    r"|hamarosan|cel mai scurt|så (?:snart|fort|raskt) (?:som|vi)|hurtigst|snarest|(?:arkipäiv|mahdollisimman pian"
    r"|palaamme)|(?:в ближайшее время|в течение|ответим|свяжемся)|найближчим|en kısa sürede|u najkraćem|v najkrajšom"
    r"|το συντομότερο|najkraćem|odgovorit ćemo|javit ćemo|akan (?:membalas|menghubungi)|sẽ (?:phản hồi|liên hệ"
    r"|trả lời)|et respondrem|(?:営業日|折り返し|追って)|(?:尽快|儘快|工作日)|(?:빠른 시일|빠르게|영업일)"
)
"""That somebody, not the writer, will answer some time."""

NUMBERED = pattern(
    r"(?:ticket|case|request|reference|ref|inquiry|enquiry|tracking|vorgang\w{0,8}|anfrage|demande|dossier|solicitud"
    r"|caso|chamado|protocolo|richiesta|zgłoszeni\w|numer\w?|номер\w?|обращени\w|заявк\w|受付番号|工单|编号"
    r"|접수번호)\W{0,3}"
    r"(?:(?:id|number|no|nr|num|#|nummer|numéro|número|numero|номер)\W{0,4}(?:is |ist |est "
    r"|es )?)?[a-z]{0,6}[-#]?\d{2,}|\[#?[a-z]{0,10}[-#: ]{0,2}\d{3,}\]|^[a-z]{2,10}-\d+\b"
)
"""The number that a ticket system gave it, in the body or the subject."""

URGENT = pattern(
    r"urg[eê]n|emergenc|immediate (?:attention|assistance|help)|dringend|piln[yea]|naléhav|sürgős|brådskande|haste[rn]"
    r"|kiireelli|срочн|терміново|\bacil|hitn[eoia]|nujn[eoia]|επείγ|お急ぎ|緊急|紧急|急事|긴급|급한"
    r"|(?:please|kindly) (?:contact|direct|e-?mail|write|reach|address)\b[^.!?¶]{0,80}(?:@|\d{3}|future|all )"
    r"|fale com |(?:wenden sie sich|wende dich|kontaktieren sie|merci d[e']|veuillez|contacte|contattare|rivolgersi"
    r"|neem contact|proszę o kontakt|kontaktujte|forduljon|kontakta|kontakt|ota yhteyttä|обращайтесь|entre em contato)"
    r"[^!?¶]{0,80}(?:@|\d\d)|(?:meine|meiner|an) vertretung"
)
"""Whom to ask instead."""

UNREAD = pattern(
    r"(?:limited|no|without|intermittent|irregular) access|not (?:be |being )?(?:read|monitored|checked|forwarded"
    r"|checking|reading)|not (?:have|be having) access|slow (?:to|in) (?:respond|reply)|(?:replies|response) (?:will"
    r"|may) be (?:slow|delayed)|(?:do|will|can) not (?:be able to )?(?:read|check|answer)|on my return"
    r"|(?:when|once|as soon as) (?:i am|i'm|i|we are|we're|we) (?:back|return)"
    r"|upon my return|no longer (?:monitored|in use|active|read|valid)|been (?:automatically )?forwarded"
    r"|(?:nicht|weder|keine).{0,30}(?:weitergeleitet|gelesen|bearbeitet|zugriff|abgerufen)|nach meiner rückkehr"
    r"|(?:automatisch|wird) weitergeleitet|à mon retour|ne (?:sera|seront) pas (?:lu|traité|transf)|pas accès"
    r"|n'est plus (?:utilisée|consultée|valide|lue)|no se (?:revisa|lee|supervisa|atiende)|(?:no tendré|sin|sem"
    r"|não terei) acceso|acesso|(?:a mi|ao) (?:regreso"
    r"|vuelta|retornar|voltar)|al mio (?:rientro|ritorno)|non (?:avrò|sarà|verrà).{0,20}(?:accesso|letta|monitor)"
    r"|niet (?:doorgestuurd|gelezen)|(?:bij|na) mijn terugkeer|po powrocie|nie (?:będzie|jest|są) (?:czytan|przekaz)"
    r"|po (?:mém )?návratu|visszatér|när jag är tillbaka|når jeg er tilbage|når jeg er tilbake|palattuani"
    r"|после возвращения|по возвращении|döndüğümde|döndükten|確認(?:が|でき)|返信が遅|无法及时|無法及時|확인이 어렵"
)
"""That nobody reads it now."""

UNWATCHED = pattern(
    rf"{_BEGINS}(?:(?:you have|you've|your (?:reply|message) (?:was|has been|is)) .{{0,40}}(?:un(?:monitored|attended)"
    r"|not (?:monitored|read))|(?:this|the) (?:e-?mail )?(?:mailbox|inbox|address|account)\b.{0,50}? (?:is|was)"
    r" (?:not|no longer|never) (?:being )?(?:monitored|read|attended|checked|in use|active))"
)
"""That nobody reads what is sent to its address, said by the answer of that address."""

UNTIL = pattern(
    r"\b(?:return|back)\b|until|zurück|rückkehr|wieder|bis (?:zum )?|vom \d|retour|jusqu|hasta|vuel[vt]|regres|até"
    r"|volt|fino"
    r"|torn[oe]|rientr|terug|tot |powrot|wrac|do \d|zpět|vrát|vissza|revin|înapoi|tillbaka|tilbage|tilbake|palaa"
    r"|takaisin|\bверн|возвра|до \d|поверн|dön|kadar|vrać|vrnil|επιστρ|まで|戻|返回|回来|까지|복귀"
)
"""Until when."""

_UNANSWERED = (
    r"(?:(?:do not|don't|not) (?:reply|respond|answer)|can(?:not|'t) be (?:replied|answered)"
    r"|nicht (?:auf diese|antworten)|ne pas (?:y )?répondre|no responda|não responda|non rispond"
    r"|niet (?:te )?(?:beantwoord|reageren)|niet op d[ie]|nie odpowiadać|na (?:nią|ten .{0,12}) nie odpow|neodpovíd"
    r"|ne válaszol|(?:svara|går) inte|ikke (?:svar|besvar)|älä vastaa|не отвеча|не нужно отвечать"
    r"|отвечать .{0,20}не |не відповід|yanıtlamay|yanıt vermey|nu răspunde|返信(?:いただ|でき|しない|され)|请勿|請勿"
    r"|회신하지|발신 ?전용|vui lòng không|μην απαντ|ne odgovarajte|tidak membalas|no el respon)"
)
UNANSWERED = pattern(_UNANSWERED)
"""That no answer to it is wanted."""

FURNITURE = pattern(
    r"\b(?:dear|hello|guten|sehr geehrte|bonjour|madame|hola|estimad|olá|prezad|caro|ciao|buongiorno|gentile|geachte"
    r"|beste|dzień dobry|szanown|hej|kære|kära|hyvä|добрый день|здравствуйте|уважаем|merhaba|sayın|dobrý den|vážen"
    r"|tisztelt)"
    r"|(?:type|write) your reply above|reply above this|comments|repl(?:y|ying) to (?:this|the)"
    r"|(?:view|check|track) (?:your|the|this)|(?:office|business|opening|working) hours|frequently asked|wishes|regards"
    r"|auf diese (?:e-?mail|nachricht)|merci de ne pas|отвечать на|ご了承|回复此|future correspondence"
    rf"|this (?:id|number|reference)|{_UNANSWERED}"
)
"""What is said on the edge of such mails."""

CLOSING = pattern(
    r"(?<=\S )¶ (?:(?:mit |with |kind |best |many |beste |viele |freundliche |schöne |een |med |z |s |с )*"
    r"(?:freundlichen grüßen|regards|wishes|grüße|gruß|sincerely|faithfully|cordialement|cordiali saluti|saluti|saludos"
    r"|atentamente|atenciosamente|groet\w*|hälsning\w*|hilsen|terveisin|poważaniem|pozdrav\w*|уважением|saygılar\w*"
    r"|üdvözlettel|thanks|team|your|ihr|votre))[^¶]{0,20}(?=¶|$)"
)
"""After this comes who writes."""

AUTOMATIC_HEADS = frozenset(
    (
        *("auto", "otom", "avto", "awto", "outo", "аўта", "авто", "ауто", "αυτό", "αυτο", "sjál", "samo", "uath"),
        *("động", "phản", "unmo", "unat", "moni", "ackn"),
    )
)
"""The first four letters of a word without which nothing is found of STATED, GENERATED and UNWATCHED."""

HEADS = frozenset(
    (
        # Received, by language.
        *("rece", "logg", "regi", "crea", "open", "rais", "subm", "queu", "assi", "erha", "beko", "eing", "entg"),
        *("reçu", "pris", "enre", "parv", "tran", "reci", "rice", "pres", "ontv", "otrz", "przy", "zare", "utwo"),
        *("obdr", "přij", "megk", "prim", "mott", "tagi", "moda", "fått", "vast", "saan", "полу", "прин", "заре"),
        *("дост", "отри", "прий", "ulaş", "alın", "tara", "réce", "zapr", "prej", "λάβα", "rebu", "teri", "nhận"),
        # Away, by language.
        *("offi", "vaca", "holi", "annu", "leav", "left", "mate", "pare", "away", "abse", "trav", "acce", "long"),
        *("clos", "abwe", "büro", "haus", "erre", "urla", "elte", "täti", "besc", "gesc", "cong", "dépl", "reto"),
        *("bure", "trab", "ofic", "féri", "feri", "escr", "uffi", "asse", "rien", "lavo", "ause", "afwe", "vaka"),
        *("kant", "werk", "gesl", "nieo", "urlo", "biur", "prac", "seme", "från", "slut", "stän", "tilb", "till"),
        *("lukk", "loma", "pois", "nepř", "dovo", "szab", "conc", "izin", "tati", "отпу", "отсу", "рабо", "відп"),
        *("cerr", "chiu"),
    )
)
"""As much of TAKEN and AWAY. Most mails hold none, and are read no further."""
