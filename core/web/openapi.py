"""The OpenAPI document of the application, with what FastAPI does not know of by itself."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts

from core.runtime import get_model, runtime
from core.web.guard import OPEN, PUBLIC, needed_scopes
from core.web.problem import Problem
from core.web.session import cookie_name

_TABLE = "tableId"
_REFERENCE = "#/components/schemas/{model}"


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document; it is made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description or None, routes=app.routes)
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        schema = Problem.model_json_schema(ref_template=_REFERENCE)
        schemas |= {**schema.pop("$defs", {}), "Problem": schema}
        _say_who_may(app, made)
        app.openapi_schema = made
    return app.openapi_schema


async def told(app: FastAPI) -> dict[str, Any]:
    """Return the document, which takes its time when it is made; its examples name a table that is here."""
    whole = await asyncio.to_thread(document, app)
    for entry in runtime().registry:
        if hasattr(entry.model, "post_message") and entry.addon != "core":
            row = await get_model("ModelRegistry").get(identifier=entry.name)
            _show_table(whole, row.id)
            break
    return whole


def _show_table(whole: dict[str, Any], table_id: int) -> None:
    for schema in whole["components"]["schemas"].values():
        if _TABLE in schema.get("properties", {}):
            schema["properties"][_TABLE]["examples"] = [table_id]


def _say_who_may(app: FastAPI, made: dict[str, Any]) -> None:
    """Say of each operation that it wants a session or a token, and which scopes that needs (OpenAPI 3.1, 4.8.30)."""
    made["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "`postroom token create` makes one."},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie_name(),
            "description": "`/api/auth/login` begins it.",
        },
    }
    unguarded = PUBLIC | OPEN | app.state.open_paths
    for route in iter_route_contexts(app.routes):
        operations = made["paths"].get(getattr(route, "path_format", None), {})
        for method in route.methods or ():
            if method.lower() in operations:
                wanted = [{"token": sorted(needed_scopes(route, method))}, {"session": []}]
                operations[method.lower()]["security"] = [] if route.path in unguarded else wanted
