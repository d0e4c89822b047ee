"""What the body of a mail says of itself: that it is an automatic answer, or no more than automatic answers say.

Only own words count, never what is quoted. That it is automatic is said in a sentence. Otherwise several things that
such mails say have to come together, and hardly anything else: whoever asks, or speaks of the matter, is a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.mail.address import domain_of
from core.mail.automatic_words import (
    AUTOMATIC_HEADS,
    AWAY,
    AWAY_SUBJECT,
    CLOSING,
    FURNITURE,
    GENERATED,
    HEADS,
    MYSELF,
    NUMBERED,
    PROMISED,
    RECEIVED_SUBJECT,
    STATED,
    TAKEN,
    THANKS,
    UNREAD,
    UNTIL,
    UNWATCHED,
    URGENT,
    WEAK_SUBJECT,
)
from core.mail.body import html_to_text
from core.mail.bounce_signs import ANSWERED
from core.mail.quotation import Part, passages, split_reply_html
from core.mail.values import IncomingEmail
from core.pattern import pattern

_BODY_CHARS = 3000
_SHORT_CHARS = 1500
_GLANCE_CHARS = 6000
_HEAD_CHARS = 4
_MARKS = "([{<*_“„«\"'¡¿-–"
_PIECES = ("mailbox", "inbox", "got your")
_OTHER_WRITING = pattern(r"[\u0590-\u0fff\u10a0-\u10ff\u3040-\u9fff\uac00-\ud7af]")
_LINK = pattern(r"https?:\S+")
_ASKS = pattern(r"[?？](?=\W|$)")
_CLAUSE = pattern(
    r"[.](?!\S)|[,;:!¶。、！，；：()]|\s(?:and|but|und|aber|et|mais|y|pero|e|ma|mas|maar|och|og|men|ja|mutta|i|ale|и|но|ve|ama)\s"
    r"|但是?|ですが|지만"
)
_TELLING = pattern(r"(?:[^\W\d]\S{0,40} +){2}[^\W\d]|[^\W\d]{5,30} +[^\W\d]{6,30}|[\u3040-\u9fff]{5}")
"""Three words, or two long ones, or as much in writing without spaces: less tells nothing."""
_MATTER = pattern(r"[а-яё]{4,30}|[^\W\d]{6,30}")
_CONFIRMING = (FURNITURE, GENERATED, NUMBERED, PROMISED, STATED, TAKEN, THANKS, UNWATCHED)
_ABSENT = (AWAY, FURNITURE, PROMISED, THANKS, UNREAD, UNTIL, UNWATCHED, URGENT)


def own_words(email: IncomingEmail) -> str:
    """Return in lower case what it says beside quotations and links; what may begin a sentence has a mark before it."""
    text = _text(email)
    cut = "\n".join(text[one.start : one.end] for one in passages(text) if one.part in (Part.OWN, Part.SIGNATURE))
    lines = (" ".join(line.split()) for line in _LINK.sub("", cut).splitlines())
    return " ".join(line if line[0].islower() else f"¶ {line}" for line in lines if line).lower()


def speech_reason(email: IncomingEmail, subject: str) -> str | None:
    """Return in words why what it says can only be an automatic answer, or None; `subject` is in lower case."""
    is_answer = bool(email.in_reply_to or email.references) or ANSWERED.match(subject) is not None
    if not _is_worth_reading(email, subject, is_answer=is_answer):
        return None
    own = own_words(email)
    if STATED.search(own):
        return "it says that it is an automatic reply"
    if WEAK_SUBJECT.match(subject) and not _ASKS.search(f"{subject} {own}") and not _foreign(own, _ABSENT):
        return "its subject is that of an automatic reply, and what it says is no more"
    if len(own) > _SHORT_CHARS or _ASKS.search(own):
        return None
    if not is_answer and _is_answered_elsewhere(email):
        return None
    if UNWATCHED.search(own) and is_answer and _foreign(own, _ABSENT) < 2:
        return "it says that nobody reads what is sent to its address"
    if _confirms(own, subject):
        return "it says nothing but that a mail has come, as programs do"
    if is_answer and _is_absence(own, subject):
        return "it says nothing but that its writer is away, as programs do"
    if is_answer and AWAY_SUBJECT.match(subject) and not _foreign(own, _ABSENT):
        return "its subject is not that of the mail that it answers, but that its writer is away"
    return None


def _is_worth_reading(email: IncomingEmail, subject: str, *, is_answer: bool) -> bool:
    """Tell from a glance at its words: to find out whose they are takes as long as to parse the mail."""
    html = email.html or ""
    text = email.text if email.text and email.text.strip() else html[max(0, html.find("<body")) :]
    text = text[:_GLANCE_CHARS].lower()
    heads = {word.lstrip(_MARKS)[:_HEAD_CHARS] for word in {*text.replace(">", " ").split()}}
    if not heads.isdisjoint(AUTOMATIC_HEADS) or not (text.isascii() or _OTHER_WRITING.search(text) is None):
        return True
    if WEAK_SUBJECT.match(subject) or AWAY_SUBJECT.match(subject) or any(piece in text for piece in _PIECES):
        return True
    if heads.isdisjoint(HEADS):
        return False
    words = " ".join(text.split())
    return TAKEN.search(words) is not None or (is_answer and AWAY.search(words) is not None)


def _text(email: IncomingEmail) -> str:
    if email.text and email.text.strip():
        return email.text[:_BODY_CHARS]
    return html_to_text(split_reply_html((email.html or "")[: 10 * _BODY_CHARS]).new)[:_BODY_CHARS]


def _confirms(own: str, subject: str) -> bool:
    """Tell whether it confirms that a mail has come, and two of four: its number, an answer, thanks, the subject."""
    is_taken, is_generated = TAKEN.search(own) is not None, GENERATED.search(own) is not None
    if not (is_taken or is_generated) or MYSELF.search(own):
        return False
    number = NUMBERED.search(own) or NUMBERED.search(subject)
    said = [PROMISED.search(own), THANKS.search(own), RECEIVED_SUBJECT.match(subject), number if is_taken else None]
    count = sum(one is not None for one in said)
    if is_taken and number and count == 1:
        return not _foreign(own, _CONFIRMING)
    is_meant = (is_taken and is_generated) or count > 1
    return is_meant and _foreign(own, _CONFIRMING) < (2 if number or is_generated else 1)


def _is_absence(own: str, subject: str) -> bool:
    """Tell whether it says who is away, and two of three: thanks, whom to ask instead, that nobody reads it."""
    if not AWAY.search(own):
        return False
    said = sum(words.search(own) is not None for words in (THANKS, URGENT, UNREAD))
    return said > 1 and not _names_matter(own, subject) and not _foreign(own, _ABSENT)


def _names_matter(own: str, subject: str) -> bool:
    """Tell whether it speaks of what the subject names: programs do not know what a mail is about."""
    words = {found[0] for found in _MATTER.finditer(own)}
    return any(found[0] in words for found in _MATTER.finditer(ANSWERED.sub("", subject, count=1)))


def _foreign(own: str, known: tuple[re.Pattern[str], ...]) -> int:
    """Count what it says that such answers do not."""
    return sum(1 for clause in _clauses(own) if not any(words.search(clause) for words in known))


def _clauses(own: str) -> Iterator[str]:
    clauses = _CLAUSE.split(CLOSING.split(own, maxsplit=1)[0])
    return (f"¶ {clause.strip()}" for clause in clauses if _TELLING.search(clause))


def _is_answered_elsewhere(email: IncomingEmail) -> bool:
    author = email.sender
    return author is None or any(domain_of(one.address) != domain_of(author.address) for one in email.reply_to)
