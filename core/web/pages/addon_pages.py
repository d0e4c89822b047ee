"""The pages that addons bring, under `/addons/<addon>/`; in the same frame as ours, from their own templates."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request
from fastapi.responses import Response
from jinja2 import Environment

from core.contributions import Page
from core.runtime import runtime
from core.web.view import environment_for, page_url, render


def make_router(own: Environment) -> APIRouter:
    """Return a router with every addon's pages."""
    router = APIRouter()
    for addon, page in runtime().contributions.pages:
        router.add_api_route(page_url(addon, page), _endpoint(page, environment_for(addon, own)), methods=["GET"])
    return router


def _endpoint(page: Page, environment: Environment) -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        values = await page.values(dict(request.query_params))
        return render(request, page.template, environment=environment, values=values, title=page.title)

    return show
