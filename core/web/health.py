"""What machines ask every few seconds: is this process alive, can it do its work, and how does the host do.

`/health` and `/ready` say nothing of the host but that; `/metrics` is for administrators, for whoever has
METRICS_TOKEN, and without one for this machine.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from ipaddress import ip_address

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from core.errors import AccessDenied, PostroomError
from core.orm.outage import database_errors
from core.orm.schema import require_current_schema
from core.runtime import caller, runtime, settings
from core.web.errors import LoginNeeded
from core.web.metrics import CONTENT_TYPE
from core.web.who import who_asks

_DATABASE_S = 2.0
_SCHEMA_EVERY_S = 30.0
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")

router = APIRouter()


class Readiness:
    """Whether this process can do its work. `stop` is set when it begins to end."""

    def __init__(self, stop: asyncio.Event | None = None):
        self._stop = stop
        self._fits_until = float("-inf")

    async def fault(self) -> str:
        """Return what is in the way in a word or two; empty where nothing is.

        A worker in this process that ends for whatever cause ends the process with it.
        """
        if self._stop is not None and self._stop.is_set():
            return "stopping"
        try:
            async with asyncio.timeout(_DATABASE_S):
                await runtime().database.fetch("SELECT 1")
                await self._check_schema()
        except PostroomError:
            return "schema"
        except database_errors(TimeoutError):
            return "database"
        return ""

    async def _check_schema(self) -> None:
        if time.monotonic() > self._fits_until:
            await require_current_schema(runtime().database, runtime().addons)
            self._fits_until = time.monotonic() + _SCHEMA_EVERY_S


@router.api_route("/health", methods=["GET", "HEAD"])
async def health() -> Response:
    """Answer while the process is alive."""
    return PlainTextResponse("ok\n")


@router.api_route("/ready", methods=["GET", "HEAD"])
async def ready(request: Request) -> Response:
    """Answer 200 while the database answers and is of this version, else 503."""
    readiness: Readiness = request.app.state.readiness
    fault = await readiness.fault()
    return PlainTextResponse(f"{fault or 'ready'}\n", 503 if fault else 200, {"Retry-After": "5"} if fault else None)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Return numbers for Prometheus."""
    await _require_reader(request)
    return Response(await request.app.state.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


async def _require_reader(request: Request) -> None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    wanted = settings().METRICS_TOKEN.get_secret_value()
    if wanted and scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), wanted.encode()):
        return
    if not wanted and _is_this_machine(request):
        return
    visit = await who_asks(request)
    if visit.access is None:
        raise LoginNeeded("Log in first, or send METRICS_TOKEN as bearer token.")
    if not visit.access.is_admin:
        raise AccessDenied("Only administrators may see the metrics.")


def _is_this_machine(request: Request) -> bool:
    """Whether the request comes from here, and not from elsewhere through a proxy that runs here."""
    try:
        is_loopback = ip_address(caller().address).is_loopback
    except ValueError:
        return False
    return is_loopback and not any(name in request.headers for name in _FORWARDED)
