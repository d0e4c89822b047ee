"""The OpenAPI document of the application, with what FastAPI does not know of by itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from core.web.problem import Problem

_REFERENCE = "#/components/schemas/{model}"


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document; it is made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description or None, routes=app.routes)
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        schema = Problem.model_json_schema(ref_template=_REFERENCE)
        schemas |= {**schema.pop("$defs", {}), "Problem": schema}
        app.openapi_schema = made
    return app.openapi_schema
