"""The automatic answers to mail: a polite refusal, and the acknowledgement that a route may have.

Both are off unless somebody asks for them. An answer goes to a sender that is proven to be who it says, never to a
program, a list or a report (RFC 3834, section 2), once in AUTO_ANSWER_HOURS, and AUTO_ANSWERS_PER_HOUR to all the world
(SECURITY I7). Its template is rendered for our own company or route, so that none of a stranger's words can be in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import structlog

from core import clock
from core.errors import PostroomError
from core.gateway.lookup import Lookup, is_by_hand, is_old
from core.gateway.values import NewRecord, Outcome, Received, Unmatched, Verdict
from core.mail.address import normalised
from core.orm.transaction import transaction
from core.runtime import get_model, runtime, settings

log = structlog.get_logger(__name__)

REFUSAL = "refusal"
ACKNOWLEDGEMENT = "acknowledgement"
_WORDS: Mapping[str, str] = MappingProxyType({REFUSAL: "a refusal", ACKNOWLEDGEMENT: "an acknowledgement"})
REFUSAL_TEMPLATE = "inbound_refusal"
_LIST_HEADERS = ("List-Id", "List-Post", "List-Unsubscribe", "List-Help", "Mailing-List", "X-Mailing-List", "X-Loop")
_LOCALE_CHARS = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What a mail is answered with, or in `silence` why it is not; `route_id` is that of an acknowledgement."""

    purpose: str
    template_id: int | None = None
    route_id: int | None = None
    silence: str = ""

    @property
    def words(self) -> str:
        """Say it in a sentence, for the log."""
        return f"no {self.purpose}: {self.silence}" if self.silence else f"{_WORDS[self.purpose]} to its sender"


async def answer_to(verdict: Verdict, email: Received, lookup: Lookup) -> Answer | None:
    """Return whether and how a mail is answered by a program; None where nobody asked for that. Writes nothing."""
    wanted = await _wanted(verdict, email)
    if wanted is None or wanted.silence:
        return wanted
    silence = _no_reader(email, lookup) or await _too_many(email)
    return Answer(wanted.purpose, silence=silence) if silence else wanted


async def send_answer(answer: Answer, email: Received, entry: Any = None) -> str:
    """Queue the answer within the caller's transaction; return it in words, or why there is none after all.

    `entry` is the timeline entry that an acknowledgement follows. A template that fails costs the answer, not the mail.
    """
    if answer.silence:
        return answer.words
    try:
        async with transaction():
            if not await _claim(normalised(email.sender), answer.purpose):
                return Answer(answer.purpose, silence="its sender was just answered").words
            await _queue(answer, email, entry)
    except PostroomError as error:
        log.warning("no automatic answer", purpose=answer.purpose, spool_id=email.spool_id, error=str(error))
        return Answer(answer.purpose, silence=str(error)).words[:255]
    return answer.words


async def _wanted(verdict: Verdict, email: Received) -> Answer | None:
    match verdict:
        case Unmatched(_, Outcome.UNMATCHED, refused) if refused and settings().REFUSE_POLITELY:
            written = {normalised(mailbox.address) for mailbox in (*email.parsed.to, *email.parsed.cc)}
            if not written & set(refused):
                return Answer(REFUSAL, silence="it does not name the address in To or Cc")
            template = await get_model("EmailTemplate").get_or_none(identifier=REFUSAL_TEMPLATE, active=True)
            if template is None:
                return Answer(REFUSAL, silence=f"there is no active template {REFUSAL_TEMPLATE}")
            return Answer(REFUSAL, template.pk)
        case NewRecord(routes):
            route = next((one for one in routes if one.acknowledgement_id is not None), None)
            return Answer(ACKNOWLEDGEMENT, route.acknowledgement_id, route.id) if route else None
    return None


def _no_reader(email: Received, lookup: Lookup) -> str:
    """Return why nobody should get an answer to such a mail, or nothing."""
    parsed = email.parsed
    if parsed.sender is None:
        return "it names no sender"
    if is_by_hand(email):
        return "a person brought it in"
    if is_old(email):
        return "it is an old mail"
    if email.notice is not None:
        return "it is a report"
    if reason := email.program or email.no_answer:
        return reason
    if listed := next((name for name in _LIST_HEADERS if parsed.header(name) is not None), None):
        return f"it came by a list: {listed}"
    if lookup.is_own(email.sender):
        return "it is from an address of ours"
    if not email.authentication.is_verified:
        return f"its sender is not proven. {email.authentication.reason}"
    return ""


async def _too_many(email: Received) -> str:
    values = settings()
    database = runtime().database
    dialect = database.dialect
    (row,) = await database.fetch(
        f"""SELECT COUNT(CASE WHEN address = {dialect.param(1)}
                               AND answered_at > {dialect.now(-3600 * values.AUTO_ANSWER_HOURS)} THEN 1 END) AS here,
                   COUNT(CASE WHEN answered_at > {dialect.now(-3600)} THEN 1 END) AS everywhere
            FROM automatic_answer""",
        [normalised(email.sender)],
    )
    if row["here"]:
        return f"its sender got an answer within AUTO_ANSWER_HOURS ({values.AUTO_ANSWER_HOURS:g})"
    if row["everywhere"] >= values.AUTO_ANSWERS_PER_HOUR:
        return f"{row['everywhere']} answers went out within an hour (AUTO_ANSWERS_PER_HOUR)"
    return ""


async def _claim(address: str, purpose: str) -> bool:
    """Take the right to answer an address, by compare-and-set; forget those that may be answered again."""
    database = runtime().database
    dialect = database.dialect
    hours = settings().AUTO_ANSWER_HOURS
    await database.execute(f"DELETE FROM automatic_answer WHERE answered_at < {dialect.now(-3600 * max(hours, 1))}")
    taken = await database.fetch(
        f"""INSERT INTO automatic_answer (address, purpose, answered_at)
            VALUES ({dialect.param(1)}, {dialect.param(2)}, {dialect.now()})
            ON CONFLICT (address) DO UPDATE SET purpose = EXCLUDED.purpose, answered_at = EXCLUDED.answered_at
            WHERE automatic_answer.answered_at < {dialect.now(-3600 * hours)}
            RETURNING id""",
        [address, purpose],
    )
    return bool(taken)


async def _queue(answer: Answer, email: Received, entry: Any) -> None:
    about = await _about(answer)
    template = await get_model("EmailTemplate").get(id=answer.template_id)
    texts = await template.render_for(about, locale=_locale(email), only=("subject", "content"))
    model = get_model("Message")
    message = model(
        res_model=getattr(entry, "res_model", None),
        res_id=getattr(entry, "res_id", None),
        company_id=getattr(entry, "company_id", None),
        in_reply_to=email.parsed.message_id,
        thread_references=" ".join((*email.parsed.references[-20:], email.parsed.message_id or "")).strip(),
        date_at=clock.now(),
    )
    await model.queue_email(
        None,
        [email.parsed.sender.address] if email.parsed.sender else [],
        texts["subject"],
        texts["content"],
        message=message,
        company=about if answer.purpose == REFUSAL else None,
        include_signature=False,
        from_email=None if settings().SMTP_FROM_EMAIL else _from(),
        automatic="auto-replied",
        priority="low",
        track=False,
    )


async def _about(answer: Answer) -> Any:
    """Return what the template is rendered for: the route, or the company that refuses."""
    if answer.purpose == ACKNOWLEDGEMENT:
        return await get_model("EmailRoute").get(id=answer.route_id)
    company = await get_model("Company").filter(active=True).order_by("id").first()
    if company is None:
        raise PostroomError("there is no company in whose name it could be")
    return company


def _from() -> str:
    values = settings()
    return f"{values.SMTP_FROM_NAME} <{values.CATCHALL_ALIAS}@{values.MAIL_DOMAIN}>"


def _locale(email: Received) -> str | None:
    """Return the language that the mail says it is in, for the choice among our own texts; None where it says none."""
    for name in ("Content-Language", "Accept-Language"):
        said = (email.parsed.header(name) or "").partition(",")[0].partition(";")[0].strip()[:_LOCALE_CHARS]
        language, _, region = said.replace("_", "-").partition("-")
        if len(language) == 2 and language.isascii() and language.isalpha():
            has_region = len(region) == 2 and region.isascii() and region.isalpha()
            return f"{language.lower()}_{region.upper()}" if has_region else language.lower()
    return None
