"""How a message's body is shown: as text where its HTML says no more, else in frames; quotes and signatures folded.

Cutting and measuring take their time with a long mail, so a page asks for all its bodies in a thread.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from core.access import Access
from core.mail.address import normalised, tolerant_addresses
from core.mail.body import html_to_text
from core.mail.quotation import split_reply, split_reply_html
from core.mail.quotation_words import FORWARDING_SUBJECT
from core.mail.sanitise import has_remote_pictures
from core.mail.values import Reply
from core.pattern import pattern
from core.runtime import get_model

_PLAIN_TAGS = pattern(r"<(?!/?(?:p|br|div|span|a|b|i|em|strong|font|wbr|o:p|body|html)\b)[a-z!/]", re.IGNORECASE)
_STYLED = pattern(
    r"style=[\"'][^\"']{0,500}?(?:background|border|color:\s?(?!#000\b|black|rgb\(0, ?0, ?0\)|windowtext))",
    re.IGNORECASE,
)
_BARE_LINK = pattern(r'<a href="([^"<>]{1,2000})"[^<>]{0,200}>\1</a>')
_PICTURE = pattern(r"<img\b(?:[^<>]{0,1000}?\bheight\s?=\s?[\"']?(\d{1,4}))?", re.IGNORECASE)

_FINNISH_SENDER = pattern(r"(?:L(?:ä|&auml;)hett(?:ä|&auml;)j(?:ä|&auml;)|Saatja)\s?:")
_TALL = pattern(r"<(?:h[1-3]|tr)\b", re.IGNORECASE)

_LINE_PX = 24
_TALL_PX = 18
_GAP_PX = 12
_AROUND_PX = 48
_PICTURE_PX = 80
_MEASURED_CHARS = 200_000
_LINE_CHARS, _NARROW_LINE_CHARS = 92, 38
_LOWEST_PX, _HIGHEST_PX = 70, 900


class Pictures(StrEnum):
    """What becomes of pictures that lie elsewhere."""

    NONE = "none"
    HELD = "held"
    SHOWN = "shown"


@dataclass(frozen=True, slots=True)
class Height:
    """How high a frame is, at a desk and on a telephone, in CSS pixels."""

    wide_px: int
    narrow_px: int


@dataclass(frozen=True, slots=True)
class Body:
    """A body in two halves, each as text or as HTML for a frame."""

    new: str
    quoted: str
    fold_title: str = "Quoted text"
    is_html: bool = False
    is_quoted_html: bool = False
    height: Height = Height(_LOWEST_PX, _LOWEST_PX)
    quoted_height: Height = Height(_LOWEST_PX, _LOWEST_PX)
    pictures: Pictures = Pictures.NONE
    sender: str = ""
    """Whom a mail is proven to be from."""
    is_remembered: bool = False
    """Whether the user always sees the pictures of this sender."""


async def bodies_of(messages: Sequence[Any], access: Access, shown: int | None = None) -> list[Body]:
    """Cut the bodies of some messages; `shown` is the id of one whose pictures the user asked for."""
    bodies = await asyncio.to_thread(lambda: [body_of(message) for message in messages])
    allowed = await _allowed_senders({body.sender for body in bodies if body.pictures is Pictures.HELD}, access)
    return [
        replace(body, pictures=Pictures.SHOWN, is_remembered=body.sender in allowed)
        if body.pictures is Pictures.HELD and (message.id == shown or body.sender in allowed)
        else body
        for message, body in zip(messages, bodies, strict=True)
    ]


def sender_of(message: Any) -> str:
    """Return the address that a mail is proven to be from; empty for what is not, or is no mail that came in."""
    if message.direction != "Inbound" or message.authenticity != "pass":
        return ""
    return next((normalised(one.address) for one in tolerant_addresses(message.email_from)), "")


async def _allowed_senders(senders: set[str], access: Access) -> set[str]:
    """Return those senders whose pictures the user always sees."""
    rows = get_model("PictureSender").filter(user_id=access.user_id, address__in=list(senders - {""}))
    return set(await rows.values_list("address", flat=True)) if senders - {""} else set()


def body_of(message: Any) -> Body:
    """Cut a message's body."""
    if _is_plain(message.body) and "style=" not in message.body:
        cut = split_reply(text_of(message), is_forward=is_forward(message))
        return Body(cut.new, cut.quoted, _fold_title(cut))
    cut = split_reply_html(message.body, is_forward=is_forward(message))
    is_html, is_quoted_html = not _is_plain(cut.new), bool(cut.quoted) and not _is_plain(cut.quoted)
    return Body(
        new=cut.new if is_html else html_to_text(cut.new),
        quoted=cut.quoted if is_quoted_html else html_to_text(cut.quoted),
        fold_title=_fold_title(cut),
        is_html=is_html,
        is_quoted_html=is_quoted_html,
        height=frame_height(cut.new) if is_html else Height(0, 0),
        quoted_height=frame_height(cut.quoted) if is_quoted_html else Height(0, 0),
        pictures=Pictures.HELD if has_remote_pictures(message.body) else Pictures.NONE,
        sender=sender_of(message),
    )


def is_forward(message: Any) -> bool:
    """Whether a mail passes another one on, as its subject says."""
    if FORWARDING_SUBJECT.match(message.subject) is None:
        return False
    # "VS:" is a forward in Danish and Norwegian, and an answer in Finnish and Estonian.
    return not (message.subject.lstrip()[:2].upper() == "VS" and _FINNISH_SENDER.search(message.body))


def _fold_title(cut: Reply) -> str:
    return "Signature" if cut.is_signature else "Quoted text"


def text_of(message: Any) -> str:
    """Return a body as text; a link that shows its own address is written once."""
    if message.text is not None:
        return str(message.text)
    return html_to_text(_BARE_LINK.sub(r"\1", message.body))


def frame_height(html: str) -> Height:
    """Guess how high a frame must be, since nothing inside it may tell: by the lines of its text, and its pictures."""
    html = html[:_MEASURED_CHARS]
    lines = html_to_text(html).split("\n")
    pictures_px = sum(
        min(int(one[1] or _PICTURE_PX), 500) for one in _PICTURE.finditer(html) if one[1] not in ("0", "1")
    )
    extra_px = pictures_px + sum(_TALL_PX for _ in _TALL.finditer(html)) + _AROUND_PX
    # Paragraphs of Outlook stand close, and one between two of them is blank itself.
    gap_px = 0 if "MsoNormal" in html else _GAP_PX
    wide, narrow = (
        sum((1 + len(line) // width) * _LINE_PX if line else gap_px for line in lines) + extra_px
        for width in (_LINE_CHARS, _NARROW_LINE_CHARS)
    )
    return Height(_within(wide), _within(narrow))


def _within(height_px: int) -> int:
    return min(max(height_px, _LOWEST_PX), _HIGHEST_PX)


def _is_plain(html: str) -> bool:
    """Whether a text says all that some HTML does."""
    return _PLAIN_TAGS.search(html) is None and _STYLED.search(html) is None
