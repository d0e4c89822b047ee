"""What all paths under `/api` have in common: the problems that they answer with are part of their description."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi.routing import APIRoute

from core.web.problem import problems_of


class ApiRoute(APIRoute):
    """A path of the API: `APIRouter(..., route_class=ApiRoute)`."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any):
        told = problems_of(options.get("methods") or ["GET"])
        options["responses"] = {**told, **(options.get("responses") or {})}
        super().__init__(path, endpoint, **options)
