"""Whether a program wrote a mail, and whether a mail wants no automatic answer.

What a header declares counts at once (RFC 3834 sections 2 and 5, and what Exchange, Gmail, vacation programs and ticket
systems write beside it). A subject counts where only programs write it. Words that people write too, "I am out of
office", count only beside something else that speaks for a program, or where they are all that an automatic answer
says: thanks, the absence, whom to ask instead. It decides nothing; the words are in `automatic_headers` and
`automatic_words`.
"""

from __future__ import annotations

import re

from core.mail.address import domain_of
from core.mail.automatic_headers import (
    ANSWERERS,
    AUTOMATIC_HEADERS,
    AUTOMATIC_VALUES,
    CERTAIN_SUBJECT,
    CHANGED_SUBJECT,
    LIST_HEADERS,
    LIST_PATH,
    LOTUS,
    NOBODY,
    NUMBERED_SUBJECT,
    PROGRAMS,
    ROBOTS,
    SENT_ON,
    TAGGED,
    WEAK_SUBJECT,
    WISHES,
)
from core.mail.automatic_speech import own_words, speech_reason
from core.mail.automatic_words import (
    AWAY,
    GENERATED,
    RECEIVED,
    TAKEN,
)
from core.mail.bounce_signs import ANSWERED, SENDERS
from core.mail.quotation_words import FORWARDING_SUBJECT
from core.mail.thread import alias_of
from core.mail.values import IncomingEmail
from core.pattern import pattern

_FIRST_CHARS = 600
_NO = frozenset({"", "no", "none", "false", "0", "off", "never", "dont", "don't", "disabled"})
_COMMENT = pattern(r"\([^()]*+\)?")
_BULK = frozenset({"bulk", "junk", "list"})
_NAMING_HEADERS = (
    *("X-Mailer", "User-Agent", "X-POST-MessageClass", "X-MS-Exchange-Generated-Message-Source", "Delivered-To"),
)
_KIND_HEADERS = pattern(r"x-[a-z0-9-]{0,40}(?:type|class|kind|reason|mailing)")


def automatic_reason(email: IncomingEmail) -> str | None:
    """Return in words why this mail must not be answered automatically, or None."""
    return program_reason(email) or no_answer_reason(email)


def program_reason(email: IncomingEmail) -> str | None:
    """Return in words why a program seems to have written this mail, or None."""
    return _declared(email) or _reported(email) or _guessed(email) or _heard(email)


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
    return next((name for name in LIST_HEADERS if email.header(name)), None)


def _declared(email: IncomingEmail) -> str | None:
    submitted = _word(email, "Auto-Submitted")
    if submitted not in _NO and not _passes_on(email):
        return f"Auto-Submitted is {submitted}"
    for name in ("Precedence", "X-Precedence", "Preference"):
        if AUTOMATIC_VALUES.fullmatch(word := _word(email, name)) or word == "vacation":
            return f"{name} is {word}"
    found = next((name for name, value in email.headers if _is_telling(name.lower(), value)), None)
    if found:
        return f"it has the header {found}"
    for name in _NAMING_HEADERS:
        if PROGRAMS.search((email.header(name) or "").lower()[:200]):
            return f"{name} names a program that answers by itself"
    if _is_by_own_rule(email):
        return "a rule of its sender's inbox sent it"
    return None


def _is_telling(name: str, value: str) -> bool:
    if AUTOMATIC_HEADERS.fullmatch(name):
        return WISHES.search(name) is None and _first_word(value) not in _NO | SENT_ON
    return _KIND_HEADERS.fullmatch(name) is not None and AUTOMATIC_VALUES.fullmatch(_first_word(value)) is not None


def _is_by_own_rule(email: IncomingEmail) -> bool:
    """Tell whether Exchange answered by a rule; what a rule sends on has another author, or is no answer."""
    looped = _word(email, "X-MS-Exchange-Inbox-Rules-Loop")
    is_reply = bool(email.in_reply_to) and not FORWARDING_SUBJECT.match(email.subject)
    return is_reply and email.sender is not None and looped == email.sender.address.lower()


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
    is_robot = ANSWERERS.fullmatch(sender) or ROBOTS.fullmatch(sender)
    if is_robot or ("daemon" in sender and SENDERS.fullmatch(sender)):
        return f"its sender is {sender}"
    path = (email.return_path or "").partition("@")[0].lower()
    if ANSWERERS.fullmatch(path):
        return f"its envelope sender is {path}"
    if sender == "postmaster" and not email.return_path:
        return "its sender is postmaster, and no envelope sender is known"
    subject = _plain(email.subject)
    is_certain = CERTAIN_SUBJECT.match(subject) or LOTUS.match(subject) or NUMBERED_SUBJECT.match(subject)
    if is_certain or _is_tagged(subject):
        return "its subject is that of an automatic reply"
    if email.in_reply_to and (WEAK_SUBJECT.match(subject) or CHANGED_SUBJECT.match(subject)):
        return "its subject is not that of the mail that it answers, but that its writer is away"
    return None


def _is_tagged(subject: str) -> bool:
    """Tell whether programs put their tag inside or at the end of a subject that answers none of theirs."""
    return TAGGED.search(subject[-200:]) is not None and ANSWERED.match(subject) is None


def _heard(email: IncomingEmail) -> str | None:
    """Tell by its words, but of no list or mailing: what those pass on, people wrote."""
    return None if _is_passed_on(email) else _supported(email) or speech_reason(email, _plain(email.subject))


def _supported(email: IncomingEmail) -> str | None:
    """Believe the words of an automatic answer where the header speaks for one as well."""
    sign, received = _sign(email)
    if not sign:
        return None
    body = own_words(email)
    subject = _plain(email.subject)
    # Web forms and groups pass on with such a header what people write, be it about their holidays.
    by_subject = AWAY.search(subject) or (received and RECEIVED.search(subject))
    by_body = GENERATED.search(body) or (received and AWAY.search(body[:_FIRST_CHARS]))
    by_answer = received and _is_answer(email, subject) and received.search(body[:_FIRST_CHARS])
    is_heard = by_subject or by_body or by_answer or (received and TAKEN.search(body[:_FIRST_CHARS]))
    return f"{sign}, and it speaks as automatic answers do" if is_heard else None


def _is_passed_on(email: IncomingEmail) -> bool:
    """Tell whether a list passes it on, as its headers say, or who sends it instead of its writer."""
    sender, author = email.header("Sender"), email.sender
    path = (email.return_path or "").partition("@")[0].lower()
    is_sent_for = bool(sender and author and author.address.lower() not in sender.lower())
    return bool(list_header(email) or is_sent_for or email.header("Errors-To") or LIST_PATH.fullmatch(path))


def _is_answer(email: IncomingEmail, subject: str) -> bool:
    return bool(email.in_reply_to or email.references or subject.startswith("[")) or bool(ANSWERED.match(subject))


def _sign(email: IncomingEmail) -> tuple[str, re.Pattern[str] | None]:
    """Return what speaks for a program beside words, and the words of a confirmation; None where people have it too."""
    precedence = _word(email, "Precedence")
    if precedence in ("bulk", "junk"):
        # Request Tracker writes it into what people answer as well.
        return f"Precedence is {precedence}", None if email.header("RT-Ticket") else RECEIVED
    sender = alias_of(email.sender.address)[0] if email.sender else ""
    if email.in_reply_to and NOBODY.fullmatch(sender):
        return f"its sender is {sender}", TAKEN
    suppress = _word(email, "X-Auto-Response-Suppress")
    if "all" in suppress or "autoreply" in suppress:
        return f"X-Auto-Response-Suppress is {suppress}", None
    return ("a rule of an inbox sent it" if email.header("X-MS-Exchange-Inbox-Rules-Loop") else "", None)


def _plain(subject: str) -> str:
    """Return a subject in lower case; the wide colon of Chinese and Japanese and no-break spaces are plain ones."""
    return " ".join(subject[:1000].lower().split()).replace("\uff1a", ":")


def _word(email: IncomingEmail, name: str) -> str:
    return _first_word(email.header(name) or "")


def _first_word(value: str) -> str:
    """Return what a header says, without its parameters and comments (RFC 3834, section 5.2)."""
    word = value[:200].partition(";")[0]
    return (_COMMENT.sub("", word) if "(" in word else word).strip().lower()[:60]
