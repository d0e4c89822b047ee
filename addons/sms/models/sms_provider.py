"""`SmsProvider`: an account that text messages leave through."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha1
from hmac import new as hmac
from typing import ClassVar
from urllib.parse import parse_qsl, quote

from core.api import (
    PROVIDER_KINDS,
    AddressError,
    ChannelMessage,
    ChannelProvider,
    HttpShape,
    ReceiptNews,
    ReceivedText,
    fields,
    phone_number,
    secret_matches,
)

_TWILIO = "https://api.twilio.com"
_MOST_FIELDS = 200
_TWILIO_STATES = {
    "queued": "accepted",
    "accepted": "accepted",
    "sending": "accepted",
    "sent": "accepted",
    "delivered": "delivered",
    "read": "read",
    "undelivered": "failed",
    "failed": "failed",
}
# twilio.com/docs/api/errors: of the account or its number; of too much at once.
_TWILIO_ACCOUNT = frozenset({"20003", "20005", "20404", "21212", "21603", "21606", "21659", "21660", "30002"})
_TWILIO_BUSY = frozenset({"14107", "20429", "21611", "30001", "63038"})


class SmsProvider(ChannelProvider):
    """A provider of SMS. For Twilio, `username` is the account and `secret` its token, which also proves receipts."""

    _title = "SMS providers"
    _channel: ClassVar[str] = "sms"

    kind = fields.SelectionField({**PROVIDER_KINDS, "twilio": "Twilio"}, default="http")

    def address(self) -> str:
        """Return where messages are posted; `url` is another host for Twilio, where its interface is spoken."""
        if self.kind != "twilio":
            return super().address()
        return f"{self.url.rstrip('/') or _TWILIO}/2010-04-01/Accounts/{quote(self.username, safe='')}/Messages.json"

    def shape(self, message: ChannelMessage) -> HttpShape:
        """Return how this provider is asked."""
        if self.kind != "twilio":
            return super().shape(message)
        sender = message.sender or self.sender
        body = {"To": "{to}", "Body": "{text}"}
        body["MessagingServiceSid" if sender.startswith("MG") else "From"] = "{sender}"
        if self.receipt_url():
            body["StatusCallback"] = "{receipt_url}"
        return HttpShape(
            body=body,
            is_form=True,
            id_path="sid",
            code_path="code",
            words_path="message",
            account_codes=_TWILIO_ACCOUNT,
            busy_codes=_TWILIO_BUSY,
        )

    def faults(self) -> Sequence[str]:
        """Return what is wrong with the record."""
        found = [*super().faults()]
        if self.kind == "twilio" and not (self.username and self.secret and self.sender):
            found.append("Twilio needs username (the account SID), secret (its token) and sender.")
        return found

    def is_proven(self, headers: Mapping[str, Sequence[str]], url: str, body: bytes) -> bool:
        """Whether a call comes from this provider: Twilio signs the address and the form with the account's token."""
        if self.kind != "twilio":
            return super().is_proven(headers, url, body)
        signed = url + "".join(name + value for name, value in sorted(_form(body)))
        digest = hmac((self.secret or "").encode(), signed.encode(), sha1).digest()
        return bool(self.secret) and secret_matches(
            headers.get("x-twilio-signature", ()), b64encode(digest).decode()
        )  # fmt: skip

    def news_in(self, body: bytes, query: Mapping[str, str]) -> list[ReceiptNews | ReceivedText]:
        """Return what a call tells: a receipt, or a message that came in."""
        if self.kind != "twilio":
            return super().news_in(body, query)
        said = dict(_form(body))
        remote_id, status = said.get("MessageSid", ""), said.get("MessageStatus", said.get("SmsStatus", ""))
        if status in ("received", "receiving") and remote_id:
            return _received(said, remote_id)
        state = _TWILIO_STATES.get(status)
        if state is None:
            return []
        words = " ".join(("Twilio:", status, said.get("ErrorCode", ""), said.get("ErrorMessage", ""))).strip()
        return [ReceiptNews(state=state, remote_id=remote_id, reference=query.get("reference", ""), words=words)]


def _form(body: bytes) -> list[tuple[str, str]]:
    """Return the fields of a form; none where there are more than Twilio ever sends, since anybody may call."""
    try:
        return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return []


def _received(said: Mapping[str, str], remote_id: str) -> list[ReceiptNews | ReceivedText]:
    try:
        sender = phone_number(said.get("From", ""))
    except AddressError:  # A short code or a name: nobody whom we wrote to.
        sender = said.get("From", "")[:64]
    return [ReceivedText(sender=sender, text=said.get("Body", ""), remote_id=remote_id)]
