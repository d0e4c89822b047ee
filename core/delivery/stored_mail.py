"""Outgoing rows of mail storage (`Mail`): each becomes a message of the queue once, however often it is asked for.

A row is taken and queued in one transaction, so of two who push at once one does. What has no state was put there by
hand, perhaps by SQL, and is as good as new.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from core.delivery.engine import Engine
from core.delivery.mailing import format_header
from core.errors import PostroomError, UserError
from core.mail.address import address_list
from core.mail.body import html_to_text, text_to_html
from core.mail.file_list import ListedFile, file_list, listed_uuids
from core.mail.sanitise import safe_html
from core.orm.transaction import transaction
from core.runtime import get_model, runtime

IS_NEW = "(state IS NULL OR state IN ('', 'new')) AND (direction IS NULL OR direction IN ('', 'outgoing'))"
"""Which rows wait for a push, as SQL."""
_SENT = ("mail_to", "mail_cc", "mail_bcc", "mail_subject", "mail_body_text", "mail_body_html", "mail_attachments")
"""What of a row is read: in SQLite any other column may hold what is none of its kind."""
_ROWS_PER_PUSH = 500
_PUSH_S = 30.0
_REASON_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Ready:
    """A row that passed every check: what the queue is asked for, and what the row says from then on."""

    asked: dict[str, Any]
    kept: dict[str, Any]


@dataclass(slots=True)
class Pushed:
    """What a push of one account came to, in rows; `waiting` are on their way and not sent yet."""

    queued: int = 0
    sent: int = 0
    failed: int = 0
    waiting: int = 0


async def checked(mail: Any, account: Any) -> Ready:
    """Read a row's addresses and files; AddressError or UserError for what cannot be sent."""
    if odd := next((name for name in _SENT if not isinstance(getattr(mail, name), str | None)), None):
        raise UserError(f"{odd} holds no text.")
    files = await _files(mail.mail_attachments)
    html = mail.mail_body_html or ""
    bodies = await asyncio.to_thread(_both_bodies, mail.mail_body_text or "", html)
    asked = {
        "contact_emails": _addresses(mail.mail_to),
        "cc": _addresses(mail.mail_cc),
        "bcc": _addresses(mail.mail_bcc),
        "subject": mail.mail_subject or "",
        "body": html,
        "text": mail.mail_body_text if mail.mail_body_text or html else "",
        "attachments": files,
        "from_email": format_header(account.sender),
        "reply_to": account.sender.address,
    }
    if not (asked["contact_emails"] or asked["cc"] or asked["bcc"]):
        raise UserError("The mail has no recipient; give at least one address in mail_to, mail_cc or mail_bcc.")
    listed = [ListedFile(one.uuid, one.name, one.size_bytes) for one in files]
    return Ready(
        asked={**asked, "text": None if html and not mail.mail_body_text else asked["text"]},
        kept={
            "direction": "outgoing",
            "mail_from": asked["from_email"],
            **bodies,
            "mail_attachments": file_list(listed),
            "error": None,
        },
    )


def _both_bodies(text: str, html: str) -> dict[str, str]:
    """Return a row's body as text, and as HTML that is safe to show, from whichever of them was put there."""
    return {
        "mail_body_text": text or html_to_text(html),
        "mail_body_html": safe_html(html or text_to_html(text), lambda _: None),
    }


async def hand_over(mail_id: int, ready: Ready, account: Any, author: Any) -> bool:
    """Take a row that is new and queue it, all or nothing; whether it was still new."""
    server = await get_model("OutgoingMailServer").get_or_none(mail_account_id=account.pk)
    if server is None:
        raise UserError(f"The mail account {account.account} has no mail_smtp_server, so it sends nothing.")
    async with transaction():
        if not await _take(mail_id, account):
            return False
        messages = get_model("Message")
        message = await messages.queue_email(
            author,
            # It is its row's, so that whoever may read the row may read it, and what answers it.
            message=messages(res_model="Mail", res_id=mail_id),
            use_company_branding=False,
            include_signature=False,
            company=await account.company(),
            server=str(server.pk),
            **ready.asked,
        )
        changes = {**ready.kept, "message_id": message.pk, "mail_date": message.date_at}
        await get_model("Mail").filter(id=mail_id).update(**changes)
    return True


async def push(account: Any, author: Any) -> Pushed:
    """Queue the account's new rows, and send what of its mail is due, for half a minute at the most."""
    pushed = Pushed()
    for mail_id in await _new(account):
        await _hand_over_or_note(mail_id, account, author, pushed)
    due = await _due(account)
    await _send(due)
    await roll_up()
    for state, count in (await _states(due)).items():
        pushed.sent += count if state == "sent" else 0
        pushed.failed += count if state == "failed" else 0
    pushed.waiting = await get_model("Mail").filter(mail_account=account.account, state="queued").count()
    return pushed


async def roll_up() -> int:
    """Let each row say what became of its message; returns how many changed."""
    return await runtime().database.execute(
        """UPDATE mail SET state = told.state, error = told.error
           FROM (SELECT id, error, CASE WHEN send_state IN ('Queued', 'Sending') THEN 'queued'
                                        WHEN send_state = 'Failed' AND next_retry_at IS NOT NULL THEN 'queued'
                                        ELSE LOWER(send_state) END AS state
                 FROM message WHERE send_state IS NOT NULL) AS told
           WHERE mail.message_id = told.id AND mail.direction = 'outgoing'
             AND mail.state IN ('queued', 'held', 'unknown', 'failed') AND mail.state <> told.state"""
    )


async def _hand_over_or_note(mail_id: int, account: Any, author: Any, pushed: Pushed) -> None:
    """Queue one row, or write into it why not; one that cannot be sent stops no other."""
    mail = await get_model("Mail").filter(id=mail_id).only("id", *_SENT).first()
    if mail is None:
        return
    try:
        ready = await checked(mail, account)
        pushed.queued += await hand_over(mail_id, ready, account, author)
    except PostroomError as error:
        database = runtime().database
        pushed.failed += await database.execute(
            f"""UPDATE mail SET state = 'failed', error = {database.dialect.param(2)}
                WHERE id = {database.dialect.param(1)} AND {IS_NEW}""",
            [mail_id, str(error)[:_REASON_CHARS]],
        )


async def _take(mail_id: int, account: Any) -> bool:
    database = runtime().database
    param = database.dialect.param
    taken = await database.execute(
        f"UPDATE mail SET state = 'queued', account_id = {param(2)} WHERE id = {param(1)} AND {IS_NEW}",
        [mail_id, account.pk],
    )
    return bool(taken)


async def _new(account: Any) -> list[int]:
    database = runtime().database
    rows = await database.fetch(
        f"""SELECT id FROM mail WHERE mail_account = {database.dialect.param(1)} AND {IS_NEW}
            ORDER BY id LIMIT {_ROWS_PER_PUSH}""",
        [account.account],
    )
    return [row["id"] for row in rows]


async def _states(message_ids: Sequence[int]) -> Counter[str]:
    rows = get_model("Mail").filter(message_id__in=list(message_ids), direction="outgoing")
    return Counter(await rows.values_list("state", flat=True))


async def _send(due: Sequence[int]) -> None:
    """Send what is due, on the same connections; after a mail that its server did not take no other one is begun."""
    until = monotonic() + _PUSH_S
    async with Engine() as engine:
        for message_id in due:
            if monotonic() > until or (await engine.flush(message_id=message_id) and await _is_due(message_id)):
                return


async def _due(account: Any) -> list[int]:
    database = runtime().database
    dialect = database.dialect
    rows = await database.fetch(
        f"""SELECT DISTINCT delivery.message_id FROM delivery JOIN mail ON mail.message_id = delivery.message_id
            WHERE mail.mail_account = {dialect.param(1)} AND mail.state = 'queued'
              AND delivery.state = 'queued' AND delivery.due_at <= {dialect.now()}
            ORDER BY delivery.message_id LIMIT {_ROWS_PER_PUSH}""",
        [account.account],
    )
    return [row["message_id"] for row in rows]


async def _is_due(message_id: int) -> bool:
    return bool(await get_model("Delivery").filter(message_id=message_id, state="queued", attempts=0).exists())


async def _files(text: str | None) -> list[Any]:
    """Return the Attachments that a row names, in its order; UserError for one that there is not."""
    wanted = listed_uuids(text)
    if not wanted:
        return []
    files = await get_model("Attachment").without_content().filter(uuid__in=list(wanted))
    found = {one.uuid: one for one in files}
    require_files(wanted, found)
    return [found[one] for one in wanted]


def require_files(wanted: Sequence[str], found: Container[str]) -> None:
    """Raise UserError for the first of the wanted uuids that is not among those found."""
    missing = next((one for one in wanted if one not in found), None)
    if missing is not None:
        raise UserError(f"There is no file {missing} in mail_attachments; upload it first.")


def _addresses(text: str | None) -> list[str]:
    return [format_header(one) for one in address_list(text or "")]
