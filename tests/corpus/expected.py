"""What a folder's `expected.yaml` says of its mails, and how a mail that was dealt with is held against it.

Each entry holds only what its mail is there for, beside `outcome`. Differences are told as sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.gateway.values import Account, Received
from core.mail.automatic import no_answer_reason
from core.mail.body import html_to_text
from core.mail.quotation import split_reply
from core.mail.sanitise import safe_html
from core.mail.values import Mailbox
from core.web.bodies import body_of, is_forward

FOLDER = Path(__file__).parent
FILE = "expected.yaml"
_LIVE = re.compile(
    r"<(?:script|iframe|object|embed|form|meta|base|svg|link)\b|<[^>]*\s(?:on\w+\s*=|href=.javascript:)", re.I
)
_SUBJECT_CHARS = 998


@dataclass(frozen=True, slots=True)
class Seen:
    """A mail of the corpus, read and dealt with; `message` is its timeline entry where it became one."""

    name: str
    email: Received
    account: Account
    message: Any
    records: Mapping[str, str]


def folders() -> list[Path]:
    """Return the folders of the corpus."""
    return sorted(path.parent for path in FOLDER.glob(f"*/{FILE}"))


def expected_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what a folder expects, by file name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((folder / FILE).read_text("utf-8"))
    return found


def differences(seen: Seen, expected: Mapping[str, Any]) -> Iterator[str]:
    """Say in a sentence each what is other than expected, and what no mail may lead to."""
    for key, wanted in expected.items():
        found = _READ[key](seen)
        if not _is_as_wanted(key, found, wanted):
            yield f"{seen.name}: {key} is {found!r}, not {wanted!r}"
    if "own" in expected and seen.email.parsed.text:
        own = split_reply(seen.email.parsed.text, is_forward=is_forward(seen.message)).new
        if _lines(own) != _lines(expected["own"]):
            yield f"{seen.name}: own words of its text part are {own!r}, not {expected['own']!r}"
    yield from (f"{seen.name}: {one}" for one in _broken(seen))


def _is_as_wanted(key: str, found: Any, wanted: Any) -> bool:
    if key in _CONTAINS:
        pieces = wanted if isinstance(wanted, list) else [wanted]
        return all(piece in found for piece in pieces)
    if key in _HIDES:
        return not any(piece in found for piece in (wanted if isinstance(wanted, list) else [wanted]))
    if key == "defects":
        return len(found) == len(wanted) and all(any(word in one for one in found) for word in wanted)
    if key == "own":
        return _lines(found) == _lines(wanted)
    if key == "quoted" and not wanted:
        return not found
    return bool(found == wanted)


def _broken(seen: Seen) -> Iterator[str]:
    """What holds for every mail, whatever it is."""
    parsed = seen.email.parsed
    texts = (parsed.subject, seen.email.text, seen.email.html, *(value for _, value in parsed.headers))
    texts += tuple(file.name for file in seen.email.files) + parsed.defects
    if any("\0" in text or any("\ud800" <= char <= "\udfff" for char in text) for text in texts):
        yield "a text holds NUL or half a character"
    if any("/" in file.name or "\\" in file.name or file.name.startswith(".") for file in seen.email.files):
        yield "the name of a file is a path"
    if live := _LIVE.search(safe_html(seen.email.html, lambda cid: f"/files/{cid}", remote_images=True)):
        yield f"its HTML is live: {live[0]!r}"
    message = seen.message
    written = (parsed.subject[:_SUBJECT_CHARS], parsed.text)
    if message and message.direction == "Inbound" and (message.subject, message.text) != written:
        yield "its timeline entry says something else"
    if seen.account.error or seen.account.outcome in ("failed", "unrouted"):
        yield f"it failed: {seen.account.error}"


def _mailbox(mailbox: Mailbox | None) -> str:
    return "" if mailbox is None else f"{mailbox.name} <{mailbox.address}>".strip()


def _models(seen: Seen) -> Any:
    told = seen.account.records or ((seen.account.record,) if seen.account.record else ())
    names = {record: name for name, record in seen.records.items()}
    found = [names.get(one) or one.partition(":")[0] for one in told]
    return found[0] if len(found) == 1 else found


def _files(seen: Seen) -> list[dict[str, Any]]:
    return [
        {"name": file.name, "type": file.content_type, "size": len(file.content)}
        | ({"inline": True} if file.content_id else {})
        for file in seen.email.files
    ]


def _bounces(seen: Seen) -> list[str]:
    return [f"{one.address} {one.action} {'hard' if one.hard else 'soft'}" for one in seen.account.bounces]


def _event(seen: Seen) -> dict[str, str] | None:
    event = seen.email.parsed.event
    if event is None:
        return None
    starts = event.starts_at or event.starts_on
    return {"method": event.method, "summary": event.summary, "starts": starts.isoformat() if starts else ""}


def _lines(text: str) -> list[str]:
    """Return what stands on the lines; how many empty ones are between is a matter of layout."""
    return [line for one in text.splitlines() if (line := " ".join(one.split()))]


def _own(seen: Seen) -> str:
    body = body_of(seen.message)
    return html_to_text(body.new) if body.is_html else body.new


def _quoted(seen: Seen) -> str:
    body = body_of(seen.message)
    return html_to_text(body.quoted) if body.is_quoted_html else body.quoted


def _date(seen: Seen) -> str:
    at = seen.email.parsed.date_at
    return at.isoformat().replace("+00:00", "Z") if at else ""


_READ: dict[str, Callable[[Seen], Any]] = {
    "outcome": lambda seen: seen.account.outcome.value,
    "becomes": _models,
    "rule": lambda seen: seen.account.trace[-1].rule,
    "why": lambda seen: seen.account.trace[-1].reason,
    "waits": lambda seen: seen.account.waits,
    "no_answer": lambda seen: no_answer_reason(seen.email.parsed) or "",
    "sender": lambda seen: _mailbox(seen.email.parsed.sender),
    "reply_to": lambda seen: [one.address for one in seen.email.parsed.reply_to],
    "recipients": lambda seen: list(seen.email.recipients),
    "door": lambda seen: seen.account.door,
    "subject": lambda seen: seen.email.parsed.subject,
    "date": _date,
    "text": lambda seen: seen.email.text,
    "not_text": lambda seen: seen.email.text,
    "html": lambda seen: safe_html(seen.email.html, lambda cid: f"/files/{cid}"),
    "not_html": lambda seen: safe_html(seen.email.html, lambda cid: f"/files/{cid}"),
    "own": _own,
    "shown": _own,
    "quoted": _quoted,
    "files": _files,
    "event": _event,
    "defects": lambda seen: list(seen.email.parsed.defects),
    "bounces": _bounces,
    "verified": lambda seen: seen.email.authentication.is_verified,
    "authenticity": lambda seen: seen.email.authentication.verdict.value,
    "kind": lambda seen: seen.message.kind,
    "author_is_user": lambda seen: seen.message.author_id is not None,
}
_CONTAINS = frozenset({"why", "text", "html", "no_answer", "quoted", "shown"})
_HIDES = frozenset({"not_text", "not_html"})
