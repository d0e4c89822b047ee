"""Who must not be mailed, asked once per claim and again before content leaves; and how an address comes and goes.

An entry without a list blocks all mail to its address; one with a list blocks the mail of that list only, and the
list `*` that of every list, but not what somebody writes to the address in person.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from core import clock
from core.delivery.request import check_times
from core.errors import AddressError
from core.mail.address import normalised
from core.mail.suppression import Reason, Suppressed
from core.mail.words import clean_text
from core.pattern import pattern
from core.runtime import get_model, runtime

_NUMBER = pattern(r"\+[0-9]{3,15}")
_MAILBOX = pattern(r"[^\s\x00-\x1f\x7f,;<>]+@[^\s\x00-\x1f\x7f,;<>@]+")
_ADDRESS_CHARS = 320
_LIST_CHARS = 255
_NOTE_CHARS = 500
_SOURCE_CHARS = 64
_ASK_CHARS = 80
EVERY_LIST = "*"


_BOUNCES = frozenset({Reason.HARD_BOUNCE, Reason.SOFT_BOUNCE})


async def suppressed(wanted: Sequence[tuple[int, str, str | None]]) -> dict[int, str]:
    """Return why, in words, by delivery id, for those of (delivery id, address, list or None) that must not be mailed.

    One query, whatever their number.
    """
    by_id = {delivery_id: (plain_address(address), of_list or "") for delivery_id, address, of_list in wanted}
    addresses = sorted({address for address, _ in by_id.values()})
    if not addresses:
        return {}
    database = runtime().database
    dialect = database.dialect
    rows = await database.fetch(
        f"""SELECT address, list, reason, note, created_at FROM suppression
            WHERE {dialect.among_texts("address", dialect.param(1))}
              AND (expires_at IS NULL OR expires_at > {dialect.now()})
            ORDER BY id""",
        [dialect.texts(addresses)],
    )
    if not rows:
        return {}
    found: dict[tuple[str, str], str] = {}
    for row in rows:
        at = dialect.read_time(row["created_at"])
        found.setdefault((row["address"], row["list"]), _words(row["reason"], row["list"], row["note"], at))
    blocked = {
        delivery_id: next((words for one in _scopes(of_list) if (words := found.get((address, one)))), None)
        for delivery_id, (address, of_list) in by_id.items()
    }
    return {delivery_id: words for delivery_id, words in blocked.items() if words}


def _scopes(of_list: str) -> tuple[str, ...]:
    return ("", of_list, EVERY_LIST) if of_list else ("",)


async def suppress(
    address: str,
    *,
    reason: str,
    list: str = "",
    source: str = "",
    note: str = "",
    expires_at: datetime | None = None,
) -> None:
    """Write to an address no more: no mail at all where `list` is empty, else none of that list.

    Known already for this reason: the newer words count, and the later end. AddressError where it is no address.
    """
    await suppress_all([Suppressed(address, list, reason, source, note, expires_at)])


async def suppress_all(entries: Sequence[Suppressed]) -> None:
    """Write to many addresses no more, all of them or none; AddressError where one is no address, UserError for an end
    that lies too far.
    """
    for entry in entries:
        check_times(expires_at=entry.expires_at)
    database = runtime().database
    dialect = database.dialect
    params = ", ".join(map(dialect.param, range(1, 8)))
    now = dialect.time(clock.now())
    rows = [
        (
            checked_address(entry.address),
            clean_text(entry.list)[:_LIST_CHARS],
            Reason(entry.reason).value,
            clean_text(entry.source)[:_SOURCE_CHARS],
            clean_text(entry.note)[:_NOTE_CHARS],
            entry.expires_at and dialect.time(entry.expires_at),
            now,
        )
        for entry in entries
    ]
    await database.execute_many(
        f"""INSERT INTO suppression (address, list, reason, source, note, expires_at, created_at) VALUES ({params})
            ON CONFLICT (address, list, reason) DO UPDATE SET
                source = excluded.source, note = excluded.note, created_at = excluded.created_at,
                expires_at = CASE WHEN suppression.expires_at IS NULL OR excluded.expires_at IS NULL THEN NULL
                                  WHEN suppression.expires_at > excluded.expires_at THEN suppression.expires_at
                                  ELSE excluded.expires_at END""",
        rows,
    )


def checked_address(address: str) -> str:
    """Return the address in the form that entries are kept by; AddressError where it is none."""
    plain = plain_address(address)
    if not (_MAILBOX.fullmatch(plain) or _NUMBER.fullmatch(plain)) or len(plain) > _ADDRESS_CHARS:
        raise AddressError(f"{address[:_ASK_CHARS]!r} is not an address; write name@domain, or +49 and so on.")
    return plain


async def unsuppress(address: str, *, list: str | None = "", reason: str | None = None) -> int:
    """Write to an address again; return how many entries that ended.

    `list` None means all of its entries, whatever they are for; `reason` None means any reason. What bounced before
    does not count any more.
    """
    if reason is None or reason in _BOUNCES:
        await get_model("MailEvent").filter(recipient=plain_address(address), settled=False).update(settled=True)
    entries = get_model("Suppression").filter(address=plain_address(address))
    if list is not None:
        entries = entries.filter(list=list)
    if reason is not None:
        entries = entries.filter(reason=reason)
    ended: int = await entries.delete()
    return ended


def plain_address(address: str) -> str:
    """Return the form in which equal addresses are equal: of a mailbox, or of a telephone number (E.164)."""
    number = address.strip()
    return number if _NUMBER.fullmatch(number) else normalised(address)


def _words(reason: str, of_list: str, note: str, at: datetime | None) -> str:
    on = f" on {at:%Y-%m-%d}" if at else ""
    scope = "" if not of_list else " from every list" if of_list == EVERY_LIST else f" from the list {of_list}"
    said = f" ({note})" if note else ""
    why = Reason(reason).words.lower()
    return f"The address is suppressed: {why}{scope}{on}{said}. To write to it again, remove it under Suppression."
