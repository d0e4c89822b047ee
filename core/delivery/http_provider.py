"""A provider behind an HTTP interface: what is posted to it, and what its answer means.

The shape of requests and answers is data, so that a new provider is a record and not a program. An answer is classed
by its status (RFC 9110 section 15, RFC 6585 section 4 for 429) and, where the provider has codes of its own, by those.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from core import clock
from core.delivery.channel import ChannelResult
from core.errors import UserError
from core.pattern import pattern
from core.transport.http import HttpClient, HttpReply

_PLACE = pattern(r"\{(\w+)\}")
_OUR_ACCOUNT = frozenset({401, 402, 403, 404, 405, 407})
"""Refusals that speak of our address, password or credit, and not of a recipient."""
_BUSY_S = 30.0
_SHOWN_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpShape:
    """How to ask, and where the answer says what. Paths are dotted: `messages.0.id`.

    `body` is what is posted, as JSON or as a form; a text in it may hold the places `{to}`, `{text}`, `{sender}` and
    `{reference}`. Codes are those at `code_path`, as text.
    """

    body: Mapping[str, Any]
    is_form: bool = False
    id_path: str = "id"
    code_path: str = ""
    words_path: str = ""
    account_codes: frozenset[str] = field(default_factory=frozenset)
    """Our account is at fault: the provider is paused."""
    busy_codes: frozenset[str] = field(default_factory=frozenset)
    """Too much at once: the provider is paused for a while."""
    temporary_codes: frozenset[str] = field(default_factory=frozenset)
    """This recipient may be tried again."""


async def post_message(
    http: HttpClient, url: str, headers: Mapping[str, str], shape: HttpShape, places: Mapping[str, Any], secret: str
) -> ChannelResult:
    """Post one message; HttpError where there is no answer. `places` are the values for the body's places.

    An answer may repeat our headers, or the secret in them: neither stands in the result's words.
    """
    body = filled(shape.body, places)
    if shape.is_form:
        content, kind = urlencode(body).encode(), "application/x-www-form-urlencoded"
    else:
        content, kind = json.dumps(body, ensure_ascii=False).encode(), "application/json"
    hidden = {secret, *headers.values(), *(value.rpartition(" ")[2] for value in headers.values())} - {""}
    return result_of(await http.post(url, content, {"Content-Type": kind, **headers}), shape, hidden)


def filled(value: Any, places: Mapping[str, Any]) -> Any:
    """Return a body with its places filled in; UserError for a place that is none.

    What is filled in is not looked at again. A text that is nothing but a place becomes its value, whatever its type.
    """
    if isinstance(value, Mapping):
        return {name: filled(one, places) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, places) for one in value]
    if not isinstance(value, str):
        return value
    unknown = [name for name in _PLACE.findall(value) if name not in places]
    if unknown:
        raise UserError(
            f"There is no place {{{unknown[0]}}}; a body may hold {', '.join(f'{{{one}}}' for one in places)}."
        )
    whole = _PLACE.fullmatch(value)
    return places[whole[1]] if whole else _PLACE.sub(lambda found: str(places[found[1]]), value)


def value_at(data: Any, path: str) -> Any:
    """Return what stands at a dotted path in JSON data; None where nothing does."""
    for step in path.split(".") if path else ():
        if isinstance(data, Mapping):
            data = data.get(step)
        elif isinstance(data, list) and step.isdecimal() and int(step) < len(data):
            data = data[int(step)]
        else:
            return None
    return data if path else None


def text_at(data: Any, path: str) -> str:
    """Return the text or number at a dotted path as text; empty for anything else."""
    value = value_at(data, path)
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def result_of(reply: HttpReply, shape: HttpShape, hidden: Collection[str] = ()) -> ChannelResult:
    """Tell what an answer means for the recipient, without the texts that are to be hidden."""
    data = _json(reply)
    code = text_at(data, shape.code_path)
    words = _words(reply, data, shape, code, hidden)
    if code in shape.account_codes:
        return ChannelResult.fault(words, reply.status)
    if code in shape.busy_codes:
        return ChannelResult.fault(words, reply.status, _retry_after_s(reply))
    if code in shape.temporary_codes:
        return ChannelResult.temporary(words, reply.status)
    return _by_status(reply, data, shape, words)


def _by_status(reply: HttpReply, data: Any, shape: HttpShape, words: str) -> ChannelResult:
    status = reply.status
    if 200 <= status < 300:
        remote_id = text_at(data, shape.id_path)
        if shape.id_path and not remote_id:
            return ChannelResult.unknown(f"{words}: an acceptance without an id at {shape.id_path}", status)
        return ChannelResult.sent(remote_id, words, status)
    if 300 <= status < 400:
        return ChannelResult.fault(f"{words}: a redirect, which is not followed; correct the URL", status)
    if status in (429, 502, 503):
        return ChannelResult.fault(words, status, _retry_after_s(reply))
    if status in _OUR_ACCOUNT:
        return ChannelResult.fault(words, status)
    if status == 504:
        # Somebody on the way gave up waiting for the provider, which may go on.
        return ChannelResult.unknown(words, status)
    if status in (408, 425) or status >= 500:
        return ChannelResult.temporary(words, status)
    return ChannelResult.permanent(words, status)


def _json(reply: HttpReply) -> Any:
    if reply.is_cut:
        return None
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        return None


def _words(reply: HttpReply, data: Any, shape: HttpShape, code: str, hidden: Collection[str]) -> str:
    said = text_at(data, shape.words_path) or (code if code else " ".join(reply.text.split()))
    shown = f"{code} {said}" if code and code != said else said
    # Before the cut, which could leave a part of one.
    for one in sorted(hidden, key=len, reverse=True):
        shown = shown.replace(one, "***")
    return f"HTTP {reply.status} {shown[:_SHOWN_CHARS]}".rstrip()


def _retry_after_s(reply: HttpReply) -> float:
    """Return how long the answer asks us to wait (RFC 9110 section 10.2.3: seconds, or a date)."""
    said = reply.headers.get("retry-after", "").strip()
    if said.isdecimal():
        return float(said[:6])
    try:
        at = parsedate_to_datetime(said)
    except (TypeError, ValueError):
        return _BUSY_S
    aware: datetime = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((aware - clock.now()).total_seconds(), 0.0)
