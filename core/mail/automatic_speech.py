"""What the body of a mail says of itself: that it is an automatic answer, or no more than automatic answers say.

Only own words count, never what is quoted. That it is automatic is said in a sentence, or in the subject; whoever asks,
attaches a file, or speaks of anything else, is a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.mail.address import domain_of
from core.mail.automatic_headers import (
    AWAY_SUBJECT,
    NOTICE_SUBJECT,
    WEAK_SUBJECT,
)
from core.mail.automatic_words import (
    AUTOMATIC_HEADS,
    AWAY,
    CLOSING,
    FURNITURE,
    GENERATED,
    HEADS,
    NUMBERED,
    PROMISED,
    STATED,
    TAKEN,
    THANKS,
    UNANSWERED,
    UNREAD,
    UNTIL,
    UNWATCHED,
    URGENT,
)
from core.mail.body import html_to_text
from core.mail.bounce_signs import ANSWERED
from core.mail.quotation import Part, passages, split_reply_html
from core.mail.values import IncomingEmail
from core.pattern import pattern

_BODY_CHARS = 3000
_SHORT_CHARS = 1500
_MOST_FOREIGN = 2
_GLANCE_CHARS = 6000
_HEAD_CHARS = 4
_MARKS = "([{<*_“„«\"'¡¿-–"
_PIECES = ("mailbox", "inbox", "got your", "generated re", "generated ac")
_OTHER_WRITING = pattern(r"[\u0590-\u0fff\u10a0-\u10ff\u3040-\u9fff\uac00-\ud7af]")
_LINK = pattern(r"https?:\S+")
_QUOTES = pattern(r"[\"“”„«»]")
_ASKS = pattern(r"[?？](?=\W|$)")
_IS_ASKED = pattern(r"[^.!。¶]{0,80}[?？]")
_CLAUSE = pattern(
    r"[.](?!\S)|[,;:!¶。、！，；：()]|\s(?:and|but|und|aber|et|mais|y|pero|e|ma|mas|maar|och|og|men|ja|mutta|i|ale|и|но|ve|ama)\s"
    r"|但是?|ですが|지만"
)
_TELLING = pattern(r"(?:[^\W\d]\S{0,40} +){2}[^\W\d]|[^\W\d]{5,30} +[^\W\d]{6,30}|[\u3040-\u9fff]{5}")
"""Three words, or two long ones, or as much in writing without spaces: less tells nothing."""
_MATTER = pattern(r"[а-яё]{4,30}|[^\W\d]{6,30}")
_CONFIRMING = (FURNITURE, GENERATED, NUMBERED, PROMISED, STATED, TAKEN, THANKS, UNWATCHED)
_ABSENT = (AWAY, FURNITURE, PROMISED, THANKS, UNREAD, UNTIL, UNWATCHED, URGENT)
_KNOWN = tuple({*_CONFIRMING, *_ABSENT})


def own_words(email: IncomingEmail) -> str:
    """Return in lower case what it says beside quotations and links; what may begin a sentence has a mark before it."""
    text = _text(email)
    cut = "\n".join(text[one.start : one.end] for one in passages(text) if one.part in (Part.OWN, Part.SIGNATURE))
    lines = (" ".join(line.split()) for line in _LINK.sub("", cut).splitlines())
    return " ".join(line if line[0].islower() else f"¶ {line}" for line in lines if line).lower()


def speech_reason(email: IncomingEmail, subject: str) -> str | None:
    """Return in words why what it says can only be an automatic answer, or None; `subject` is in lower case.

    What programs say of absences and of what has come, people write too: alone it counts for nothing.
    """
    if any(file.content_id is None for file in email.files):
        return None
    is_answer = bool(email.in_reply_to or email.references) or ANSWERED.match(subject) is not None
    if not _is_worth_reading(email, subject, is_answer=is_answer):
        return None
    own = own_words(email)
    if _states(own):
        return "it says that it is an automatic reply"
    if len(own) > _SHORT_CHARS or _ASKS.search(f"{subject} {own}"):
        return None
    if (WEAK_SUBJECT.match(subject) or NOTICE_SUBJECT.match(subject)) and not _foreign(own, _ABSENT):
        return "its subject is that of an automatic reply, and what it says is no more"
    if is_answer and AWAY_SUBJECT.match(subject) and not _foreign(own, _ABSENT):
        return "its subject is not that of the mail that it answers, but that its writer is away"
    if _is_answered_elsewhere(email) and not is_answer:
        return None
    if GENERATED.search(own) is None:
        return None
    if TAKEN.search(own) and _foreign(own, _CONFIRMING) < _MOST_FOREIGN:
        return "it says that a mail has come, and that it was made by a program"
    if THANKS.search(own) and UNANSWERED.search(own) and not _foreign(own, _CONFIRMING):
        return "it thanks for a mail, and says that a program made it and reads no answer"
    if is_answer and (AWAY.search(own) or UNWATCHED.search(own)) and not _foreign(own, _KNOWN):
        return "it says that nobody reads its mail, and that it was made by a program"
    return None


def _states(own: str) -> bool:
    """Tell whether it says that it is an automatic reply as the first thing or the last; between others it is told.

    Between quotation marks it is told as well, and whoever asks whether it is one is a person.
    """
    found = STATED.search(own)
    if found is None:
        return False
    before, after = own[: found.start()], own[found.end() :]
    if len(_QUOTES.findall(before)) % 2 or _IS_ASKED.match(after):
        return False
    return not _foreign(before, _KNOWN) or not _foreign(after.partition("¶")[2], _KNOWN)


def _is_worth_reading(email: IncomingEmail, subject: str, *, is_answer: bool) -> bool:
    """Tell from a glance at its words: to find out whose they are takes as long as to parse the mail."""
    html = email.html or ""
    text = email.text if email.text and email.text.strip() else html[max(0, html.find("<body")) :]
    text = text[:_GLANCE_CHARS].lower()
    heads = {word.lstrip(_MARKS)[:_HEAD_CHARS] for word in {*text.replace(">", " ").split()}}
    if not heads.isdisjoint(AUTOMATIC_HEADS) or not (text.isascii() or _OTHER_WRITING.search(text) is None):
        return True
    if WEAK_SUBJECT.match(subject) or NOTICE_SUBJECT.match(subject) or AWAY_SUBJECT.match(subject):
        return True
    if any(piece in text for piece in _PIECES):
        return True
    if heads.isdisjoint(HEADS):
        return False
    words = " ".join(text.split())
    return TAKEN.search(words) is not None or (is_answer and AWAY.search(words) is not None)


def _text(email: IncomingEmail) -> str:
    if email.text and email.text.strip():
        return email.text[:_BODY_CHARS]
    return html_to_text(split_reply_html((email.html or "")[: 10 * _BODY_CHARS]).new)[:_BODY_CHARS]


def _foreign(own: str, known: tuple[re.Pattern[str], ...]) -> int:
    """Count what it says that such answers do not."""
    return sum(1 for clause in _clauses(own) if not any(words.search(clause) for words in known))


def _clauses(own: str) -> Iterator[str]:
    clauses = _CLAUSE.split(CLOSING.split(own, maxsplit=1)[0])
    return (f"¶ {clause.strip()}" for clause in clauses if _TELLING.search(clause))


def _is_answered_elsewhere(email: IncomingEmail) -> bool:
    author = email.sender
    return author is None or any(domain_of(one.address) != domain_of(author.address) for one in email.reply_to)
