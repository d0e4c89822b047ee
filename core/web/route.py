"""What all paths under `/api` have in common: reading JSON, making a change once, a pace, and the problems they answer.

`APIRouter(..., route_class=ApiRoute)` is all that a router does for it. What a path needs beside says itself by its
dependencies: `Depends(scope("mail"))`, `Depends(keyed("alone"))`, `Depends(pace("sending"))`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Depends, Request, Response
from fastapi.params import Form
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.exceptions import HTTPException

from core.pattern import pattern
from core.web.idempotency import HEADER, Keyed, answered_once, meaning, take_key
from core.web.problem import problems_of
from core.web.rate import pace

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_NUL = pattern(rb"(?<!\\)(?:\\\\)*\\u0000")


class ApiRequest(Request):
    """A request whose JSON is text that every database of ours can hold."""

    async def json(self) -> Any:
        """Return the body as JSON says it; a problem of status 400 where it is none.

        No NaN, no half of a surrogate pair, no NUL (PostgreSQL has no place for it), no 200 brackets in each other.
        """
        body = await self.body()
        try:
            value = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            raise HTTPException(400, f"The body is no JSON: {error}") from error
        if _NUL.search(body):
            raise HTTPException(400, "The body has a NUL character, which no text here may have.")
        return value


class ApiRoute(APIRoute):
    """A path of the API."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any):
        methods = options.get("methods") or ["GET"]
        options["responses"] = {**problems_of(methods), **(options.get("responses") or {})}
        dependencies = [Depends(pace("api")), *(options.get("dependencies") or ())]
        self.keyed = Keyed.IGNORED if _READING.issuperset(methods) else meaning(dependencies)
        if self.keyed is not Keyed.IGNORED:
            dependencies.append(Depends(take_key))
        options["dependencies"] = dependencies
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request, with all that the paths have in common around it."""
        handler = super().get_route_handler()

        async def handle(received: Request) -> Response:
            request = ApiRequest(received.scope, received.receive)
            self._check_type(request)
            if self.keyed is Keyed.IGNORED or HEADER not in request.headers:
                return await handler(request)
            return await answered_once(request, handler, self.keyed)

        return handle

    def _check_type(self, request: Request) -> None:
        """Refuse a body of another type than the path reads, with words that are of help."""
        if self.body_field is None or isinstance(self.body_field.field_info, Form):
            return
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
        is_json = kind.startswith("application/") and (kind == "application/json" or kind.endswith("+json"))
        if has_body and not is_json:
            raise HTTPException(415, "Send the body as JSON, with `Content-Type: application/json`.")
