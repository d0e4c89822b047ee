"""Invitations to events: a plain value in, iCalendar text out that Gmail, Outlook and Apple's Calendar answer to.

The same value and stamp give the same text. RFC 5545 for the text, RFC 5546 for what each method must say, RFC 6047 for
how it goes by mail. It makes no identifier and asks no clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from core.errors import UserError
from core.mail.address import envelope_address, header_text
from core.mail.time_zone import time_zone
from core.mail.values import Calendar, Mailbox
from core.pattern import pattern

_PRODUCT = "-//Postroom//Postroom//EN"
_METHOD_LINE = pattern(r"^METHOD:([A-Z]{3,20})\r?$", re.MULTILINE)
_NAMES_OF_UTC = frozenset({"UTC", "Etc/UTC", "Etc/UCT", "Etc/Zulu", "Etc/Universal", "UCT", "Zulu", "Universal"})
_UID_MAX_CHARS = 255
_LARGEST = 2**31 - 1
"""RFC 5545 section 3.3.8."""
_FIRST_YEAR, _LAST_YEAR = 1900, 2500
"""Zones have no rules beyond, and calendars no days."""


class InviteMethod(StrEnum):
    """What an invitation asks for (RFC 5546 section 3.2)."""

    REQUEST = "REQUEST"
    """Come, or: what you were told has changed; `sequence` then counts up."""
    CANCEL = "CANCEL"
    """It does not take place."""
    REPLY = "REPLY"
    """The one attendee answers."""


class AttendeeRole(StrEnum):
    """How much an attendee is needed."""

    CHAIR = "CHAIR"
    REQUIRED = "REQ-PARTICIPANT"
    OPTIONAL = "OPT-PARTICIPANT"
    INFORMED = "NON-PARTICIPANT"


class AttendeeAnswer(StrEnum):
    """What an attendee said."""

    NONE = "NEEDS-ACTION"
    ACCEPTED = "ACCEPTED"
    TENTATIVE = "TENTATIVE"
    DECLINED = "DECLINED"


@dataclass(frozen=True, slots=True)
class Attendee:
    """One who is invited; `rsvp` asks for an answer."""

    mailbox: Mailbox
    role: AttendeeRole = AttendeeRole.REQUIRED
    answer: AttendeeAnswer = AttendeeAnswer.NONE
    rsvp: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """An event, and what is asked of those in it.

    Times are aware; a ZoneInfo is kept as the event's zone, any other zone becomes UTC. With `is_all_day` each day
    counts of which the event has a part. `recurrence` is a rule, `FREQ=WEEKLY;COUNT=4`. `sequence` is 0 at first, and
    one more with each change or cancellation. `alarm_minutes` is how long before the start programs remind of it.
    """

    uid: str
    summary: str
    starts_at: datetime
    ends_at: datetime
    organizer: Mailbox
    attendees: tuple[Attendee, ...] = ()
    is_all_day: bool = False
    location: str = ""
    description: str = ""
    method: InviteMethod = InviteMethod.REQUEST
    sequence: int = 0
    recurrence: str = ""
    alarm_minutes: int | None = None


def invitation(invite: Invite, stamped_at: datetime) -> Calendar:
    """Return the iCalendar text; `stamped_at` is the aware time of this version (DTSTAMP).

    Raises UserError for times without zone or in the wrong order, a rule that is none, or an answer of not exactly one
    attendee; AddressError for an address, or a character that no line may hold.
    """
    # Imported here: a tenth of a second, for the few hosts that invite.
    import icalendar

    _check(invite, stamped_at)
    start, end = _times(invite)
    calendar = icalendar.Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", invite.method.value)
    if isinstance(start, datetime) and isinstance(start.tzinfo, ZoneInfo):
        repeats = bool(invite.recurrence)
        calendar.add_component(time_zone(start.tzinfo, start.year, end.year, repeats=repeats))
    event = _event(invite)
    event.add("dtstart", start)
    event.add("dtend", end)
    event.add("dtstamp", stamped_at.astimezone(UTC).replace(microsecond=0))
    calendar.add_component(event)
    return Calendar(calendar.to_ical().decode("utf-8"), invite.method.value)


def calendar_of(text: str) -> Calendar:
    """Return iCalendar text, such as was stored, with the method that it names; UserError where it names none."""
    match = _METHOD_LINE.search(text)
    if match is None:
        raise UserError(
            "The calendar text has no METHOD, so no mail program would know what it asks; add METHOD:REQUEST."
        )
    return Calendar(text, match[1])


def _check(invite: Invite, stamped_at: datetime) -> None:
    for moment in (invite.starts_at, invite.ends_at, stamped_at):
        if moment.utcoffset() is None:
            raise UserError("The times of an invitation need a time zone; pass aware datetimes.")
        if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
            raise UserError(f"An invitation is for the years {_FIRST_YEAR} to {_LAST_YEAR}, not for {moment.year}.")
    if invite.ends_at <= invite.starts_at:
        raise UserError(
            f'"{invite.summary}" ends at {invite.ends_at}, which is not after its start; correct the times.'
        )
    if not 0 <= invite.sequence <= _LARGEST or not 0 <= (invite.alarm_minutes or 0) <= _LARGEST:
        raise UserError(f"The sequence of an invitation, and its alarm's minutes, are 0 to {_LARGEST}.")
    if not invite.uid.strip() or len(invite.uid) > _UID_MAX_CHARS:
        raise UserError(f"An invitation needs a uid of 1 to {_UID_MAX_CHARS} characters, the same in all its versions.")
    if invite.method is InviteMethod.REPLY and len(invite.attendees) != 1:
        raise UserError(f"An answer comes from one attendee, and this one names {len(invite.attendees)}.")


def _times(invite: Invite) -> tuple[datetime, datetime] | tuple[date, date]:
    """Return start and end as the text has them: days, local times of one zone, or UTC."""
    start, end = invite.starts_at, invite.ends_at
    if invite.is_all_day:
        # The end of a day is the next one: DTEND is the first that the event has no part of.
        is_midnight = end.time() == time()
        return start.date(), end.date() + timedelta(days=0 if is_midnight else 1)
    zone = start.tzinfo
    in_utc = (start.astimezone(UTC), end.astimezone(UTC))
    if not isinstance(zone, ZoneInfo) or zone.key is None or zone.key in _NAMES_OF_UTC:
        return in_utc
    start, end = in_utc[0].astimezone(zone), in_utc[1].astimezone(zone)
    # Of an hour that comes twice, a local time can only mean the first.
    return in_utc if start.fold or end.fold else (start, end)


def _event(invite: Invite) -> Any:
    from icalendar import Event  # As above.

    event = Event()
    event.add("uid", header_text(invite.uid))
    event.add("summary", header_text(invite.summary))
    event.add("sequence", invite.sequence)
    event.add("status", "CANCELLED" if invite.method is InviteMethod.CANCEL else "CONFIRMED")
    event.add("organizer", _address(invite.organizer))
    for attendee in invite.attendees:
        event.add("attendee", _attendee(attendee, invite.method))
    if invite.location:
        event.add("location", header_text(invite.location))
    if invite.description:
        event.add("description", _lines(invite.description))
    if invite.recurrence:
        event.add("rrule", _rule(invite.recurrence))
    if invite.alarm_minutes is not None and invite.method is InviteMethod.REQUEST:
        event.add_component(_alarm(invite))
    return event


def _lines(text: str) -> str:
    return "\n".join(map(header_text, text.splitlines()))


def _address(mailbox: Mailbox) -> Any:
    from icalendar import vCalAddress  # As above.

    address = vCalAddress(f"mailto:{quote(envelope_address(mailbox.address), safe='@+.=_~-')}")
    if mailbox.name:
        # A quoted name cannot hold a quote, and Outlook does not know the circumflex of RFC 6868.
        address.params["CN"] = header_text(mailbox.name).replace('"', "'")
    return address


def _attendee(attendee: Attendee, method: InviteMethod) -> Any:
    address = _address(attendee.mailbox)
    address.params["ROLE"] = attendee.role.value
    address.params["PARTSTAT"] = attendee.answer.value
    if method is InviteMethod.REQUEST:
        address.params["RSVP"] = "TRUE" if attendee.rsvp else "FALSE"
    return address


def _rule(recurrence: str) -> Any:
    from icalendar import vRecur  # As above.

    try:
        rule = vRecur.from_ical(header_text(recurrence))
    except ValueError as error:
        raise UserError(f"{recurrence!r} is no recurrence: {error}; write it as FREQ=WEEKLY;COUNT=4.") from error
    if "FREQ" not in rule:
        raise UserError(f"{recurrence!r} is no recurrence; write it as FREQ=WEEKLY;COUNT=4.")
    return rule


def _alarm(invite: Invite) -> Any:
    from icalendar import Alarm  # As above.

    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("description", header_text(invite.summary))
    alarm.add("trigger", -timedelta(minutes=invite.alarm_minutes or 0))
    return alarm
