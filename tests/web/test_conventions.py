"""What every path of the API has in common: problems, request ids, paces, and what is never said."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest
import structlog
from fastapi.routing import iter_route_contexts

from core.runtime import Runtime, get_model
from core.web.app import create_app
from core.web.errors import TooManyRequests
from core.web.problem import MEDIA_TYPE
from core.web.rate import Buckets, Pace, network_of
from tests.web.conftest import Visitor, World
from tests.web.program import program_of

pytestmark = pytest.mark.anyio
TICKETS = "/api/records/Ticket"


def is_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code), body
    assert body["type"] == f"urn:postroom:{code}"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


@pytest.mark.parametrize("path", ["/api/nope", "/api", "/api/", "/api/models/", "/api/records/Ticket/1/nope"])
async def test_an_unknown_address_is_a_problem(ann: httpx2.AsyncClient, path: str) -> None:
    is_problem(await ann.get(path), 404, "not_found")


async def test_a_wrong_method_says_which_are_right(ann: httpx2.AsyncClient, world: World) -> None:
    answer = await ann.put(f"{TICKETS}/{world.ticket.id}", json={})
    is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, PATCH"
    assert (await ann.delete("/api/health")).headers["allow"] == "GET"


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": ',
        b"{'name': 'x'}",
        b'{"name": NaN}',
        b'{"name": "\\ud800"}',
        b'{"name": "\xff"}',
        b'{"name": "a\\u0000b"}',
        b'{"name": "a\x00b"}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"name": ' + b"9" * 100_000 + b"}",
    ],
)
async def test_what_is_no_json_is_a_problem(ann: httpx2.AsyncClient, body: bytes) -> None:
    for headers in ({}, {"Idempotency-Key": "k"}):
        answer = await ann.post(TICKETS, content=body, headers={"Content-Type": "application/json", **headers})
        assert answer.status_code in (400, 422), answer.text
        assert answer.headers["content-type"] == MEDIA_TYPE


async def test_a_backslash_before_u0000_is_text(ann: httpx2.AsyncClient) -> None:
    answer = await ann.post(TICKETS, content=b'{"name": "a\\\\u0000b"}', headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["name"]) == (201, "a\\u0000b")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
async def test_a_body_of_another_type_is_a_problem(ann: httpx2.AsyncClient, media_type: str) -> None:
    answer = await ann.post(TICKETS, content=b'{"name": "x"}', headers={"Content-Type": media_type})
    is_problem(answer, 415, "unsupported_media_type")


async def test_a_body_too_large_is_a_problem(address: str, ann: httpx2.AsyncClient, host: Runtime) -> None:
    async with httpx2.AsyncClient(base_url=address, verify=False) as stranger:
        answer = await stranger.post("/api/auth/login", json={"login": "x" * 100_000, "password": "x"})
        is_problem(answer, 413, "too_large")
    limit = host.settings.MAX_BODY_BYTES
    assert (await ann.post(TICKETS, json={"name": "x" * (limit - 11)})).status_code == 422
    is_problem(await ann.post(TICKETS, json={"name": "x" * (limit - 10)}), 413, "too_large")


async def test_a_fault_says_where_it_is(ann: httpx2.AsyncClient) -> None:
    body = is_problem(await ann.get(f"{TICKETS}?limit=many"), 422, "invalid")
    (fault,) = body["faults"]
    assert (fault["part"], fault["pointer"]) == ("query", "/limit")
    body = is_problem(await ann.post("/api/suppression", json={"address": 7, "x/y~z": 1}), 422, "invalid")
    assert {(one["part"], one["pointer"]) for one in body["faults"]} == {("body", "/address"), ("body", "/x~1y~0z")}


async def test_what_was_sent_is_not_repeated(ann: httpx2.AsyncClient) -> None:
    answer = await ann.post("/api/suppression", json={"address": {"password": "hunter2"}})
    assert "hunter2" not in answer.text


async def test_a_fault_of_ours_says_nothing_of_it(ann: httpx2.AsyncClient) -> None:
    answer = await ann.get("/api/desk/broken")
    is_problem(answer, 500, "internal")
    assert "hunter2" not in answer.text


async def test_a_request_has_an_id_that_is_told_everywhere(ann: httpx2.AsyncClient) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        answer = await ann.get("/api/desk/broken", headers={"X-Request-ID": "order-7.a_B"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "order-7.a_B"
    assert {line["request_id"] for line in lines} == {"order-7.a_B"}
    assert {line["event"] for line in lines} == {"request failed", "request"}


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a/b", "ä", 'a"'])
async def test_a_strange_id_is_replaced(ann: httpx2.AsyncClient, given: str) -> None:
    made = (await ann.get("/api/health", headers={b"x-request-id": given.encode()})).headers["x-request-id"]
    assert (len(made), made != given) == (32, True)


async def test_a_line_in_the_log_names_no_token(address: str, world: World) -> None:
    async with program_of(address, "ann") as ann:
        token = ann.headers["authorization"].split()[1]
        with structlog.testing.capture_logs() as lines:
            await ann.get(f"{TICKETS}/{world.ticket.id}?q=secret-words")
            await ann.get("/unsubscribe/secret-token")
            await ann.get("/nowhere/secret-token?access_token=secret")
    told = json.dumps(lines, default=str)
    assert "secret" not in told.replace("secret_", "")
    assert token not in told
    first = lines[0]
    assert (first["method"], first["route"], first["status"]) == ("GET", "/api/records/{model}/{record_id}", 200)
    assert first["user"] == (await get_model("User").get(login="ann")).id
    assert first["bytes"] > 0
    assert first["duration_ms"] > 0
    assert lines[1]["route"] == "/unsubscribe/{token}"
    assert lines[2]["route"] == "unmatched"


async def test_what_was_done_names_its_request(ann: httpx2.AsyncClient, world: World) -> None:
    answer = await ann.delete(f"{TICKETS}/{world.ticket.id}", headers={"X-Request-ID": "r-9"})
    assert answer.status_code == 204
    entry = await get_model("AuditEntry").get(action="deleted", model="Ticket")
    assert (entry.login, entry.request_id, entry.address) == ("ann", "r-9", "127.0.0.1")
    assert entry.token == ann.headers["authorization"].split("_")[1]


async def test_logins_are_in_the_log_and_what_was_typed_is_not(visitor: Visitor, world: World) -> None:
    stranger = await visitor()
    await stranger.get("/login")
    await stranger.post("/login", login="ann", password="wrong-password-typed")
    await stranger.post("/login", login="my-password-typed-here", password="x")
    await visitor("ann")
    rows = await get_model("AuditEntry").all().order_by("id")
    assert [(row.action, row.record_name) for row in rows] == [
        ("login_failed", "Ann"),
        ("login_failed", ""),
        ("login", ""),
    ]
    assert "typed" not in str([dict(row) for row in await get_model("AuditEntry").all().values()])


async def test_the_audit_log_is_for_administrators(address: str, visitor: Visitor) -> None:
    async with program_of(address, "ann") as ann, program_of(address, "root", "read", "admin") as root:
        assert (await ann.get("/api/audit")).status_code == 403
        answer = await root.get("/api/audit?action=token_created&limit=1")
        assert answer.status_code == 200, answer.text
        (item,) = answer.json()["items"]
        assert (item["action"], item["model"], item["detail"]["user"]) == ("token_created", "ApiToken", "root")
        older = (await root.get(f"/api/audit?action=token_created&before={answer.json()['next_before']}")).json()
        assert [one["detail"]["user"] for one in older["items"]] == ["ann"]
    assert (await (await visitor("ann")).get("/audit")).status_code == 403
    page = (await (await visitor("root")).get("/audit?action=token_created")).text
    assert "token created" in page
    assert "scopes: read, admin" in page


async def test_each_answer_tells_what_is_left(ann: httpx2.AsyncClient, host: Runtime) -> None:
    limited(host, API_REQUESTS_PER_MINUTE=3)
    answers = [await ann.get(TICKETS) for _ in range(2)]
    assert answers[1].headers["ratelimit-policy"] == '"api";q=3;w=60'
    left, _, full_s = answers[1].headers["ratelimit"].partition(";t=")
    assert left == '"api";r=1'
    assert 20 < int(full_s) <= 40
    for path in ("/health", "/static/style.css", "/unsubscribe/x"):
        assert "ratelimit" not in (await ann.get(path)).headers


def limited(host: Runtime, **values: int) -> None:
    settings = host.settings.model_copy(update=values)
    object.__setattr__(host.configuration, "settings", settings)


async def test_who_asks_too_much_has_to_wait(address: str, ann: httpx2.AsyncClient, host: Runtime) -> None:
    limited(host, API_REQUESTS_PER_MINUTE=3)
    answers = [await ann.get(TICKETS) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    is_problem(answers[3], 429, "too_many_requests")
    assert 15 <= int(answers[3].headers["retry-after"]) <= 20
    async with program_of(address, "eve") as eve:
        assert (await eve.get(TICKETS)).status_code == 200


async def test_strangers_have_to_wait_and_nobody_else(address: str, ann: httpx2.AsyncClient, host: Runtime) -> None:
    limited(host, API_REFUSALS_PER_MINUTE=2)
    async with httpx2.AsyncClient(base_url=address, verify=False) as stranger:
        statuses = [(await stranger.get(TICKETS)).status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        assert (await stranger.get("/api/health")).status_code == 200
    assert (await ann.get(TICKETS)).status_code == 200


def test_a_bucket_fills_steadily_and_the_oldest_go() -> None:
    now = [0.0]
    buckets = Buckets(most=2, clock=lambda: now[0])
    standings = [buckets.take(Pace.API, "a", 2) for _ in range(2)]
    assert [(one.left, one.reset_s) for one in standings] == [(1, 30), (0, 60)]
    with pytest.raises(TooManyRequests) as refused:
        buckets.take(Pace.API, "a", 2)
    assert refused.value.wait_s == 30
    now[0] = 30
    assert buckets.take(Pace.API, "a", 2).left == 0
    buckets.take(Pace.API, "b", 2)
    buckets.take(Pace.API, "c", 2)
    assert buckets.take(Pace.API, "a", 2).left == 1, "it was forgotten"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", ""),
    ],
)
def test_one_customer_is_one_network(address: str, network: str) -> None:
    assert network_of(address) == network


async def test_health_and_readiness(address: str) -> None:
    async with httpx2.AsyncClient(base_url=address, verify=False) as prober:
        for path, said in (("/health", "ok\n"), ("/ready", "ready\n")):
            answer = await prober.get(path)
            assert (answer.status_code, answer.text) == (200, said)
            assert (await prober.head(path)).status_code == 200


async def test_a_host_that_ends_or_does_not_fit_is_not_ready(world: World, host: Runtime) -> None:
    stop = asyncio.Event()
    app = create_app(stop)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://desk.example") as prober:
        await host.database.execute("DROP TABLE pace_use")
        await host.database.execute("UPDATE schema_migration SET checksum = 'another'")
        answer = await prober.get("/ready")
        assert (answer.status_code, answer.text) == (503, "schema\n")
        assert answer.headers["retry-after"] == "5"
        stop.set()
        assert (await prober.get("/ready")).text == "stopping\n"
        assert (await prober.get("/health")).status_code == 200


async def test_every_path_of_the_api_says_what_problems_it_has(world: World) -> None:
    app = create_app()
    paths = {one.path for one in iter_route_contexts(app.routes) if str(one.path).startswith("/api/")}
    assert len(paths) > 30
    transport = httpx2.ASGITransport(app=app)
    async with program_of("http://desk.example", "root", "read", "admin") as root:
        headers = {"Cookie": ""}
        async with httpx2.AsyncClient(transport=transport, base_url="http://desk.example", headers=headers) as client:
            document = (await client.get("/openapi.json", headers=dict(root.headers))).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status in ("401", "404", "422", "429", "500"):
                content = operation["responses"][status]["content"]
                assert content[MEDIA_TYPE]["schema"] == {"$ref": "#/components/schemas/Problem"}, (method, path, status)
            if method in ("post", "put", "patch", "delete"):
                assert "415" in operation["responses"], path
    assert "Problem" in document["components"]["schemas"]
    assert "HTTPValidationError" not in json.dumps(document)
