"""Challenges: the recipient's filter holds the mail until its sender proves to be a person.

No bounce, since the mail may still arrive; no reply, since no person wrote it; a person has to click. Known by the
filters' own headers and senders, or by the words in which they ask, beside something that speaks for a program.
"""

from __future__ import annotations

import re

from core.mail.automatic import list_header
from core.mail.body import html_to_text
from core.mail.values import IncomingEmail
from core.pattern import pattern

_TEXT_CHARS = 4000
_HTML_CHARS = 40_000
_FILTERS = pattern(
    r"tmda|spam-?arrest|boxbe|bluebottle|choicemail|mailinblack|sendio|mailblocks|knowspam|vanquish|spamcease"
    r"|blockallspam"
    r"|uol-?anti-?spam|spamlion|zaep|qurb|digiportal|earthlink-?spamblocker|0spam|realmail|active-?spam-?killer"
)
_FILTER_HEADERS = pattern(
    r"x-(?:tmda|spamarrest|boxbe|bluebottle|choicemail|mailinblack|sendio|challenge|trusted-delivery|ask-auth"
    r"|aspam)[a-z-]{0,40}"
)
_LINK = pattern(r"(?:https?|mailto):\S+")
_HELD = (
    r"(?:waiting (?:list|for)|waitlist\w*|held|on hold|pending|quarantin\w*|not (?:yet )?(?:been )?delivered"
    r"|awaiting|intercepted|blocked)"
)
_ACT = (
    r"(?<!not )(?<!n't )(?<!n’t )"
    r"(?:click|reply|respond|confirm|verify|authenticat\w*|follow the|complete|enter the|prove)"
)
_ASKS = pattern(
    rf"your (?:e-?mail )?(?:message|e-?mail|mail)\b.{{0,200}}\b{_HELD}\b.{{0,300}}\b{_ACT}"
    rf"|\b{_ACT}\b.{{0,200}}(?:deliver|release|receive|allow|accept)\w* (?:of )?(?:your|this"
    rf"|the) (?:original )?(?:message|e-?mail|mail)\b"
    r"|(?<!not )(?:click|reply|respond|confirm|verify)\b.{0,200}(?:allowed list|approved sender|guest list|white ?list"
    r"|safe sender|authorized sender|list of (?:allowed|approved))"
    rf"|(?:have|get|to) your (?:message|e-?mail|mail) (?:delivered|released|accepted)|\b(?:deliver|release"
    rf"|allow)\w* (?:your|this|the) (?:message|e-?mail|mail)\b.{{0,200}}\b{_ACT}"
    r"|(?:add|added|have) (?:yourself|your address|your (?:e-?mail )?address added) to (?:my|the"
    r"|the recipient's) .{0,40}(?:list)"
    r"|confirm that (?:you are|this is) .{0,40}(?:human|person|not (?:a )?(?:spam|machine|robot))"
    r"|verify that (?:you are|a) .{0,30}(?:human|person)|to (?:prove|show) (?:that )?you are (?:a )?(?:human|real"
    r"|person)"
    r"|protected by (?:an? )?(?:spam ?arrest|boxbe|choicemail|bluebottle|tmda|sendio|knowspam|vanquish)"
    # German, French, Spanish, Portuguese, Italian, Dutch, Polish, Russian.
    r"|(?:klicken|bestätigen|antworten) sie\b.{0,250}(?:nachricht|e-?mail|mail)\b.{0,80}(?:zugestellt|zuzustellen"
    r"|freizugeben|freigegeben|ausgeliefert)"
    r"|(?:cliquez|cliquer|répondez|confirmez|authentifi)\w*\b.{0,250}(?:votre|le|ce) (?:message|mail|e-?mail"
    r"|courriel|courrier)\b.{0,80}(?:délivr|remis|transmis|distribu|achemin|parvien|livr)|pour que votre (?:message"
    r"|mail|e-?mail)\b.{0,80}(?:soit|parvienne)"
    r"|(?:haga clic|pulse|responda|confirme)\b.{0,250}(?:su|el|este) (?:mensaje|correo)\b.{0,80}(?:entreg|liber|lleg)"
    r"|(?:clique|responda|confirme)\b.{0,250}(?:sua|a|esta|seu) (?:mensagem|e-?mail)\b.{0,80}(?:entreg|liber|cheg)"
    r"|confirma[cç][aã]o .{0,60}anti-?spam"
    r"|(?:clicca|cliccare|fai clic|rispond\w*|conferm\w*)\b.{0,250}(?:tuo|suo|il|questo) (?:messaggio"
    r"|e-?mail)\b.{0,80}(?:consegn|recapit|rilasci)"
    r"|(?:klik|bevestig|antwoord)\w*\b.{0,250}(?:uw|je|dit) (?:bericht|e-?mail)\b.{0,80}(?:bezorg|aflever|vrijge)"
    r"|(?:kliknij|potwierdź|odpowiedz)\b.{0,250}(?:wiadomoś|e-?mail)\w*.{0,80}(?:dostarcz|doręcz)|(?:нажмите"
    r"|перейдите|подтвердите|ответьте)\b.{0,250}(?:письмо|сообщение)\b.{0,80}(?:достав|получ)"
)


def challenge_reason(email: IncomingEmail, *, is_automatic: bool) -> str | None:
    """Return in words why a mail seems to ask its reader to prove to be a person, or None.

    `is_automatic` says that something in it speaks against an automatic answer (`core.mail.automatic`).
    """
    others = (name for name, _ in email.headers if name[:2] in ("X-", "x-"))
    named = next((name for name in others if _FILTER_HEADERS.fullmatch(name.lower())), None)
    if named:
        return f"it has the header {named}"
    writer = f"{email.sender.address if email.sender else ''} {email.return_path or ''}".lower()
    is_filter = _FILTERS.search(writer) is not None
    is_program = is_automatic and list_header(email) is None
    if not (is_filter or is_program or _is_nobody(writer)):
        return None
    if _ASKS.search(_words(email)) is None:
        return None
    return "it asks its reader to prove to be a person, so that a mail gets through"


def _is_nobody(writer: str) -> bool:
    return re.match(r"(?:no|do-?not)[-_.]?reply|(?:challenge|verif\w*|confirm\w*)[@+-]", writer) is not None


def _words(email: IncomingEmail) -> str:
    """Return what it says of itself, without links and what it quotes."""
    text = email.text if email.text and email.text.strip() else html_to_text((email.html or "")[:_HTML_CHARS])
    own = (line for line in text[: 4 * _TEXT_CHARS].lower().splitlines() if not line.lstrip().startswith((">", "|")))
    return _LINK.sub("", " ".join(" ".join(own).split()))[:_TEXT_CHARS]
