"""Why a mail came back: the status code and the words of a stranger's server, made into one of a few causes.

Pure tables and one decision. RFC 3463 and its registry (RFC 5248) for codes, RFC 5321 section 4.2.3 for replies, RFC
7505 for domains without mail; the words are those that servers and providers send, in the languages in which they do.
"""

from __future__ import annotations

import re
from enum import StrEnum

from core.pattern import pattern

_WORDS_CHARS = 4000


class Cause(StrEnum):
    """Why a copy was not delivered."""

    NO_ADDRESS = "no_address"
    NO_DOMAIN = "no_domain"
    DISABLED = "disabled"
    FULL = "full"
    TOO_LARGE = "too_large"
    BLOCKED = "blocked"
    """Whoever sends is not welcome: the server's reputation, a block list, too many mails at once."""
    SPAM = "spam"
    POLICY = "policy"
    """The receiver's rules: who may write there, relaying, authentication."""
    LOOP = "loop"
    EXPIRED = "expired"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"

    @property
    def words(self) -> str:
        return _WORDS[self]

    @property
    def is_of_address(self) -> bool:
        """Whether the address itself is at fault, and will be the next time too."""
        return self in (Cause.NO_ADDRESS, Cause.NO_DOMAIN, Cause.DISABLED)


_WORDS = {
    Cause.NO_ADDRESS: "there is no such address",
    Cause.NO_DOMAIN: "its domain takes no mail or does not exist",
    Cause.DISABLED: "the address is no longer in use",
    Cause.FULL: "the mailbox is full",
    Cause.TOO_LARGE: "the mail is too large",
    Cause.BLOCKED: "the server that sends is blocked or slowed down there",
    Cause.SPAM: "it was taken for spam or for dangerous",
    Cause.POLICY: "the receiver's rules refuse it",
    Cause.LOOP: "it went round in a circle",
    Cause.EXPIRED: "it could not be delivered in time",
    Cause.UNREACHABLE: "the receiver's server could not be reached",
    Cause.UNKNOWN: "no reason that is known",
}

_BY_STATUS = {
    **dict.fromkeys(("1.1", "1.3", "1.4"), Cause.NO_ADDRESS),
    **dict.fromkeys(("1.2", "1.10", "4.4", "4.310", "4.312"), Cause.NO_DOMAIN),
    **dict.fromkeys(("1.6", "2.1", "1.9"), Cause.DISABLED),
    **dict.fromkeys(("2.2", "3.1"), Cause.FULL),
    **dict.fromkeys(("2.3", "3.4"), Cause.TOO_LARGE),
    **dict.fromkeys(("1.7", "1.8", "2.4"), Cause.POLICY),
    "4.6": Cause.LOOP,
    "4.7": Cause.EXPIRED,
    **dict.fromkeys(("4.1", "4.2", "4.3", "4.5", "3.2", "4.316"), Cause.UNREACHABLE),
    **dict.fromkeys(("7.25", "7.28"), Cause.BLOCKED),
}
_CERTAIN_STATUS = frozenset({"2.2", "2.3", "3.4", "4.6", "4.7", "1.7", "1.8"})
"""Whatever the words beside say: these are given for one cause alone."""

_TABLE: tuple[tuple[Cause, str], ...] = (
    # Refusals of the sender, which speak of users and domains too.
    (Cause.POLICY, r"bad ?sender|sender (?:e-?mail )?address (?:rejected|refused|verification)|sender (?:domain"
                   r"|verify|not|is not"
                   r"|denied)|(?:domain of )?sender .{0,60}(?:does not|doesn't) (?:exist|resolve)"
                   r"|(?:invalid|null|bogus|empty envelope|unroute?able) sender|(?:bogus|verify) mail ?from"
                   r"|mail from (?:not|is)|sender e-?mail|(?<!recipient )verification failed for|not (?:a )?local host"
                   r"|not a gateway|from: domain|emetteur invalide|list of allowed rcpthost|non-?members?\b"
                   r"|members?.only"
                   r"|not subscribed|\bbatv\b|bouncedeny|fully.qualified"),
    (Cause.BLOCKED, r"\byour ip\b|spamhaus"),
    (Cause.NO_ADDRESS, r"recipient address(?:es)? rejected: access denied|recipnotfound"
                       r"|all recipient addresses rejected"),
    (Cause.FULL, r"quota|mail ?box (?:is |was )?(?:almost |currently )?full|box(?:en)? (?:is )?full|mailfull"
                 r"|full (?:mail ?box|inbox)|(?:folder|inbox|account|mailbox) (?:is |are )?full"
                 r"|disk (?:space|full)|user has exceeded|too much mail|enough (?:disk )?space|space has been used"
                 r"|(?:receiving|mailbox|storage) limit|over (?:its|the) .{0,20}limit"
                 r"|(?:insufficient|not enough|exceed\w*|exhausted|out of|no) .{0,30}(?:storage|space)"
                 r"|mailbox .{0,30}(?:size limit|exceed)|mailbox <?[^\s<>]{1,80}>? is full"
                 r"|storage .{0,20}exceed|too many mails? (?:stored|in)|recipient storage"
                 r"|(?:postfach|posteingang) .{0,20}voll|zu ?viele mails"
                 r"|speicherplatz|bo[iî]te .{0,40}pleine|plein(?:e)?\b|buz[oó]n .{0,30}llen[oa]"
                 r"|casella .{0,30}piena|caixa .{0,40}cheia|(?:postvak|mailbox) .{0,20}vol\b|skrzynka .{0,30}(?:pełn"
                 r"|przepeł)"
                 r"|переполнен|превышен.{0,20}(?:квот|лимит|размер)|容量|いっぱい|一杯|已满|已滿|空间不足|空間不足"),
    (Cause.TOO_LARGE, r"(?:message|mail|e-?mail|file|it) (?:is |was )?too (?:big|large|long)|size limit|message size"
                      r"|(?:maximum|max) .{0,30}size|larger than .{0,30}(?:limit|maximum|allowed)"
                      r"|exceeds? .{0,40}size|zu gro(?:ß|ss)|trop (?:volumineu|gros|grand)|demasiado grande"
                      r"|troppo grande|te groot"
                      r"|слишком больш|サイズ|邮件过大|郵件過大"),
    (Cause.LOOP, r"too many hops|hop ?count|(?:loops?|points) back|mail (?:forwarding )?loop|looping|\bloop detected"
                 r"|(?:routing|forwarding) loop"),
    (Cause.NO_ADDRESS, r"(?:bad|valid)(?:rcpt|recipient)to|not present in|address(?:es)? (?:was|were) unknown"
                       r"|not an? active|(?:has )?no (?:local )?mail ?box\b(?! space)|no ?one (?:at|with) th|notfound"
                       r"|non.?existent (?:user|mail ?box|address)|missing home|name (?:is|was) not found"
                       r"|(?:recipient|mail ?box|user)(?: <[^<>]{1,80}>)? not (?:ok|present)|invalid destination add"
                       r"|n'existe plus"
                       r"|userunknown|unrecogni[sz]ed.{1,3}(?:recipient|user|address|o/?r.name)"
                       r"|(?:account|user) (?:is )?(?:unavailable|not available)"
                       r"|(?:nicht|non?|n[aã]o) .{0,40}(?:verzeichnis|annuaire|directorio|diret[oó]rio|rubrica)\b"
                       r"|(?:user|recipient|mailbox|mail ?box|account|address|addressee|alias|username|person|usuario"
                       r"|adresse)(?:\(?s\)?)?"
                       r"(?: name| address| account| id| you \w+)?(?: <?[^\s<>]{1,80}>?)?(?: \([^()]{1,80}\))?,?"
                       r" (?:(?:is|was|are|has|does|do|cannot|can not|could|can) )?(?:not (?:be )?(?:found|known"
                       r"|exist|listed|valid|recogni|a valid|here|local)|unknown|invalid|n[o']t exist|non.?exist"
                       r"|incorrect)"
                       r"|unknown .{0,25}(?:user|recipient|address|mail ?box|account|local.?part|login|addressee|alias)"
                       r"|no (?:such|valid) (?:[\w-]{1,20} ){0,2}(?:user|recipient|mail ?box|address|account|person"
                       r"|addressee|alias|name|id|object|mail drop)"
                       r"|no (?:mail ?box|account|user|recipient)s? (?:here|by|with|for|found|named|under|in)|(?:not"
                       r"|isn't|is no) (?:a |our |an )?(?:valid|known|registered|local|correct|existing) (?:user"
                       r"|recipient|mail ?box|address|account|e-?mail|customer)"
                       r"|invalid[ -](?:recipient|mail ?box|user|address|e-?mail|final|account|rcpt|local|to:)"
                       r"|does ?n.t (?:have|exist)|does not (?:exist|have (?:a|an) )|didn't exist"
                       r"|doesn.t have (?:a|an) .{1,60}account|address (?:not found|couldn.t be found|wasn.t found)"
                       r"|(?:couldn't|could not|can't|cannot) (?:be found|find (?:user|recipient|mailbox|address)"
                       r"|resolve (?:user|name))"
                       r"|wasn.t found at|not found (?:in|at|on) .{0,60}(?:director|server|system|domain)"
                       r"|not (?:listed|found) in .{0,40}(?:director|book|list)|not our customer|incorrectly addressed"
                       r"|recipients? cannot be verified|wrong recipient|recipient unrecogni"
                       r"|undeliverable address(?!:)|<[^<>]{1,80}> not found|can.t accept user"
                       r"|mailbox <?[^\s<>]{1,80}@[^\s<>]{1,80} (?:is )?unavailable|in name directory"
                       r"|not e-?mail address|recipients? (?:is|was|were) undeliverable|not found recipient"
                       r"|i cannot deliver mail for|archived recipient|illegal (?:user|recipient|alias)"
                       r"|unable to find .{0,10}(?:user|recipient)"
                       r"|several matches .{0,10}(?:user|name|recipient|mailbox)"
                       r"|not a member of (?:the )?domain|address lookup .{0,30}failed|did not (?:exactly )?match an"
                       r"|(?<!sender )address rejected(?!\s?[:;])|bad destination mailbox|bad[ -](?:address|recipient"
                       r"|mailbox)"
                       r"|unrouteable address|no valid recipient|not on (?:this|our) (?:system|server)"
                       r"|mailbox (?:unavail?able|not available|is unavailable|name not allowed)"
                       r"|unavailable.{0,20}or not local|mail-?box .{0,10}not (?:here|local)"
                       r"|wrong or no longer valid|no matches to nameserver"
                       r"|no existe|n.existe pas|inconnue?|destinataire invalide|introuvable|existiert (?:nicht"
                       r"|leider)|(?:nicht"
                       r"|nie) vorhanden|unbekannt|nicht gefunden|keine? g(?:ü|ue)ltige|non (?:recens|trouv|valide)"
                       r"|non esiste|nessun utente|(?:destinatario|indirizzo) errat|sconosciut|inesistent"
                       r"|n[aã]o existe|desconhecid"
                       r"|inexistente|desconocid"
                       r"|bestaat niet|onbekend|niet gevonden|nie istnieje|nieznan|(?:brak|nie ma) takiego"
                       r"|konto niedost"
                       r"|не существует|не найден|неизвестн|нет такого|見つかりません|存在しません|宛先不明"
                       r"|あて先不明|リストにありません|不存在|找不到|查无此|无此用户|不明なユーザ"
                       r"|ok(?:ä|a)nd (?:mottagare|användare)|finns inte|ukjent|ukendt|findes ikke|neexistuj|neznám"
                       r"|ismeretlen|nem létez|bulunamad|mevcut değil|não encontrad|no encontrad"),
    (Cause.DISABLED, r"(?<!temporarily )(?:disabled(?! temporar)|in-?activ(?!it|idad)|de-?activated|suspended)"
                     r"|not activ|locked (?:because of|due to|for)"
                     r"|discontinued|no longer (?:active"
                     r"|in use|valid|available|exist|with|employed|work|accept|used|on|here|at"
                     r"|an? (?:active|valid|known|user|mailbox|member|customer|employee))"
                     r"|(?:account|mailbox|user|address)(?: status)? (?:is |has |was |has been |have been )?(?:closed"
                     r"|locked|expired|terminated|removed|deleted|cancel|frozen|moved)|has moved|been replaced by"
                     r"|archiv[eé]e|suspend the service|not currently (?:being )?accept|nieaktywn"
                     r"|indirizzo .{0,20}bloccat|deaktiviert"
                     r"|désactivé|(?:casilla|cuenta|buz[oó]n|conta|caixa|casella"
                     r"|compte) .{0,40}(?:expir"
                     r"|caduc|suspend|cancel|cerrad|encerrad|bloque|bloccat|chius|ferm[ée]|scadut|supprim)"
                     r"|gesperrt|deshabilitad|desativad|disattivat|заблокирован|отключен|停用|無効|已被?禁用"),
    (Cause.NO_DOMAIN, r"(?:host|domain)(?: or domain)?(?: ?name)?s? (?:(?! said).){0,80}(?:unknown|not found(?!, try)"
                      r"|(?:does not|doesn.t) (?:exist|resolve|accept mail)|n[o']t be found|invalid|is invalid"
                      r"|no longer)|(?:unknown|invalid|bad|illegal|no such|non-?existent) (?:host|domain"
                      r"|destination system)"
                      r"|name service error|nxdomain|find any host|find a mail (?:exchanger|server|host)"
                      r"|no (?:valid |usable )?mx\b|null ?mx|no mail exchanger|domain .{0,80}(?:couldn.t be found"
                      r"|isn.t)|unrouteable|unroutable|n.t handle mail for|no route found|domain must exist"
                      r"|name or service not known"
                      r"|dns (?:domain )?.{0,60}(?:does not exist"
                      r"|no such|not found"
                      r"|nonexist)"
                      r"|not been able to find .{0,30}host|hostunknown|host lookup failed|домен|ドメイン"),
    (Cause.SPAM, r"blocked by (?:our|the) .{0,20}(?:spam|bulk|content|filter)|spam firewall"),
    (Cause.BLOCKED, r"block ?(?:ed )?list|black ?list|deny ?list|blocked (?:using|by|for|from|due|because)|\b(?:rbl"
                    r"|dnsbl|uribl|surbl|spamhaus|spamcop|sorbs|cbl|abuseat|barracudacentral)|reputation"
                    r"|client host .{0,60}(?:rejected|blocked|refused)"
                    r"|(?:reverse|rdns|ptr|fcrdns)\b|rate.?limit|too many (?:message|connection|e?-?mail|recipient"
                    r"|concurrent|session|error)|throttl|temporarily (?:deferred|rate)|too (?:quickly|fast|frequent)"
                    r"|greylist|graylist|ip .{0,40}(?:block|ban|reject|deny|denied|listed)|banned"
                    r"|unwanted (?:message|mail|e-?mail)|bad (?:helo|ehlo)|open (?:proxy|relay)|dynamic ip"
                    r"|from your (?:ip|host|server|network)|mismatch\w* client|unresolvable relay|recipients? limit"
                    r"|recipients exceeded|cannot (?:resolve|find) your|smtp server of your|e-?mails per (?:hour|day)"
                    r"|go away|ip frequency|bad ip|too many bounces|\blisted (?:at|by|in|on)|\b(?:dy|ou|rp|sc)-00\d"
                    r"|problem occurred|blocked ip"),
    (Cause.SPAM, r"spam|illegal attachment|message filtered|unsolicited"
                 r"|\bjunk|virus|malware|phish|trojan|content (?:reject|filter|restrict|den)|invalid content"
                 r"|(?:message|mail) content|considered .{0,30}(?:bulk|unwanted)|suspicious|not rfc.{0,10}compl"
                 r"|prohibited (?:attachment|file|content)|迷惑|垃圾|спам"),
    (Cause.POLICY, r"policy|policies|\bspf\b|dkim|dmarc|sender ?id|auth(?:entication|orization)? (?:is )?(?:required"
                   r"|fail|needed|credential)|unauthenticated|relay(?:ing)? (?:access|denied|not|prohib|is )|(?:to"
                   r"|not|no|cannot) relay|not (?:permitted|allowed|authori[sz]ed|accepting"
                   r"|accepted)|authrequired|notauthorized|permission|restrict|refus|access.denied|prohibit"
                   r"|preferences|not accept(?:ing)? (?:your |any )?(?:mail|message|e-?mail)"
                   r"|only accept|encrypt|tls required|starttls|administrative|rejected"
                   r"|organi[sz]ational settings|mail relay|closed (?:mailing )?list"
                   r"|must authenticate|requires authentication|protocol violation|user reject|rule imposed"
                   r"|no permit|that you verify|purported|domainkeys|not comply|as a relay|rejecting|regulations"
                   r"|local user only|by (?:the |your )?administrator"
                   r"|\bblocked\b"),
    (Cause.EXPIRED, r"failed \d{1,4} attempts|(?:delivery )?time (?:has )?(?:expired|exceeded)|retry (?:time|timeout"
                    r"|limit)"
                    r"|queue (?:too long|period|life ?time)|(?:in|on) (?:the )?queue (?:for|too)|expired"
                    r"|message (?:is )?too old|attempts? (?:exceeded|reached)|maximum (?:delivery|retry"
                    r"|number of) (?:attempts|time)"
                    r"|failing for a long time|not (?:been )?(?:collected|delivered) (?:after|within|for|in)"
                    r"|unable to deliver .{0,40} (?:for|after) .{0,20}(?:day|hour)|too long"),
    (Cause.UNREACHABLE, r"timed? ?-?out|connection .{0,40}(?:refused|reset|fail|closed|lost|dropped)|no route to"
                        r"|unreachable|not respond|could ?n.t (?:connect|establish|contact)|could not (?:connect"
                        r"|establish|contact)|unable to (?:connect|contact|open|establish)|no answer|(?:server|host"
                        r"|system) .{0,30}(?:down|busy|unavailable|not available|not ready)"
                        r"|network (?:error|problem)|temporar|(?<!and )try again|service (?:unavailable|not available)"
                        r"|conversation with .{0,80}(?:timed|lost)|resources|name server reply|deferred"
                        r"|load (?:is )?too high|too much load|try later|action aborted"
                        r"|local error in processing"),
)  # fmt: skip
_PATTERNS = tuple((cause, pattern(words, re.IGNORECASE)) for cause, words in _TABLE)
_SAYS_SO = frozenset({"550", "551", "553", "521", "556"})
"""Replies that mean the mailbox or the domain where nothing else is said (RFC 5321, RFC 7504)."""
_LETTER = pattern(r"[^\W\d_]")
_REPLY = pattern(r"(?<![\d.])([45]\d\d)(?![\d.])")
_STATUS = pattern(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.])")


def cause_of(status: str | None, words: str) -> Cause:
    """Return why a copy was not delivered; `status` is an enhanced code, `words` what was said beside it."""
    detail = (status or "").partition(".")[2]
    if detail in _CERTAIN_STATUS:
        return _BY_STATUS[detail]
    words = words[:_WORDS_CHARS].replace("_", " ")
    said = next((cause for cause, shape in _PATTERNS if shape.search(words)), None)
    if said is Cause.POLICY and _PATTERNS[0][1].search(words):
        return said
    # Exchange Online says so of an address that it does not know, others of a host that does not answer.
    by_status = (
        Cause.NO_ADDRESS
        if status == "5.4.1"
        else _BY_STATUS.get(detail) or (Cause.POLICY if detail.startswith("7.") else None)
    )
    # Such words stand in many a report whose code says more.
    if said in (None, Cause.POLICY, Cause.UNREACHABLE, Cause.EXPIRED) and by_status:
        return by_status
    return said or Cause.UNKNOWN


def is_hard(action: str, status: str | None, cause: Cause, words: str) -> bool:
    """Tell whether the report says for good that the address will never take mail."""
    reply = reply_in(words)
    if action != "failed" or (status or reply or "5").startswith("4"):
        return False
    if cause is Cause.UNKNOWN:
        says_so = reply in _SAYS_SO or (reply is None and status is not None)
        return status in ("5.1.0", "5.1.5") or (status in (None, "5.0.0") and says_so and not _says_more(words))
    return cause.is_of_address


def _says_more(words: str) -> bool:
    """Tell whether there are words beside codes, addresses and hosts: they seldom mean that the address is wrong."""
    pieces = (piece.strip(".,:;!?()[]<>\"'") for piece in words.split())
    return any(_LETTER.search(piece) and "@" not in piece and "." not in piece for piece in pieces)


def status_in(words: str) -> str | None:
    """Return the first enhanced status code of a failure in the words."""
    return next((match[0] for match in _STATUS.finditer(words[:_WORDS_CHARS]) if match[0][0] in "45"), None)


def reply_in(words: str) -> str | None:
    """Return the first SMTP reply code of a failure in the words."""
    found = _REPLY.search(words[:_WORDS_CHARS])
    return found[1] if found else None


def is_refusal(words: str) -> bool:
    """Tell whether a line is a server's reply that an address or a mail is refused."""
    if reply_in(words) is None and status_in(words) is None:
        return False
    return cause_of(None, words) not in (Cause.UNKNOWN, Cause.UNREACHABLE, Cause.EXPIRED, Cause.POLICY)


def speaks_of_failure(words: str) -> bool:
    """Tell whether a line gives a cause or a reply of a server."""
    return bool(_REPLY.search(words) or _STATUS.search(words)) or any(
        shape.search(words) for cause, shape in _PATTERNS if cause not in (Cause.POLICY, Cause.SPAM)
    )
