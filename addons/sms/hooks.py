"""What SMS adds to the host."""

from __future__ import annotations

from core.api import Channel, Command, Route, channel_commands, hookimpl, phone_number, settings, sms_length

from .models.sms_provider import SmsProvider


@hookimpl
def register_models() -> list[type]:
    return [SmsProvider]


@hookimpl
def register_channels() -> list[Channel]:
    return [
        Channel(
            name="sms",
            title="SMS",
            provider_model="SmsProvider",
            address=lambda text: phone_number(text, settings().PHONE_REGION),
            measure=lambda text: str(sms_length(text)),
        )
    ]


@hookimpl
def register_routes() -> list[Route]:
    from . import webhook  # It brings Starlette, which commands can do without.

    path = "/api/sms/webhook/{provider_id}"
    return [Route("POST", path, webhook.receive, "Receipts and messages from an SMS provider", public=True)]


@hookimpl
def register_commands() -> list[Command]:
    return channel_commands("sms")
