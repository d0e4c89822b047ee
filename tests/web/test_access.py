"""The matrix of SECURITY W11, made from the route table: a path that somebody adds is in it by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.access import Right, access_of, closure, may
from core.errors import AccessDenied, UnknownName
from core.runtime import get_model
from core.web.app import create_app
from core.web.guard import OPEN, PUBLIC
from tests.web.browser import Browser
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio

FOR_EVERYONE_LOGGED_IN = re.compile(
    r"/$|/logout|/news/read|/docs|/openapi.json|/login|/api/health|/api/live$|/account|/api/auth/|/api/models|/metrics"
    r"|/api/uploads|/api/files|/api/email/signature|/api/email/smtpOptions|/api/core/mail/"
)
"""What is one's own, or nobody's; mail accounts are their teams'."""
FOR_ADMINISTRATORS = {
    "/servers",
    "/servers/explain",
    "/inbound/load",
    "/routes",
    "/routes/cases/{case_id}",
    "/audit",
    "/webhooks",
}
ENDS_A_SIGN_IN = {"/servers/oauth/callback"}
"""It wants what only a provider can bring back."""
OF_THE_HOST = {"/api/desk/broken", "/api/desk/add"}
"""Paths of the test's addon that ask for nothing."""


def routes() -> Iterator[tuple[str, str]]:
    """Every (method, path) of the application."""

    def walk(found: list[Any]) -> Iterator[tuple[str, str]]:
        for route in found:
            if hasattr(route, "original_router"):
                yield from walk(route.original_router.routes)
            elif getattr(route, "methods", None):
                yield from ((method, route.path) for method in route.methods - {"HEAD", "OPTIONS"})

    return walk(create_app().routes)


def filled(path: str, ids: dict[str, int]) -> str:
    """The path with a value for each parameter."""
    words = {"model": "Ticket", "identifier": "greet", "action": "retry", "change": "follow", "index": 0, **ids}
    words |= {"channel": "sms", "token": "unsigned", "account_id": 1}
    words["key"], words["account_id"] = "config", 1
    if path.startswith(("/dev/", "/api/dev/")):
        words["action"] = "bounce"
    return re.sub(r"{(\w+)(?::\w+)?}", lambda match: str(words.get(match[1], ids.get("record_id", 1))), path)


_BODIES: dict[str, dict[str, Any]] = {
    "/api/suppression": {"address": "e@f.example"},
    "check": {},
    "replay": {},
    "discard": {},
    "assign": {"model": "Ticket", "record_id": 1},
    "create": {"route_id": 1},
}


async def ask(browser: Browser, method: str, path: str) -> int:
    if method == "GET":
        return int((await browser.client.get(path)).status_code)
    if path.startswith("/api/"):
        body = {"sender": "a@b.example", "to": "leads@desk.example"}
        body = _BODIES.get(path if path == "/api/suppression" else path.rpartition("/")[2], body)
        return int((await browser.client.request(method, path, json=body)).status_code)
    fields = {"body": "x", "sender": "a@b.example", "to": "c@d.example", "text": "x", "address": "e@f.example"}
    fields |= {"number": "1", "subject": "x"}
    return int((await browser.post(path, **fields)).status_code)


async def stock(ticket: Any, company: Any) -> dict[str, int]:
    """Put one of everything on a ticket, and return the ids."""
    file = await get_model("Attachment").create(name="a.txt", content=b"x", size_bytes=1, sha256="0" * 64)
    message = await ticket.post_message("<p>x</p>", to=["x@example.org"], attachments=[file])
    model = await get_model("ModelRegistry").get(identifier="Ticket")
    await get_model("EmailTemplate").get_or_create(
        identifier="greet", defaults={"name": "Greet", "subject": "Hi", "content": "<p>Hi</p>", "model": model}
    )
    mail = await get_model("InboundEmail").create(
        source=f"test:{ticket.id}", sha256="0" * 64, size_bytes=1, res_model="Ticket", res_id=ticket.id,
        state="unmatched",
    )  # fmt: skip
    await get_model("InboundRaw").create(email=mail, content=b"x")
    caught = await get_model("CaughtEmail").create(raw_mail=b"From: a@b.example\r\n\r\nx", recipients=["x@example.org"])
    job = await get_model("CronJob").get_or_create(
        identifier="flush", defaults={"name": "Flush", "model": "Message", "method": "cron_flush"}
    )
    entry = await get_model("Suppression").create(address=f"{ticket.id}@example.org")
    server = await get_model("IncomingMailServer").get_or_create(
        name="Box", defaults={"server": "127.0.0.1", "port": 1}
    )
    case = await get_model("RouteCase").create(
        name="Lost", sender="a@b.example", to="x@y.example", expected_outcome="unmatched"
    )
    return {
        "case_id": case.id,
        "server_id": server[0].id,
        "entry_id": entry.id,
        "record_id": ticket.id,
        "message_id": message.id,
        "attachment_id": file.id,
        "inbound_id": mail.id,
        "caught_id": caught.id,
        "job_id": job[0].id,
    }


async def test_nobody_gets_in_without_login(visitor: Visitor, world: World) -> None:
    ids = await stock(world.ticket, world.company)
    stranger = await visitor()
    table = list(routes())
    assert len(table) > 30
    for method, path in table:
        if path in PUBLIC | OPEN:
            continue
        status = await ask(stranger, method, filled(path, ids))
        wanted = 303 if method == "GET" and not path.startswith("/api/") and path != "/openapi.json" else 401
        # Whoever knocks so often is not heard any more.
        assert status in (wanted, 429), (method, path)


async def test_a_user_without_rights_reads_and_changes_nothing(visitor: Visitor, world: World) -> None:
    ids = await stock(world.ticket, world.company)
    nora = await visitor("nora")
    for method, path in routes():
        if FOR_EVERYONE_LOGGED_IN.match(path) or path in OF_THE_HOST | PUBLIC | OPEN:
            continue
        status = await ask(nora, method, filled(path, ids))
        if path.startswith("/api/") and status in (404, 422):
            continue  # What is not there for her, or a body that says nothing, is told before her rights.
        # What hangs on a record is as absent as the record: an entry, its body, its files.
        is_reading = method == "GET" or path.endswith("/pictures")
        hidden = path.startswith(("/messages/", "/attachments/")) and is_reading
        assert status == (404 if hidden else 403), (method, path)


async def test_another_company_s_records_are_not_there(visitor: Visitor, world: World) -> None:
    ids = await stock(world.foreign, world.other_company)
    ann = await visitor("ann")
    for method, path in routes():
        if not {"record_id", "message_id", "attachment_id", "inbound_id"} & set(re.findall(r"{(\w+)", path)):
            continue
        status = await ask(ann, method, filled(path, ids))
        assert status == 404 or (path.startswith("/api/") and status in (403, 422)), (method, path, status)
    for path in ("/records/Ticket", "/api/records/Ticket", "/outbox", "/inbound", "/addons/desk/board", "/"):
        assert "Theirs alone" not in (await ann.get(path)).text, path
    assert (await ann.get("/api/desk/count")).json() == {"count": 1}


async def test_whoever_may_is_let_in(visitor: Visitor, world: World) -> None:
    ids = await stock(world.ticket, world.company)
    for login in ("ann", "root"):
        browser = await visitor(login)
        for method, path in routes():
            if path in ENDS_A_SIGN_IN or (login == "ann" and path in FOR_ADMINISTRATORS):
                continue
            if path.startswith(("/api/", "/webhooks/")) or path in OPEN | PUBLIC:
                continue  # Each path of the API has tests of its own.
            if method == "GET" and "files" not in path:
                assert await ask(browser, method, filled(path, ids)) == 200, (login, path)


async def test_every_form_needs_its_token(visitor: Visitor, world: World) -> None:
    ids = await stock(world.ticket, world.company)
    root = await visitor("root")
    for method, path in routes():
        if method != "GET" and path not in OPEN | PUBLIC:
            answer = await root.client.request(method, filled(path, ids), data={"body": "x"})
            assert answer.status_code == 403 or (path.startswith("/api/") and answer.status_code == 415), path


async def test_notes_are_for_those_inside(visitor: Visitor, world: World) -> None:
    file = await get_model("Attachment").create(
        name="plan.txt", content=b"x", size_bytes=1, sha256="0" * 64, res_model="Ticket", res_id=world.ticket.id
    )
    note = await world.ticket.post_note("<p>He is a thief</p>", attachments=[file])
    ann, guest = await visitor("ann"), await visitor("guest")
    path = f"/records/Ticket/{world.ticket.id}"
    assert "He is a thief" in (await ann.get(path)).text
    assert (await ann.get(f"/attachments/{file.id}")).status_code == 200
    for place in (path, f"/api{path}/timeline"):
        answer = await guest.get(place)
        assert answer.status_code == 200
        assert "thief" not in answer.text
        assert "plan.txt" not in answer.text
    for place in (f"/messages/{note.id}", f"/messages/{note.id}/body", f"/attachments/{file.id}"):
        assert (await guest.get(place)).status_code == 404
    assert (await guest.post(f"{path}/note", body="me too")).status_code == 403


async def test_blind_copies_are_their_sender_s_alone(visitor: Visitor, world: World) -> None:
    root_user = await get_model("User").get(login="root")
    guest_user = await get_model("User").get(login="guest")
    message = await world.ticket.post_message(
        "<p>x</p>", author=guest_user, to=["x@example.org"], bcc=["blind@example.org"]
    )
    assert root_user.is_admin
    path = f"/records/Ticket/{world.ticket.id}"
    for login, sees in (("ann", False), ("guest", True), ("root", True)):
        browser = await visitor(login)
        for place in (path, f"/api{path}/timeline", f"/messages/{message.id}", f"/messages/{message.id}/message.eml"):
            shown = "blind@example.org" in (await browser.get(place)).text
            assert shown == (sees and "eml" not in place), (login, place)


class TestAccess:
    async def test_rights_come_through_implied_groups(self, world: World) -> None:
        ann = await access_of(await get_model("User").get(login="ann"))
        assert ann.may("Ticket", Right.WRITE)
        assert ann.is_internal
        assert not ann.may("User")
        guest = await access_of(await get_model("User").get(login="guest"))
        assert guest.may("Ticket", Right.WRITE)
        assert not guest.is_internal

    async def test_an_administrator_passes_and_nobody_does_not(self, world: World) -> None:
        root = await get_model("User").get(login="root")
        assert await may(root, "ModelAccess", Right.DELETE)
        assert (await access_of(root)).is_internal
        assert not await may(None, "Ticket")

    async def test_what_is_not_there_and_what_is_forbidden_differ(self, world: World) -> None:
        ann = await access_of(await get_model("User").get(login="ann"))
        with pytest.raises(UnknownName):
            await ann.find("Ticket", world.foreign.id)
        with pytest.raises(UnknownName):
            await ann.find("Tickt", 1)
        with pytest.raises(AccessDenied, match="You may not delete User"):
            await ann.find("User", 1, Right.DELETE)


@given(st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=4)), st.sets(st.integers(0, 9)))
def test_a_closure_is_closed(leads_to: dict[int, list[int]], start: set[int]) -> None:
    reached = closure(start, leads_to)
    assert start <= reached
    assert all(other in reached for one in reached for other in leads_to.get(one, ()))
