"""The pages that addons bring, under `/addons/<addon>/`; in the same frame as ours, from their own templates."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from jinja2 import Environment, TemplateError

from core.contributions import Page
from core.errors import AddonError
from core.runtime import runtime
from core.web.guard import Inside
from core.web.live_page import live_page
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
        if page.act is not None:
            router.add_api_route(page_url(addon, page), _acting(page.act), methods=["POST"])
    if faults:
        raise AddonError("Pages cannot be shown:", faults)
    return router


def _endpoint(page: Page, environment: Environment) -> Callable[..., Awaitable[Response]]:
    async def show(request: Request, access: Inside) -> Response:
        live = await live_page(access, *page.topics) if page.topics else None
        values = await page.values(dict(request.query_params))
        return render(request, page.template, environment=environment, values=values, title=page.title, live=live)

    return show


def _acting(act: Callable[[Mapping[str, str]], Awaitable[str]]) -> Callable[..., Awaitable[Response]]:
    async def do(request: Request, access: Inside) -> Response:
        typed = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
        return RedirectResponse(await act({**request.query_params, **typed}), 303)

    return do
