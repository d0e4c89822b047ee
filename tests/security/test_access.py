"""SECURITY W10 and W11: what one may not read is not found by asking round it, and no path opens what is closed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from core.access import access_of
from core.errors import AccessDenied, UserError
from core.runtime import get_model
from core.web.app import create_app
from core.web.guard import OPEN, PUBLIC
from tests.web.browser import Browser
from tests.web.conftest import Visitor, World
from tests.web.conftest import address as address
from tests.web.conftest import database_url as database_url
from tests.web.conftest import settings as settings
from tests.web.conftest import visitor as visitor
from tests.web.conftest import world as world
from tests.web.portal import open_portal

pytestmark = pytest.mark.anyio

CLOSED = ("amount", "secret", "contact.phone", "company.users.password_hash", "contact.users.login", "steps.price")
"""Of a ticket, what Carla of the portal may not read: gated, secret, of a gated field, of models that are not hers."""
STRANGE = (
    "name; DROP TABLE ticket", 'name" OR 1=1 --', "name__icontains", "contact__users__password_hash", "_meta", "pk", "",
    "ticket.name", "name\u0000", "x" * 10_000,
)  # fmt: skip


@pytest.fixture
async def carla(visitor: Visitor, world: World) -> Browser:
    await open_portal(world)
    await _close("Contact", "phone")
    await _close("Step", "price")
    await get_model("Contact").filter(id=world.contact.id).update(phone="+41790000000")
    await get_model("Ticket").filter(id=world.ticket.id).update(amount=77)
    return await visitor("carla")


async def _close(model: str, field: str) -> None:
    row = await get_model("ModelRegistry").get(identifier=model)
    await get_model("FieldAccess").create(model=row, field=field, group=await get_model("Group").get(identifier="head"))


async def ask(browser: Browser, path: str, body: dict[str, Any]) -> Any:
    return await browser.client.post(f"/api/records/{path}", json=body)


class TestW10:
    """Order, filter, group and search by a field that is closed; SQL in names; limits without end."""

    @pytest.mark.parametrize("field", CLOSED)
    async def test_no_question_tells_a_closed_field(self, carla: Browser, field: str) -> None:
        questions: list[tuple[str, dict[str, Any]]] = [
            ("Ticket/query", {"order": [field]}),
            ("Ticket/query", {"order": [f"-{field}"]}),
            ("Ticket/query", {"fields": ["name", field]}),
            ("Ticket/aggregate", {"group_by": [field]}),
            ("Ticket/aggregate", {"figures": {"x": f"max:{field}"}}),
            ("Ticket/aggregate", {"order": [field]}),
        ]
        for op, value in (("is_null", False), ("eq", "x"), ("ne", 1), ("gt", 0), ("contains", "7"), ("in", [77])):
            tree = {"field": field, "op": op, "value": value}
            questions += [
                (f"Ticket/{kind}", {"filter": shape})
                for kind in ("query", "aggregate")
                for shape in (tree, {"not": tree}, {"or": [{"field": "name", "op": "ne", "value": ""}, tree]})
            ]
        for path, body in questions:
            answer = await ask(carla, path, body)
            assert answer.status_code in (400, 403, 422), (path, body, answer.text)

    @pytest.mark.parametrize("name", STRANGE)
    async def test_a_name_is_a_field_or_nothing(self, carla: Browser, name: str) -> None:
        tree = {"field": name, "op": "eq", "value": "x"}
        for body in ({"order": [name]}, {"fields": [name]}, {"filter": tree}):
            answer = await ask(carla, "Ticket/query", body)
            assert answer.status_code in (400, 403, 422), (body, answer.text)
        for body in ({"group_by": [name]}, {"figures": {"x": f"sum:{name}"}}, {"filter": tree}):
            answer = await ask(carla, "Ticket/aggregate", body)
            assert answer.status_code in (400, 403, 422), (body, answer.text)
        assert await get_model("Ticket").all().count() == 2

    @pytest.mark.parametrize("limit", [0, -1, 10_000, 2**63, 1e99, "all"])
    async def test_no_limit_is_huge(self, carla: Browser, limit: object) -> None:
        for kind in ("query", "aggregate"):
            assert (await ask(carla, f"Ticket/{kind}", {"limit": limit})).status_code == 422

    async def test_counts_and_sums_leave_out_what_is_not_one_s_own(self, carla: Browser, world: World) -> None:
        await get_model("Ticket").create(name="Somebody else's", company=world.company)
        groups = (await ask(carla, "Ticket/aggregate", {"figures": {"n": "count"}})).json()["groups"]
        assert [group["values"] for group in groups] == [{"n": 1}]

    @pytest.mark.parametrize("field", CLOSED)
    async def test_the_model_side_refuses_by_itself(self, carla: Browser, field: str) -> None:
        access = await access_of(await get_model("User").get(login="carla"))
        with pytest.raises((AccessDenied, UserError)):
            access.matching("Ticket", {"not": {"field": field, "op": "is_null", "value": True}})


# W11.

_STANDS_FOR = {
    "model": "Ticket", "identifier": "greet", "action": "retry", "change": "follow", "channel": "sms", "token": "x",
    "method": "take_up", "key": "config",
}  # fmt: skip
FOR_WHOEVER_LOGS_IN = re.compile(
    r"/$|/logout|/news/read|/docs|/openapi.json|/account|/api/auth|/api/health|/api/live|/api/models|/health|/ready"
    r"|/email/pixel|/api/uploads|/api/files|/api/email/signature|/unsubscribe"
)
"""What is one's own, or nobody's, whatever one's rights."""
OF_THE_TEST = {"/api/desk/broken", "/api/desk/add"}
"""Paths of the test's addon that ask for nothing."""


def routes() -> Iterator[tuple[str, str]]:
    """Every (method, path) of the application, but those that bring a proof of their own."""

    def walk(found: list[Any]) -> Iterator[tuple[str, str]]:
        for route in found:
            if hasattr(route, "original_router"):
                yield from walk(route.original_router.routes)
            elif getattr(route, "methods", None) and route.path not in PUBLIC | OPEN:
                yield from ((method, route.path) for method in sorted(route.methods - {"HEAD", "OPTIONS"}))

    return walk(create_app().routes)


def filled(path: str, record_id: int) -> str:
    """The path about one record; every number in it is that record's."""
    return re.sub(r"{(\w+)(?::\w+)?}", lambda match: _STANDS_FOR.get(match[1], str(record_id)), path)


async def knock(browser: Browser, method: str, path: str) -> Any:
    """Come with whatever body a path may want; a missing one is no excuse to look at rights late."""
    if method == "GET":
        return await browser.client.get(path)
    if path.startswith("/api/"):
        return await browser.client.request(method, path, json={})
    return await browser.post(path, body="x", text="x", name="x")


class TestW11:
    """Each path as a stranger, as a customer at another's record, and as a colleague of another company."""

    async def test_no_stranger_comes_in(self, visitor: Visitor, world: World) -> None:
        stranger = await visitor()
        for method, path in routes():
            if path.startswith(("/email/pixel", "/api/health", "/health", "/ready", "/metrics", "/api/email/track")):
                continue
            answer = await knock(stranger, method, filled(path, world.ticket.id))
            assert answer.status_code in (303, 401, 403, 404, 429), (method, path, answer.status_code)
            assert "Broken chair" not in answer.text, (method, path)

    @pytest.mark.parametrize("login", ["carla", "eve", "nora"])
    async def test_another_s_record_is_neither_seen_nor_changed(
        self, visitor: Visitor, world: World, login: str
    ) -> None:
        await open_portal(world)
        theirs = await get_model("Ticket").create(name="Somebody else's", company=world.company)
        await theirs.post_note("<p>Between colleagues</p>")
        before = await _everything()
        browser = await visitor(login)
        for method, path in routes():
            if FOR_WHOEVER_LOGS_IN.match(path) or path in OF_THE_TEST:
                continue
            answer = await knock(browser, method, filled(path, theirs.id))
            assert answer.status_code < 500, (method, path, answer.text)
            for hidden in ("Somebody else", "Between colleagues"):
                assert hidden not in answer.text, (method, path)
        assert await _everything() == before


async def _everything() -> dict[str, Any]:
    """All that a visitor could have changed."""
    ticket = await get_model("Ticket").all().order_by("id").values()
    counted = ("Message", "Delivery", "Follower", "Activity", "Attachment", "ModelAccess", "RecordRule", "User")
    return {"tickets": ticket, **{name: await get_model(name).all().count() for name in counted}}
