"""The door for what a channel's provider tells: who calls must prove it; a wrong proof is told, and changes nothing."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from core.errors import AccessDenied
from core.runtime import get_model, settings

if TYPE_CHECKING:
    from starlette.requests import Request

_TOO_LARGE = 2**31
_NAME_CHARS = 32


async def webhook_provider(provider_model: str, provider_id: int) -> Any:
    """Return the provider of a webhook's address, also one that sends no more; None where there is none."""
    is_id = 0 < provider_id < _TOO_LARGE
    return await get_model(provider_model).get_or_none(id=provider_id) if is_id else None


async def take_call(provider_model: str, provider_id: int, request: Request) -> None:
    """Take a call of a provider's webhook: AccessDenied without its proof, UserError for what is no news."""
    provider = await webhook_provider(provider_model, provider_id)
    body = await request.body()
    headers: dict[str, list[str]] = defaultdict(list)
    for name, value in request.headers.items():
        headers[name.lower()].append(value)
    if provider is None or not provider.is_proven(headers, _called(request), body):
        # Anybody may call, so that is counted and told as the bounce webhook's refusals are: seldom, whatever comes.
        whose = f"that it comes from {provider.name}" if provider else "of any provider"
        await request.app.state.refusals.count(provider_model[:_NAME_CHARS], f"it brought no proof {whose}")
        raise AccessDenied("This call is not proven to come from the provider.")
    await provider.take(provider.news_in(body, dict(request.query_params)))


def _called(request: Request) -> str:
    """Return the address as the provider knows it: the configured one, never what the call itself says of its host."""
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{settings().BASE_URL.rstrip('/')}{request.url.path}{query}"
