"""The description of the API: the OpenAPI document, and a page that shows it without scripts from elsewhere."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from core.web.openapi import told
from core.web.view import render

router = APIRouter()


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    return JSONResponse(await told(request.app))


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Show each operation with its parameters and answers."""
    whole = await told(request.app)
    schemas = whole.get("components", {}).get("schemas", {})
    operations = [
        {
            "subject": next(iter(about.get("tags", ())), "host"),
            "method": method.upper(),
            "path": path,
            "about": about,
            "bodies": {kind: _shown(_example(body, schemas)) for kind, body in _bodies(about).items()},
        }
        for path, methods in whole.get("paths", {}).items()
        for method, about in methods.items()
    ]
    return render(request, "docs.html", operations=operations)


def _bodies(about: dict[str, Any]) -> dict[str, Any]:
    bodies: dict[str, Any] = about.get("requestBody", {}).get("content", {})
    return bodies


def _example(body: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """Return a body's first example, or else one of its fields' examples and types."""
    schema = body.get("schema", {})
    schema = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
    told = body.get("examples") or schema.get("examples")
    if told:
        return next(iter(told.values()))["value"] if isinstance(told, dict) else told[0]
    return {name: _told(field, schemas) for name, field in schema.get("properties", {}).items()}


def _told(field: dict[str, Any], schemas: dict[str, Any]) -> Any:
    if "$ref" in field:
        parts = schemas[field["$ref"].rpartition("/")[2]].get("properties", {})
        return {name: _told(part, {}) for name, part in parts.items() if "$ref" not in part}
    kind = field.get("type")
    return next(iter(field.get("examples") or ()), field.get("default", [] if kind == "array" else kind))


def _shown(example: Any) -> str:
    return json.dumps(example, indent=2, ensure_ascii=False) if example else ""
