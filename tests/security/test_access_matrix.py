"""Row W11 of the threat list: every path, as everybody; made from the application's own route table.

Each request runs in a transaction that is rolled back, so one path's effect is not the next one's cause. Who is not let
in gets 401, 403 or 404 (or is led to the login), reads nothing, and has changed nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts

from core.host.install import seed
from core.orm.transaction import rehearsal
from core.runtime import Runtime
from core.web import errors
from core.web.app import create_app
from core.web.guard import needed_scopes
from tests.databases import sqlite_alone as database_url
from tests.security.access_policy import Circle, circle_of
from tests.security.access_requests import REQUESTS, Sent
from tests.security.access_world import HOSTS, OURS, World, make_world
from tests.security.asgi import Answer, ask

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio

ADDONS = ["core", "crm", "invoicing", "mass_mailing", "sms", "whatsapp"]
REFUSED = (401, 403, 404)
_WITHOUT_TOKEN = ("anonymous", "portal", "user", "other", "admin")
"""Who is tried on pages, which take no tokens."""
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")

LETS_IN: Mapping[Circle, frozenset[str]] = {
    Circle.NOBODY: frozenset(),
    Circle.PROGRAM: frozenset(),
    Circle.PERSON: frozenset({"portal", "user", "other", "admin"}),
    Circle.LOGGED_IN: frozenset({"portal", "user", "other", "admin"}),
    Circle.INSIDE: frozenset({"user", "other", "admin"}),
    Circle.OURS: frozenset({"user", "admin"}),
    Circle.OWN: frozenset({"user"}),
    Circle.ADMIN: frozenset({"admin"}),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A method of a path; `scopes` are what a token needs there."""

    method: str
    path: str
    scopes: frozenset[str]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_api(self) -> bool:
        return self.path.startswith("/api/") or self.path == "/openapi.json"


@pytest.fixture
def settings() -> dict[str, object]:
    limits = ("API_REQUESTS_PER_MINUTE", "API_SENDS_PER_MINUTE", "API_REFUSALS_PER_MINUTE")
    return {"ADDONS": ADDONS, "MAIL_MODE": "catch", "MAIL_DOMAIN": "ours.test", **dict.fromkeys(limits, 0)}


def places_of(app: FastAPI) -> Iterator[Place]:
    for route in iter_route_contexts(app.routes):
        methods = set(route.methods or ())
        for method in sorted(methods - {"HEAD"} if "GET" in methods else methods):
            yield Place(method, str(route.path), frozenset(needed_scopes(route, method)))


async def test_every_path_says_whom_it_is_for(host: Runtime) -> None:
    unsaid = [str(place) for place in places_of(create_app()) if circle_of(place.method, place.path) is None]
    assert not unsaid, "Add a line for each of these to POLICY in tests/security/access_policy.py:\n" + "\n".join(
        unsaid
    )


async def test_everybody_everywhere(host: Runtime) -> None:
    await seed(host)
    world = await make_world()
    app = create_app()
    unread: list[str] = []
    app.add_exception_handler(RequestValidationError, _noting(unread))
    faults: list[str] = []
    for place in places_of(app):
        circle = circle_of(place.method, place.path)
        is_kept = REQUESTS.get(str(place), Sent()).is_kept
        for who in world.people if place.is_api else _WITHOUT_TOKEN:
            unread.clear()
            async with nullcontext() if is_kept else rehearsal():
                before = await _changes(host)
                answer = await _send(app, place, world, who)
                changes = 0 if is_kept else await _changes(host) - before
            fault = _fault(place, circle, who, answer, changes, bool(unread))
            if fault:
                faults.append(f"{place} as {who}: {fault} [{circle}]")
    assert not faults, "\n" + "\n".join(faults)


def _fault(place: Place, circle: Circle | None, who: str, answer: Answer, changes: int, is_unread: bool) -> str:
    """Return what is wrong with an answer; empty where nothing is."""
    if answer.status >= 500:
        return f"answers {answer.status}: {answer.words}"
    if HOSTS in answer.text and who != "admin":
        return "shows what only administrators may see"
    if OURS in answer.text and who not in ("user", "admin", "reader"):
        return "shows what is company A's"
    if circle is None or circle in (Circle.EVERYBODY, Circle.PROOF):
        return ""
    if _is_let_in(place, circle, who):
        if is_unread:
            return f"was not understood ({answer.status}), so nothing is proven; say in this file what to send"
        return "" if not _is_refused(answer) else f"is refused ({answer.status}): {answer.words}"
    if not _is_refused(answer):
        return f"is let in ({answer.status})"
    return f"is refused, and yet changed {changes} rows" if changes else ""


def _is_let_in(place: Place, circle: Circle, who: str) -> bool:
    if who == "reader":  # A token of the user's.
        return place.scopes == {"read"} and circle is not Circle.PERSON and "user" in LETS_IN[circle]
    return who in LETS_IN[circle]


def _is_refused(answer: Answer) -> bool:
    is_sent_to_log_in = answer.status == 303 and answer.headers["location"].startswith("/login?")
    return answer.status in REFUSED or is_sent_to_log_in


async def _send(app: FastAPI, place: Place, world: World, who: str) -> Answer:
    sent = REQUESTS.get(str(place), Sent())
    values = {**world.values, **{name: _filled(value, world.values) for name, value in sent.values.items()}}
    path = _filled(place.path, values) + (f"?{_filled(sent.query, values)}" if sent.query else "")
    kind, body = _body(place, sent, values)
    headers = {"Host": "127.0.0.1", **world.people[who], **kind, **sent.headers}
    return await ask(app, place.method, path, headers, body)


def _body(place: Place, sent: Sent, values: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """Return the headers that say what the body is, and the body: as a page's form, or as a program's JSON."""
    if sent.raw is not None or place.method in ("GET", "HEAD", "OPTIONS", "DELETE"):
        return {}, sent.raw or b""
    if sent.json is None and not place.is_api:
        form = {name: _filled(value, values) for name, value in (sent.form or {}).items()}
        return {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode()
    written = re.sub(r'"(\{\w+\})"', r"\1", json.dumps(sent.json or {}))
    return {"Content-Type": "application/json"}, _filled(written, values).encode()


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Put the world's values into a text."""
    unknown = [name for name in _PARAMETER.findall(text) if name not in values]
    assert not unknown, f"Give tests/security/access_world.py a value for {unknown}, which {text} takes."
    return _PARAMETER.sub(lambda found: values[found[1]], text)


async def _changes(host: Runtime) -> int:
    return int((await host.database.fetch("SELECT total_changes() AS n"))[0]["n"])


def _noting(unread: list[str]) -> Any:
    async def handle(request: Any, error: Exception) -> Any:
        unread.append(str(request.url))
        return await errors.on_invalid_request(request, error)

    return handle
