"""The description of the API: the OpenAPI document, and a page that shows it without scripts from elsewhere."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from core.web.openapi import document
from core.web.view import render

router = APIRouter()


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    return JSONResponse(document(request.app))


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Show each operation with its parameters and answers."""
    paths: dict[str, dict[str, Any]] = document(request.app).get("paths", {})
    operations = [(method.upper(), path, about) for path, methods in paths.items() for method, about in methods.items()]
    return render(request, "docs.html", operations=operations)
