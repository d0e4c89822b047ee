"""`WhatsappProvider`: a business account that WhatsApp messages leave through."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from hmac import new as hmac
from typing import Any, ClassVar
from urllib.parse import quote

from core.api import (
    PROVIDER_KINDS,
    AddressError,
    ChannelMessage,
    ChannelProvider,
    HttpShape,
    ReceiptNews,
    ReceivedText,
    UserError,
    fields,
    phone_number,
    secret_matches,
    text_at,
)

_META = "https://graph.facebook.com/v21.0"
_STATES = {"sent": "accepted", "delivered": "delivered", "read": "read", "failed": "failed"}
# Meta, Cloud API, "Error codes": of the account; of too much at once; of this message for now.
_ACCOUNT = frozenset({"0", "3", "10", "190", "200", "368", "131005", "131031", "131042", "133010"})
_BUSY = frozenset({"4", "80007", "130429", "131048", "131057"})
_TEMPORARY = frozenset({"1", "2", "131000", "131016", "131056"})


class WhatsappProvider(ChannelProvider):
    """A WhatsApp account. For Meta's Cloud API `sender` is the phone number's id, `secret` the access token and
    `webhook_secret` the app's secret, which signs what comes in.
    """

    _title = "WhatsApp providers"
    _channel: ClassVar[str] = "whatsapp"

    kind = fields.SelectionField({**PROVIDER_KINDS, "meta": "Meta Cloud API"}, default="meta")
    verify_token = fields.SecretField(null=True)
    """What Meta repeats when it is told the webhook's address."""

    def address(self) -> str:
        """Return where messages are posted; `url` is another host for Meta's, where its interface is spoken."""
        if self.kind != "meta":
            return super().address()
        return f"{self.url.rstrip('/') or _META}/{quote(self.sender, safe='')}/messages"

    def auth_headers(self) -> Mapping[str, str]:
        """Return what proves to the provider who we are."""
        return {"Authorization": f"Bearer {self.secret}"} if self.kind == "meta" else super().auth_headers()

    def shape(self, message: ChannelMessage) -> HttpShape:
        """Return how this provider is asked: for an approved template where the message names one, else for a text."""
        if self.kind != "meta":
            return super().shape(message)
        body: dict[str, Any] = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": "{to}",
            "biz_opaque_callback_data": "{reference}",
        }
        is_template = "template" in message.options
        return HttpShape(
            body={**body, **(_TEMPLATE if is_template else _TEXT)},
            id_path="messages.0.id",
            code_path="error.code",
            words_path="error.message",
            account_codes=_ACCOUNT,
            busy_codes=_BUSY,
            temporary_codes=_TEMPORARY,
        )

    def places(self, message: ChannelMessage) -> dict[str, Any]:
        """Return what a body's places stand for: for Meta also the template."""
        places = super().places(message)
        if self.kind == "meta" and "template" in message.options:
            places["template"] = _template(message.options["template"])
        return places

    def faults(self) -> Sequence[str]:
        """Return what is wrong with the record."""
        found = [*super().faults()]
        if self.kind == "meta" and not (self.sender and self.secret):
            found.append("Meta needs sender (the phone number's id) and secret (an access token).")
        return found

    def is_proven(self, headers: Mapping[str, Sequence[str]], url: str, body: bytes) -> bool:
        """Whether a call comes from this provider: Meta signs the body with the app's secret."""
        if self.kind != "meta":
            return super().is_proven(headers, url, body)
        signed = "sha256=" + hmac((self.webhook_secret or "").encode(), body, sha256).hexdigest()
        return bool(self.webhook_secret) and secret_matches(headers.get("x-hub-signature-256", ()), signed)

    def news_in(self, body: bytes, query: Mapping[str, str]) -> list[ReceiptNews | ReceivedText]:
        """Return what a call tells: any number of receipts and messages that came in."""
        if self.kind != "meta":
            return super().news_in(body, query)
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise UserError("This is no JSON.") from error
        values = [change.get("value") for entry in _list(data, "entry") for change in _list(entry, "changes")]
        ours = [value for value in values if isinstance(value, Mapping) and self._is_ours(value)]
        return [news for value in ours for news in _news(value)]

    def _is_ours(self, value: Mapping[str, Any]) -> bool:
        """One address may serve several numbers; each provider takes what is for its own."""
        return text_at(value, "metadata.phone_number_id") in ("", self.sender)


_TEXT = {"type": "text", "text": {"body": "{text}", "preview_url": False}}
_TEMPLATE = {"type": "template", "template": "{template}"}


def _template(template: Any) -> dict[str, Any]:
    """Return Meta's form of `{name, language, parameters}`."""
    if not isinstance(template, Mapping) or not template.get("name"):
        raise UserError("The option `template` needs a name, and takes language and parameters.")
    parameters = [{"type": "text", "text": str(one)} for one in template.get("parameters", ())]
    components = [{"type": "body", "parameters": parameters}] if parameters else []
    language = {"code": str(template.get("language", "en"))}
    return {"name": str(template["name"]), "language": language, "components": components}


def _news(value: Mapping[str, Any]) -> Iterator[ReceiptNews | ReceivedText]:
    for one in _list(value, "statuses"):
        state = _STATES.get(text_at(one, "status"))
        if state is not None:
            yield ReceiptNews(
                state=state,
                remote_id=text_at(one, "id"),
                reference=text_at(one, "biz_opaque_callback_data"),
                at=_time(text_at(one, "timestamp")),
                words=f"{text_at(one, 'errors.0.code')} {text_at(one, 'errors.0.title')}".strip(),
            )
    for one in _list(value, "messages"):
        if text_at(one, "id"):
            yield ReceivedText(
                sender=_sender(text_at(one, "from")),
                text=text_at(one, "text.body") or f"({text_at(one, 'type') or 'something'} that cannot be shown here)",
                remote_id=text_at(one, "id"),
                at=_time(text_at(one, "timestamp")),
            )


def _sender(number: str) -> str:
    try:
        return phone_number("+" + number.removeprefix("+"))
    except AddressError:
        return number[:64]


def _time(seconds: str) -> datetime | None:
    return datetime.fromtimestamp(int(seconds), UTC) if seconds.isdecimal() and len(seconds) <= 10 else None


def _list(data: Any, name: str) -> list[Mapping[str, Any]]:
    found = data.get(name) if isinstance(data, Mapping) else None
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
