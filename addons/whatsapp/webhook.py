"""What WhatsApp providers call."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from core.api import AccessDenied, secret_matches, take_call, webhook_provider


async def receive(provider_id: int, request: Request) -> Response:
    """Take receipts and incoming messages; answers 204, or 403 without the provider's proof."""
    await take_call("WhatsappProvider", provider_id, request)
    return Response(status_code=204)


async def verify(provider_id: int, request: Request) -> Response:
    """Repeat Meta's challenge, where it knows the record's `verify_token`."""
    provider = await webhook_provider("WhatsappProvider", provider_id)
    given = request.query_params.getlist("hub.verify_token")
    if provider is None or not secret_matches(given, provider.verify_token):
        raise AccessDenied("This call is not proven to come from the provider.")
    return PlainTextResponse(request.query_params.get("hub.challenge", "")[:200])
