"""`ChannelProvider`: the mix-in for an addon's provider records, which messages of its channel leave through."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hmac import compare_digest
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from core.delivery.caught_text import keep_text
from core.delivery.channel import ChannelMessage, ChannelResult
from core.delivery.http_provider import HttpShape, filled, post_message, text_at
from core.delivery.receipts import RECEIPT_STATES, ReceiptNews, ReceivedText, receive_text, take_receipts
from core.delivery.servers import Rate, note_success
from core.errors import UserError
from core.mail.address import header_text
from core.models.audited import Audited
from core.orm import fields
from core.runtime import settings
from core.transport.http import HttpClient

_PLACES = ("to", "text", "sender", "reference", "options", "receipt_url")
KINDS = {"dev": "Dev mailbox", "http": "HTTP interface"}


_RECEIPT_FIELDS = ("id", "status", "reference", "words")
_MOST_RECEIPTS = 1_000


def secret_matches(given: Sequence[str], secret: str | None) -> bool:
    """Whether exactly one value was given, and it is the secret; in the same time for every wrong one.

    An empty secret matches nothing.
    """
    if len(given) != 1 or not secret:
        return False
    return compare_digest(given[0].encode("utf-8", "surrogateescape"), secret.encode())


class ChannelProvider(Audited):
    """An account at a provider, with its place in the order.

    An addon names its channel in `_channel` and may override `send`, or only `shape` and `auth_headers` for providers
    that take a POST. `kind` "dev" keeps messages in the dev mailbox, also where mail goes out.
    """

    abstract = True
    _channel: ClassVar[str] = ""

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=200)
    kind = fields.SelectionField(KINDS, default="http")
    active = fields.BooleanField(default=True)
    priority = fields.IntField(default=10)
    """The lowest one that serves the message's company sends."""
    company = fields.ForeignKeyField("models.Company", null=True, related_name=False, on_delete=fields.CASCADE)
    company_id: int | None
    sender = fields.CharField(max_length=64, default="")
    """The number or name that messages come from, where the message names none."""

    url = fields.CharField(max_length=500, default="")
    username = fields.CharField(max_length=255, default="")
    secret = fields.SecretField(null=True)
    """The password of `username`; without one, the whole value of the header `secret_header`."""
    secret_header = fields.CharField(max_length=64, default="Authorization")
    body: Any = fields.JSONField(default=dict)
    """What is posted; its texts may hold {to}, {text}, {sender}, {reference} and {receipt_url}."""
    is_form = fields.BooleanField(default=False)
    """False: the body is posted as JSON."""
    id_path = fields.CharField(max_length=100, default="id")
    """Where the answer names the message; empty where it does not."""
    code_path = fields.CharField(max_length=100, default="")
    words_path = fields.CharField(max_length=100, default="")

    webhook_secret = fields.SecretField(null=True)
    """What receipts prove themselves with; without one, none are taken."""
    receipt_paths: Any = fields.JSONField(default=dict)
    """Where a receipt says `id`, `status`, `reference` and `words`, where they are not called so."""
    receipt_states: Any = fields.JSONField(default=dict)
    """What the provider's words for a status mean: accepted, delivered, read or failed."""

    most_at_once = fields.IntField(default=4)
    """Requests in flight per worker, and so the most that one kill can repeat."""
    rate_per_second = fields.IntField(default=0)
    rate_per_minute = fields.IntField(default=0)
    rate_per_day = fields.IntField(default=0)
    """0 is no limit; the limits hold for all workers."""

    @property
    def key(self) -> str:
        """What pauses, paces and receipts call this provider."""
        return f"{self._channel}:{self.pk}"

    def rates(self) -> tuple[Rate, ...]:
        """Return the limits that are set."""
        windows = {1: self.rate_per_second, 60: self.rate_per_minute, 86_400: self.rate_per_day}
        return tuple(Rate(count, window_s) for window_s, count in windows.items() if count)

    async def send(self, message: ChannelMessage, http: HttpClient) -> ChannelResult:
        """Send one message and say what became of it. HttpError, TemporaryFailure and UserError are understood too."""
        if self.kind == "dev":
            return await keep_text(self._channel, message)
        asked = self.shape(message), self.places(message)
        return await post_message(http, self.address(), self.auth_headers(), *asked, self.secret or "")

    def places(self, message: ChannelMessage) -> dict[str, Any]:
        """Return what a body's places stand for."""
        return {
            "to": message.recipient,
            "text": message.text,
            "sender": message.sender or self.sender,
            "reference": message.reference,
            "options": dict(message.options),
            "receipt_url": self.receipt_url(message.reference),
        }

    def address(self) -> str:
        """Return where messages are posted."""
        return self.url

    def shape(self, message: ChannelMessage) -> HttpShape:
        """Return how this provider is asked, and where its answer says what."""
        return HttpShape(
            body=self.body,
            is_form=self.is_form,
            id_path=self.id_path,
            code_path=self.code_path,
            words_path=self.words_path,
        )

    def auth_headers(self) -> Mapping[str, str]:
        """Return what proves to the provider who we are."""
        if not self.secret:
            return {}
        if not self.username:
            return {self.secret_header: header_text(self.secret)}
        return {"Authorization": "Basic " + b64encode(f"{self.username}:{self.secret}".encode()).decode()}

    def receipt_url(self, reference: str = "") -> str:
        """Return where this provider tells its receipts; empty without a BASE_URL."""
        base = settings().BASE_URL.rstrip("/")
        query = f"?reference={quote(reference)}" if reference else ""
        return f"{base}/api/{self._channel}/webhook/{self.pk}{query}" if base else ""

    # Receipts.

    def is_proven(self, headers: Mapping[str, Sequence[str]], url: str, body: bytes) -> bool:
        """Whether a call of our webhook comes from this provider: by default one header with `webhook_secret`.

        `headers` are all values by lower-case name; `url` is the address that was called, as the world sees it.
        """
        given = [value.removeprefix("Bearer ") for value in headers.get("authorization", ())]
        given += headers.get("x-webhook-secret", ())
        return secret_matches(given, self.webhook_secret)

    def news_in(self, body: bytes, query: Mapping[str, str]) -> list[ReceiptNews | ReceivedText]:
        """Return what a call tells: JSON of one receipt or a list of them; UserError where it is no such thing."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise UserError("This is no JSON.") from error
        told = data if isinstance(data, list) else [data]
        return [news for one in told[:_MOST_RECEIPTS] if (news := self._news(one, query)) is not None]

    def _news(self, data: Any, query: Mapping[str, str]) -> ReceiptNews | None:
        said = {name: text_at(data, str(self.receipt_paths.get(name, name))) for name in _RECEIPT_FIELDS}
        state = self.receipt_states.get(said["status"], said["status"].lower())
        if state not in RECEIPT_STATES:
            return None
        reference = said["reference"] or query.get("reference", "")
        return ReceiptNews(state=state, remote_id=said["id"], reference=reference, words=said["words"])

    async def take(self, told: Sequence[ReceiptNews | ReceivedText]) -> None:
        """Keep what a proven call told."""
        await take_receipts(self.key, [one for one in told if isinstance(one, ReceiptNews)])
        for one in told:
            if isinstance(one, ReceivedText):
                await receive_text(self.key, one)

    # Storing.

    async def save(self, *args: Any, **options: Any) -> None:
        """Store the provider, checked (see `faults`); whatever it was paused for may be mended now."""
        faults = self.faults()
        if faults:
            raise UserError(f"{self.name}: {' '.join(faults)}")
        await self._keep_secret_from_new_host()
        await super().save(*args, **options)
        await note_success(self.key)

    async def delete(self, *args: Any, **options: Any) -> None:
        """Delete the provider, and with it what is on record against it."""
        await super().delete(*args, **options)
        await note_success(self.key)

    def faults(self) -> Sequence[str]:
        """Return what is wrong with the record, each in a sentence."""
        found = []
        if self.most_at_once < 1 or min(self.rate_per_second, self.rate_per_minute, self.rate_per_day) < 0:
            found.append("most_at_once is 1 or more, and rates are 0 or more.")
        if self.kind == "http":
            if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname:
                found.append("Give the url that messages are posted to.")
            if not self.body:
                found.append('Give the body that is posted, such as {"to": "{to}", "text": "{text}"}.')
            try:
                filled(self.body, dict.fromkeys(_PLACES, ""))
            except UserError as error:
                found.append(str(error))
        return found

    async def _keep_secret_from_new_host(self) -> None:
        """Refuse to send a stored secret to another host than the one that it was entered for."""
        if self.pk is None or not self._saved_in_db or not self.secret:
            return
        stored = await type(self).get_or_none(id=self.pk)
        if stored is None or stored.secret != self.secret:
            return
        if stored.address() and _host_of(stored.address()) != _host_of(self.address()):
            raise UserError(f"{self.name}: the host changed, so enter the secret again.")


def _host_of(url: str) -> tuple[str, str]:
    """Return what a secret is entered for: without TLS, a host is another one."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
