"""What SMS providers call."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from core.api import take_call


async def receive(provider_id: int, request: Request) -> Response:
    """Take receipts and incoming messages; answers 204, or 403 without the provider's proof."""
    await take_call("SmsProvider", provider_id, request)
    return Response(status_code=204)
