"""Every example of the records API in the OpenAPI document works when it is pasted, on a host with the demo."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from core.runtime import Runtime, get_model
from core.web.app import create_app
from core.web.openapi import document
from tests.web.served import served

pytestmark = pytest.mark.anyio

_OURS = {"records", "timelines"}


@pytest.fixture
def settings() -> dict[str, object]:
    return {"ADDONS": ["core", "crm"], "MAIL_MODE": "catch"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Those that take away come last, each after what others need."""
    paths = document(create_app())["paths"]
    found = [(path, method, one) for path in paths for method, one in paths[path].items()]
    found = [one for one in found if _OURS & set(one[2].get("tags", ()))]
    yield from sorted(found, key=lambda one: (one[1] == "delete", -len(one[0]) if one[1] == "delete" else 0))


def examples_of(thing: dict[str, Any]) -> list[Any]:
    """Return the examples of a parameter or of a body, wherever the document puts them."""
    told = thing.get("schema", {}).get("examples") or thing.get("examples") or []
    return [one["value"] for one in told.values()] if isinstance(told, dict) else list(told)


def address_of(path: str, operation: dict[str, Any]) -> str:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            (example,) = examples_of(parameter)[:1]
            path = path.replace("{" + parameter["name"] + "}", str(example))
    assert "{" not in path
    return path


@pytest.fixture
def seeds() -> str:
    return "demo"


async def test_examples_work_when_they_are_pasted(host: Runtime) -> None:
    admin = await get_model("User").create(login="kim", name="Kim", is_admin=True, contact_id=1)
    _, text = await get_model("ApiToken").issue(admin, "examples", ["read", "write", "mail", "admin"])
    headers = {"Authorization": f"Bearer {text}"}
    asked = 0
    async with (
        served() as address,
        httpx2.AsyncClient(base_url=address, headers=headers, timeout=20, verify=False) as client,
    ):
        for path, method, operation in operations():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            bodies = examples_of(body) if body is not None else [None]
            assert bodies, f"{method} {path} shows no example of its body"
            for one in bodies:
                answer = await client.request(method, address_of(path, operation), json=one)
                assert answer.is_success, (method, path, one, answer.text)
                asked += 1
                _check_shown(operation, answer)
    assert asked >= 20


def _check_shown(operation: dict[str, Any], answer: httpx2.Response) -> None:
    """What is shown of an answer has no name that the answer does not have."""
    shown = operation["responses"].get(str(answer.status_code), {}).get("content", {}).get("application/json", {})
    if "example" in shown:
        told = json.loads(answer.text)
        assert shown["example"].keys() <= told.keys()
        for items in ("items", "groups"):
            if told.get(items):
                assert shown["example"][items][0].keys() & told[items][0].keys()


async def test_what_is_shown_of_a_mail_from_a_record_is_sent_when_it_is_pasted(host: Runtime) -> None:
    admin = await get_model("User").create(login="kim", name="Kim", is_admin=True)
    _, text = await get_model("ApiToken").issue(admin, "examples", ["read", "write", "mail"])
    await get_model("OutgoingMailServer").create(name="Acme", server="smtp.acme.example", from_domains=["acme.example"])
    headers = {"Authorization": f"Bearer {text}"}
    async with (
        served() as address,
        httpx2.AsyncClient(base_url=address, headers=headers, timeout=20, verify=False) as client,
    ):
        whole = (await client.get("/openapi.json")).json()
        for path in ("/api/email/recordContext", "/api/email/send"):
            schema = whole["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
            answer = await client.post(path, json=_pasted(schema, whole["components"]["schemas"]))
            assert answer.is_success, (path, answer.text)


def _pasted(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """Return what somebody pastes who takes the example of each field that has one."""
    fields = schemas[schema["$ref"].rpartition("/")[2]]["properties"]
    return {
        name: field["examples"][0] if "examples" in field else _pasted(field, schemas)
        for name, field in fields.items()
        if "examples" in field or "$ref" in field
    }
