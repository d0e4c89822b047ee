"""The pages that addons bring, under `/addons/<addon>/`; in the same frame as ours, from their own templates."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request
from fastapi.responses import Response
from jinja2 import Environment, TemplateError

from core.contributions import Page
from core.errors import AddonError
from core.runtime import runtime
from core.web.guard import Inside
from core.web.view import environment_for, page_url, render


def make_router() -> APIRouter:
    """Return a router with every addon's pages; AddonError where a template is missing or does not compile."""
    router = APIRouter()
    faults: list[str] = []
    for addon, page in runtime().contributions.pages:
        environment = environment_for(addon)
        try:
            environment.get_template(page.template)
        except TemplateError as error:
            faults.append(f"{addon}: templates/{page.template}: {error}")
        router.add_api_route(page_url(addon, page), _endpoint(page, environment), methods=["GET"])
    if faults:
        raise AddonError("Pages cannot be shown:", faults)
    return router


def _endpoint(page: Page, environment: Environment) -> Callable[..., Awaitable[Response]]:
    async def show(request: Request, access: Inside) -> Response:
        values = await page.values(dict(request.query_params))
        return render(request, page.template, environment=environment, values=values, title=page.title)

    return show
