"""Where a writer's own words end and a signature, a telephone's footer or a legal notice begins.

It looks at lines that are known to be the writer's own, from their end. A greeting and a name stay: they are the
writer's words. Only what a program appended is taken for a signature, and what nobody types into a letter.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.pattern import pattern

_MOST_LINES = 24
_MOST_LINES_UNSURE = 12
_MOST_LINES_OF_CARD = 14
_MOST_PIECES = 6
_NOTICE_MIN_CHARS = 80
_NOTICE_MAX_LINES = 60

_DELIMITER = pattern(r"[-—–_=*~]{1,80}|- --|-- -")
_CERTAIN = frozenset({"--", "- --", "-- -"})

_FOOTER = pattern(
    # Latin scripts: "sent from my ...", and the like with the device or the program behind it.
    r"[<(\[*]{0,3}(?:"
    r"sent (?:wirelessly )?(?:from|via|with|by|using|on the go) (?:my |an? |the )?\S"
    r"|(?:this message was )?sent (?:from|via) (?:mobile|phone)"
    r"|from my (?:i?phone|ipad|android|mobile|blackberry|samsung|galaxy|cell)|get outlook for |get bluemail for "
    r"|download outlook|please excuse (?:any |my |the )?(?:brevity|typos|spelling)|typed on (?:my |a )"
    r"|composed with |sent securely |via newton mail|sent by "
    r"|\w{2,20} from mobile\b"
    r"|von (?:meinem?|unterwegs|mobile)\b.{0,60}gesendet|gesendet (?:von|mit|aus|über|via) "
    r"|diese nachricht wurde von .{0,80}gesendet|holen sie sich outlook|outlook für (?:ios|android)"
    r"|envoyé (?:depuis|de|à partir de|avec|par|sans fil) |télécharge[rz] outlook|obtenez outlook|obtenir outlook"
    r"|enviado (?:desde|de|do|da|a partir|con|com|via|mediante) |enviat des |obtener outlook|obtenga outlook"
    r"|obter o outlook"
    r"|inviato (?:da|dal|con|tramite) |scarica outlook|ottieni outlook"
    r"|verzonden (?:vanaf|met|via|vanuit) |verstuurd (?:vanaf|met|via|vanuit) |outlook voor "
    r"|sendt fra |sendt via |skickat från |skickat via |från min |hämta outlook|hent outlook|hanki outlook"
    r"|lähetetty |wysłan[eoay] (?:z|za|przy|ze) |pobierz outlook|odesláno z |získejte outlook|odoslané z "
    r"|trimis (?:de pe|din|de la|cu) |elküldve |küldve |(?:\w{1,12} )?(?:iphone|ipad)(?:om|mról|umdan"
    r"|dan)? (?:gönderildi|küldve)"
    r"|.{1,24}'?[ıiuü]mdan gönderildi|gönderildi: |poslano (?:z|s|sa) |poslato "
    # Others.
    r"|отправлено (?:с|из|через|при) |послано с |надіслано (?:з|із|через) |изпратено от |στάλθηκε από |εστάλη από "
    r"|נשלח מ|أُ?رسلت? من |تم الإرسال من |ارسال شده از |ส่งจาก|gửi từ |(?:đã|được) gửi từ |dikirim dari |dihantar dari "
    r"|发自|發自|從我的|从我的|我的 ?(?:iphone|ipad)|来自|取得 outlook|获取 ?outlook|下载 ?outlook"
    r"|(?:iphone|ipad|android|スマホ)から送信|私の ?(?:iphone|ipad)|outlook for (?:ios|android)|.{0,20}から送信"
    r"|나의 |내 (?:iphone|ipad|갤럭시)|.{0,20}에서 보냄"
    r")",
)  # fmt: skip
_FOOTER_MAX_CHARS = 160

_NOTICE = pattern(
    r"[*_>|\s]{0,5}(?:confidentiality|privileged (?:and|&) confidential|disclaimer|legal notice|important notice"
    r"|(?:the |any )?information (?:contained )?in (?:this|the) (?:e-?mail|message|communication|transmission)"
    r"|(?:this|the) (?:e-?mail|electronic mail|message|communication|transmission|information).{0,120}"
    r"(?:confidential|privileged|intended (?:only|solely|for)|addressee|virus)"
    r"|if you (?:have received this|are not the (?:intended|named|addressee)|received this)"
    r"|please consider the environment|think (?:green|before you print)"
    r"|diese (?:e-?mail|nachricht|information).{0,120}(?:vertraulich|bestimmt|geschützt)|vertraulichkeits"
    r"|der inhalt dieser e-?mail|bitte (?:prüfen|denken|überlegen) sie.{0,60}(?:umwelt|ausdruck)"
    r"|ce (?:message|courriel|courrier|mail).{0,120}(?:confidentiel|destinat|exclusi)|avis de confidentialité"
    r"|este (?:mensaje|correo|e-?mail|mensagem).{0,120}(?:confidencial|destinat|exclusiv)|aviso (?:legal|de conf)"
    r"|esta (?:mensagem|mensaje|comunicación).{0,120}(?:confidencia|destinat)"
    r"|(?:questo messaggio|questa e-?mail|il contenuto di questa|le informazioni contenute).{0,120}(?:riservat"
    r"|confidenzial|destinat)"
    r"|(?:dit bericht|deze e-?mail|de informatie).{0,120}(?:vertrouwelijk|bestemd)"
    r"|(?:detta|denne) (?:e-?mail|meddelande|mail|e-post).{0,120}(?:konfidentiel|fortrolig|avsedd)"
    r"|(?:ta wiadomość|niniejsza wiadomość|treść tej wiadomości).{0,120}(?:poufn|przeznaczon)"
    r"|(?:это сообщение|настоящее сообщение|данное сообщение|информация).{0,120}(?:конфиденциальн|предназначен)"
    r"|本邮件|本郵件|此电子邮件|このメール(?:に|は).{0,60}(?:機密|秘密))",
)  # fmt: skip

_CLOSING = pattern(
    r"(?:(?:with )?(?:(?:very )?(?:best|kind|warm|kindest|warmest|many)(?: (?:regards|wishes))?|regards|cheers"
    r"|sincerely"
    r"|yours(?: sincerely| faithfully| truly)?|thanks(?: (?:and|&) .{0,20})?|thank you|cordially|respectfully"
    r"|br|rgds|kr"
    r"|(?:mit )?(?:freundlichen?|besten?|herzlichen?|lieben?|viele|schönen?|sonnigen?) (?:grüßen?|grüssen?|gruß|gruss)"
    r"|mfg|lg|vg|beste grüße aus .{1,20}|hochachtungsvoll|cordialement|bien (?:cordialement|à vous)"
    r"|sincères salutations"
    r"|meilleures salutations|salutations(?: distinguées)?|amicalement|saludos(?: cordiales)?|un (?:cordial )?saludo"
    r"|atentamente|cumprimentos|atenciosamente|att|abraços|com os melhores cumprimentos|cordiali saluti"
    r"|distinti saluti|saluti|met vriendelijke groet(?:en)?|mvg|groeten|groet|med vänlig hälsning(?:ar)?|mvh|hälsningar"
    r"|med venlig hilsen|vennlig hilsen|med vennlig hilsen|ystävällisin terveisin|terveisin|pozdrawiam"
    r"|z poważaniem|s pozdravem|s pozdravom|üdvözlettel|cu stimă|с уважением|з повагою|saygılarımla"
    r"|με εκτίμηση))[ ,.!;:–-]{0,4}"
)  # fmt: skip
_TELEPHONE = pattern(
    r"(?:[|•·*\s]|\b(?:t|p|m|f|d|c|o)[.:]?\s|\b(?:tel|telefon|telephone|phone|mobile?|mobil|cell|fax|handy"
    r"|direct|office|"
    r"tél|téléphone|móvil|teléfono|telefono|cellulare|тел|電話|电话|手机)[a-z.]{0,8}\s?[.:]?\s?)[+(\d][\d\s()/.–-]{6,24}\d"
)
_CONTACT = pattern(
    r"https?://|www\.|[\w.+-]{1,64}@[\w-]{1,63}\.|\b(?:gmbh|ltd|inc|llc|s\.?a\.?r\.?l|ag|b\.v|s\.r\.l|plc)\b"
)
_SENTENCE = pattern(r"[a-zß-ÿа-я]{3}[.!?] [A-ZÀ-ÞА-Я]|[?!]$")
_DASHED_NAME = pattern(r"(?:[-—–~]{1,3}|[-—–] )(?P<name>[^\W\d_][\w'’]*\.?(?: [^\W\d_][\w'’]*\.?){0,2})\.?")


def signature_start(lines: Sequence[str], raws: Sequence[str]) -> int:
    """Return the index of the first line of the signature; as many as there are lines for none.

    `lines` are stripped, `raws` the same lines as they came: only the delimiter of RFC 3676, 4.3 has a space behind it.
    A signature never takes the first line that says anything.
    """
    first = next((at for at, line in enumerate(lines) if line), len(lines))
    end = len(lines)
    for _ in range(_MOST_PIECES):
        if (earlier := _earlier(lines, raws, first, end)) == end:
            break
        end = earlier
    return end if end < len(lines) and any(lines[end:]) else len(lines)


def is_footer(line: str) -> bool:
    """Whether a line is what a mobile mail program appends, in some 25 languages: a device, and at most an excuse."""
    if len(line) > _FOOTER_MAX_CHARS or (found := _FOOTER.match(line.lower())) is None:
        return False
    rest = _LINK.sub(" ", line.lower()[found.end() :])
    device, excuse = _CLAUSE.split(rest, 1) if _CLAUSE.search(rest) else (rest, "")
    is_excused = not excuse.strip(" .!)>]") or _EXCUSE.search(excuse) is not None
    return is_excused and (len(device.split()) <= _MOST_WORDS_OF_DEVICE or _EXCUSE.search(device) is not None)


_MOST_WORDS_OF_DEVICE = 9
_CLAUSE = pattern(r"[,;:.!–—-]\s")
_LINK = pattern(r"[<(\[]?https?://\S*|[<(\[]mailto:\S*")
_EXCUSE = pattern(
    r"excuse|typo|brevity|brief|pardon|forgive|sorry|apolog|spelling|misspell|autocorrect|autokorrektur|tippfehler|kürze"
    r"|^an? \S{2,20} (?:\S{1,10} )?(?:smartphone|phone|tablet|device)$"
    r"|kurz|entschuldig|verzeih|bref|fautes|pardonn|désolé|disculp|perdon|errores|scus|errori|desculp|erros|erro|fouten|kort"
)


def _earlier(lines: Sequence[str], raws: Sequence[str], first: int, end: int) -> int:
    """Return where the last piece of the signature above `end` begins; `end` where there is none."""
    last = _last_words(lines, end)
    if last <= first:
        return end
    finders = (_below_delimiter, _mailing_list, _footer, _notice, _card, _dashed_name)
    return next((at for find in finders if (at := find(lines, raws, first, last)) is not None and at > first), end)


def _last_words(lines: Sequence[str], end: int) -> int:
    return next((at for at in range(end - 1, -1, -1) if lines[at]), -1)


def _below_delimiter(lines: Sequence[str], raws: Sequence[str], first: int, last: int) -> int | None:
    """The last delimiter: more than a signature's worth of lines below it are a letter that goes on."""
    words = 0
    for at in range(last, first, -1):
        words += bool(lines[at])
        if words > _MOST_LINES:
            return None
        if raws[at] == "-- " or (words <= _MOST_LINES_UNSURE and _is_delimiter(lines[at], lines[at + 1 : last + 1])):
            return at
    return None


def _is_delimiter(line: str, below: Sequence[str]) -> bool:
    """Two dashes above short lines that ask nothing; any other rule only above contacts, without a sentence."""
    if _DELIMITER.fullmatch(line) is None or any(len(one) > 100 for one in below):
        return False
    if line in _CERTAIN:
        return not any(one.endswith("?") for one in below)
    text = [one.lower() for one in below if one]
    has_contact = any(_CONTACT.search(one) or _TELEPHONE.search(f" {one}") for one in text)
    is_name = len(text) <= 2 and len(line) <= 3 and line[0] in "-—–_"
    return bool(text) and (has_contact or is_name) and not any(_is_sentence(one) for one in below)


def _is_sentence(line: str) -> bool:
    return _SENTENCE.search(line) is not None or (line.endswith((".", "!", "?", ":")) and len(line.split()) >= 4)


def _mailing_list(lines: Sequence[str], raws: Sequence[str], first: int, last: int) -> int | None:
    for at in range(max(first, last - 8), last):
        rule = lines[at]
        if len(rule) >= 20 and not rule.strip("_-=~"):
            below = " ".join(lines[at + 1 : at + 4]).lower()
            return at if "mailing list" in below or "mailman" in below or "unsubscribe" in below else None
    return None


def _footer(lines: Sequence[str], raws: Sequence[str], first: int, last: int) -> int | None:
    if is_footer(lines[last]) or not lines[last].strip("ᐧ "):
        return last
    return None


def _notice(lines: Sequence[str], raws: Sequence[str], first: int, last: int) -> int | None:
    """A legal notice is a paragraph of its own, and long."""
    at = last
    while at > first and lines[at - 1] and last - at < _NOTICE_MAX_LINES:
        at -= 1
    paragraph = " ".join(lines[at : last + 1])
    if at > first and len(paragraph) >= _NOTICE_MIN_CHARS and _NOTICE.match(paragraph[:400].lower()):
        return at
    return None


def _card(lines: Sequence[str], raws: Sequence[str], first: int, last: int) -> int | None:
    """The business card below `closing, name`: it holds a telephone number, and no sentence."""
    low = max(first, last - _MOST_LINES_OF_CARD)
    closing = next((at for at in range(last - 1, low - 1, -1) if _CLOSING.fullmatch(lines[at].lower())), None)
    if closing is None:
        return None
    words = [at for at in range(closing + 1, last + 1) if lines[at]]
    card = words[1:]
    if not card or len(lines[words[0]]) > 60:
        return None
    if any(len(lines[at]) > 120 or _SENTENCE.search(lines[at]) for at in card):
        return None
    text = [lines[at].lower() for at in card]
    has_telephone = any(_TELEPHONE.search(f" {line}") for line in text)
    return card[0] if has_telephone and any(map(_CONTACT.search, text)) else None


def _dashed_name(lines: Sequence[str], raws: Sequence[str], first: int, last: int) -> int | None:
    """`-Anna` as the last line: not one of several that begin with a dash."""
    found = _DASHED_NAME.fullmatch(lines[last])
    if found is None or len(lines[last]) > 40 or not all(word[0].isupper() for word in found["name"].split()):
        return None
    dashes = sum(1 for line in lines[max(0, last - 12) : last] if line[:1] in ("-", "—", "–", "*", "•"))
    return None if dashes else last
