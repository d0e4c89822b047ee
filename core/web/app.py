"""The web application of the open host: pages for people, JSON under `/api`, each path guarded.

Made inside an open host, whose parts its requests find by context. It starts nothing and stops nothing.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from core.contributions import Route
from core.errors import PostroomError
from core.mail.tracking import tracker
from core.runtime import runtime, settings
from core.web import (
    api_access,
    api_activities,
    api_attachments,
    api_audit,
    api_auth,
    api_comments,
    api_cron,
    api_dev_mail,
    api_email,
    api_files,
    api_followers,
    api_health,
    api_inbound,
    api_live,
    api_mail,
    api_models,
    api_password_reset,
    api_queue,
    api_records,
    api_records_call,
    api_records_many,
    api_routing,
    api_servers,
    api_signatures,
    api_suppression,
    api_templates,
    api_timeline,
    api_uploads,
    api_webhook,
    api_webhooks,
    docs,
    errors,
    health,
)
from core.web.bearer import KnownTokens
from core.web.edge import Edge
from core.web.guard import access_inside, guard, scope
from core.web.health import Readiness
from core.web.idempotency import keyed
from core.web.live import Hub
from core.web.metrics import Metrics, Requests
from core.web.pages import (
    account,
    addon_pages,
    attachments,
    audit,
    cron,
    dev_mail,
    home,
    inbound,
    inbound_load,
    login,
    mail_body,
    messages,
    outbox,
    password_reset,
    records,
    routes,
    servers,
    suppression,
    template_history,
    template_preview,
    unsubscribe,
    webhooks,
)
from core.web.rate import Buckets
from core.web.refusals import Refusals
from core.web.request_log import RequestLog
from core.web.route import ApiRoute
from core.web.tracking import Tracking
from core.web.tracking_hits import Hits
from core.web.tracking_ledger import TrackingLedger
from core.web.tries import Tries
from core.web.view import STATIC

_PAGES = (
    home,
    login,
    password_reset,
    account,
    records,
    template_history,
    template_preview,
    outbox,
    messages,
    mail_body,
    attachments,
    inbound_load,  # Before the page of one mail, whose path would take its own.
    inbound,
    routes,
    cron,
    servers,
    dev_mail,
    suppression,
    audit,
    webhooks,
    unsubscribe,
    docs,
    health,
)
_APIS = (
    api_health,
    api_auth,
    api_access,
    api_queue,
    api_cron,
    api_live,
    api_mail,
    api_password_reset,
    api_models,
    api_records_call,  # Before the paths of one record, which would take `call` for its id.
    api_timeline,
    api_followers,
    api_activities,
    api_attachments,
    api_records_many,
    api_records,
    api_servers,
    api_email,
    api_signatures,
    api_comments,
    api_suppression,
    api_templates,
    api_webhook,
    api_webhooks,
    api_inbound,
    api_routing,
    api_dev_mail,
    api_audit,
    api_uploads,
    api_files,
)


@cache
def _own_routes() -> tuple[BaseRoute, ...]:
    """Return the routes of core, each behind the guard.

    They are the same for every host, and to work out their parameters takes the better part of a second.
    """
    router = APIRouter(dependencies=[Depends(guard)])
    for module in _PAGES:
        router.include_router(module.router, include_in_schema=False)
    for module in _APIS:
        router.include_router(module.router)
    return tuple(router.routes)


class _Application(FastAPI):
    """The framework's application behind `front`, which answers what mails ask for by itself."""

    front: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.front(scope, receive, send)

    async def behind(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by a route; a tracked mail's pixel does not come here, as these layers take a third of its time."""
        await super().__call__(scope, receive, send)


def create_app(stop: asyncio.Event | None = None) -> FastAPI:
    """Return the application of the open host, with all that its addons bring; it is not ready once `stop` is set."""
    app = _Application(
        title="Postroom",
        # The guard is the application's own dependency, so no path can forget it. `docs` has its own pages, since
        # the framework's load scripts from elsewhere.
        dependencies=[Depends(guard)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # The framework would lead on to the host that the request names, whichever that is.
        redirect_slashes=False,
        # Requests are traced by RequestLog: the framework's spans name paths and queries, which may hold tokens.
        telemetry={"tracing": False, "logs": False},
    )
    app.state.known_tokens = KnownTokens()
    app.state.token_tries = Tries(limit=10)
    app.state.refusals = Refusals()
    app.state.buckets = Buckets()
    app.state.readiness = Readiness(stop)
    app.state.metrics = Metrics(Requests())
    app.state.live = Hub()
    app.state.receiving = asyncio.Semaphore(api_inbound.AT_ONCE)
    app.state.receiving_of_strangers = asyncio.Semaphore(api_inbound.AT_ONCE)
    routes = runtime().hooks.contributions("register_routes")
    app.state.open_paths = frozenset(route.path for _, route in routes if route.public)
    app.add_middleware(Edge)
    app.add_middleware(RequestLog, requests=app.state.metrics.requests)
    values = settings()
    app.state.hits = Hits(TrackingLedger())
    app.front = Tracking(
        app.behind,
        tracker=tracker(values.BASE_URL, values.secret_keys),
        hits=app.state.hits if values.TRACKING else None,
        base_url=values.BASE_URL,
    )
    app.add_exception_handler(PostroomError, errors.on_postroom_error)
    app.add_exception_handler(HTTPException, errors.on_http_error)
    app.add_exception_handler(RequestValidationError, errors.on_invalid_request)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.router.routes.extend(_own_routes())
    app.router.route_class = ApiRoute
    app.include_router(addon_pages.make_router(), include_in_schema=False)
    for addon, route in routes:
        _add_route(app, addon, route)
    return app


def _add_route(app: FastAPI, addon: str, route: Route) -> None:
    """Add an addon's endpoint, with what its description says beside it."""
    dependencies = [Depends(keyed(route.keyed))]
    if not route.public:
        dependencies.insert(0, Depends(access_inside))
    if route.scope:
        dependencies.append(Depends(scope(route.scope)))
    options: dict[str, Any] = {}
    if route.media_type:
        content = {route.media_type: {"schema": {"type": "string"}}}
        options = {"response_class": Response, "responses": {route.status: {"content": content}}}
    app.add_api_route(
        route.path,
        route.endpoint,
        methods=[route.method.upper()],
        status_code=route.status,
        summary=route.summary,
        tags=[addon],
        dependencies=dependencies,
        **options,
    )
