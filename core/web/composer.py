"""What the composer on a record page shows before anything goes: who will get it, and which templates fit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from core.access import Access
from core.errors import UserError
from core.runtime import get_model, runtime, settings
from core.web.words import people


@dataclass(frozen=True, slots=True)
class ChannelForm:
    """The form of one channel beside e-mail."""

    name: str
    title: str
    max_chars: int
    recipients: tuple[str, ...]
    templates: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Composer:
    """The forms of a record; `mode` is message, note or a channel.

    `draft` keeps what could not be sent; `draft_id` is a message that was taken back, which sending this one replaces.
    """

    recipients: tuple[str, ...]
    templates: tuple[Any, ...]
    channels: tuple[ChannelForm, ...] = ()
    mode: str = "message"
    subject: str = ""
    draft: str = ""
    error: str = ""
    draft_id: str = ""
    importance: str = "normal"
    send_at: str = ""
    is_outside: bool = False
    """Whether a customer writes, who chooses no recipients and mails nobody."""

    @property
    def button(self) -> str:
        """What the send button says: how many people get it."""
        return f"Send to {people(len(self.recipients))}" if self.recipients else "Send"


async def composer_for(record: Any, access: Access, user: Any, **typed: Any) -> Composer | None:
    """Return the composer, or None for a user who may not write on the record's timeline."""
    name = type(record).__name__
    if not access.may_post(name):
        return None
    if not access.is_internal:
        return Composer((), (), is_outside=True, **typed)
    templates = get_model("EmailTemplate").filter(model__identifier=name, active=True).order_by("name")
    recipients = tuple(await record.message_recipients(user))
    return Composer(recipients, tuple(await templates), await _channel_forms(record), **typed)


async def _channel_forms(record: Any) -> tuple[ChannelForm, ...]:
    """Return a form for each channel that some provider can send by."""
    forms = []
    for _, channel in runtime().contributions.channels:
        if not await get_model(channel.provider_model).filter(active=True).exists():
            continue
        templates = get_model("TextTemplate").filter(model__identifier=type(record).__name__, channel=channel.name)
        recipients = tuple(await record.channel_recipients(channel.name))
        shown = tuple(await templates.filter(active=True).order_by("name"))
        forms.append(ChannelForm(channel.name, channel.title, channel.max_chars, recipients, shown))
    return tuple(forms)


async def draft_of(record: Any, access: Access, draft_id: str) -> Any:
    """Return the record's draft of that id, or None where there is none that the user may finish."""
    if not draft_id.isascii() or not draft_id.isdigit() or len(draft_id) > 18:
        return None
    of_record = {"res_model": type(record).__name__, "res_id": record.pk}
    draft = await get_model("Message").get_or_none(id=int(draft_id), send_state="Draft", **of_record)
    return draft if draft is not None and access.may_take_back(draft) else None


def time_typed(text: str, zone: str) -> datetime | None:
    """Return the time of a `datetime-local` field, in the writer's zone; None where it is empty, UserError for none."""
    if not text:
        return None
    try:
        typed = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{text!r} is no time; write it as 2026-12-31T17:30.") from None
    return typed.replace(tzinfo=ZoneInfo(zone or settings().DEFAULT_TIMEZONE)) if typed.tzinfo is None else typed


def check_recipients(shown: list[str], now: list[str]) -> None:
    """Raise UserError where others would get the message than the page said."""
    if sorted(shown) != sorted(now):
        raise UserError(
            "The recipients changed since this page was loaded, so nothing was sent. Look at the button and try again."
        )
