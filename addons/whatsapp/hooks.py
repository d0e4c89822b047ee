"""What WhatsApp adds to the host."""

from __future__ import annotations

from core.api import Channel, Command, Route, channel_commands, hookimpl, phone_number, settings

from .models.whatsapp_provider import WhatsappProvider

_WEBHOOK = "/api/whatsapp/webhook/{provider_id}"


@hookimpl
def register_models() -> list[type]:
    return [WhatsappProvider]


@hookimpl
def register_channels() -> list[Channel]:
    return [
        Channel(
            name="whatsapp",
            title="WhatsApp",
            provider_model="WhatsappProvider",
            address=lambda text: phone_number(text, settings().PHONE_REGION),
            max_chars=4096,
        )
    ]


@hookimpl
def register_routes() -> list[Route]:
    from . import webhook  # It brings Starlette, which commands can do without.

    return [
        Route("POST", _WEBHOOK, webhook.receive, "Receipts and messages from a WhatsApp provider", public=True),
        Route("GET", _WEBHOOK, webhook.verify, "Prove the webhook's address to Meta", public=True),
    ]


@hookimpl
def register_commands() -> list[Command]:
    return channel_commands("whatsapp")
