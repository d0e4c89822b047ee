"""The one shape of what goes wrong under `/api` (RFC 9457), and which of it each path says it may answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MEDIA_TYPE = "application/problem+json"
_SCHEMA = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}

_MEANINGS: Mapping[int, str] = MappingProxyType({
    400: "The request cannot be read: broken JSON, text that is not UTF-8, or a value out of all bounds.",
    401: "Nobody, or nobody any more: log in, or send a bearer token.",
    403: "The user, or the token's scopes, do not allow it.",
    404: "There is no such thing, or not for this user.",
    405: "The address does not take this method; `Allow` names those that it takes.",
    409: "It does not go with how things stand, or the same request is still being worked on.",
    412: "The record was changed since it was read; its present `ETag` comes along.",
    413: "The body is larger than allowed here.",
    415: "The body has a type that is not understood here.",
    422: "The request is well written and cannot be met as it stands; `faults` say where.",
    429: "Too many requests; `Retry-After` says for how many seconds to wait.",
    500: "A fault of the host, which is in its log. Nothing was half done.",
    502: "Another server, on whose behalf or with whom this works, failed.",
    503: "Not now; `Retry-After` says when to try again.",
})  # fmt: skip
_ALWAYS = (400, 401, 403, 404, 405, 422, 429, 500, 503)
_OF_CHANGES = (409, 412, 413, 415)


class Fault(BaseModel):
    """One thing that is wrong: in which part of the request, where in it (JSON pointer, RFC 6901), and what."""

    part: str = Field(examples=["body"])
    pointer: str = Field(examples=["/recipients/0"])
    detail: str


class Problem(BaseModel):
    """Why a request was not met. `code` is the stable word for it, `detail` is for people."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:postroom:unknown_name"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no Lead 7."])
    code: str = Field(examples=["unknown_name"])
    request_id: str | None = None
    faults: list[Fault] | None = None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a path that may also answer with these statuses."""
    return {status: {"description": _MEANINGS[status], "content": _SCHEMA} for status in statuses}


def problems_of(methods: Collection[str]) -> dict[int | str, dict[str, Any]]:
    """Return what every path with these methods may answer."""
    is_change = not {"GET", "HEAD", "OPTIONS"}.issuperset(methods)
    return problems(*_ALWAYS, *(_OF_CHANGES if is_change else ()))


def problem(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    """Return a problem body; what is None is left out."""
    said = Problem(
        type=f"urn:postroom:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        **more,
    )
    return said.model_dump(exclude_none=True)
