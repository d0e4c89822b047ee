"""The small world that the corpus is sent to: what may be written to, what was written before, and by whom.

A sample may hold words in `@` signs that are only known once the world stands: see `Fill`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.gateway.rules.loop import loop_tags
from core.mail.return_path import return_path
from core.mail.unsubscribe import unsubscribe_address
from core.runtime import get_model
from core.runtime import settings as values

TOKEN = "0123456789abcdef0123456789abcdef"
ORIGINAL = "<original-1@our.test>"
ORDER = "<order-1@our.test>"
NOTE = "<note-1@our.test>"
PLAIN = "<17.abc@ours.example>"
"""The mail that the samples in `tests/samples/bounces` report on."""

SETTINGS: dict[str, object] = {
    "ADDONS": ["core", "desk"],
    "ADDONS_PATH": [str(Path(__file__).parent.parent / "gateway" / "addons")],
    "MAIL_DOMAIN": "our.test",
    "MAIL_MODE": "live",
    "NAME_SERVER": "off",
    "TRUSTED_AUTHSERV_ID": "mx.our.test",
}


@dataclass(frozen=True, slots=True)
class World:
    """What stands: records by the names that expectations use, and the words that samples hold in `@` signs."""

    records: dict[str, str]
    words: dict[bytes, bytes]

    def fill(self, raw: bytes) -> bytes:
        """Return a sample as it goes over the wire."""
        for word, meant in self.words.items():
            raw = raw.replace(word, meant)
        return raw


async def build() -> World:
    """Create routes, people, and a thread of each kind."""
    await _routes()
    await _people()
    invoice = await get_model("Ticket").create(name="Invoice 7")
    order = await get_model("Order").create(title="Order 12")
    told = {"direction": "Outbound", "send_state": "Sent", "tracking_identifier": TOKEN, "message_id": ORIGINAL}
    sent = await _message(invoice, subject="Your invoice", unsubscribe_list="news", **told)
    first = await _deliver(sent, "ada@customer.test")
    await _deliver(sent, "Gone@customer.test")
    await _message(order, subject="Your order", direction="Outbound", send_state="Sent", message_id=ORDER)
    await _message(invoice, subject="Internal", direction="Internal", kind="note", message_id=NOTE)
    plain = await _message(invoice, subject="Your invoice 17", direction="Outbound", message_id=PLAIN)
    for address in ("ada@far.example", "bob@far.example"):
        await _deliver(plain, address)
    keys = values().secret_keys
    paths = {
        b"@RETURN@": return_path(keys, "bounce", "our.test", sent.id),
        b"@RETURN-ADA@": return_path(keys, "bounce", "our.test", sent.id, first.id),
        b"@UNSUBSCRIBE@": unsubscribe_address(keys, "our.test", sent.id, first.id),
        b"@TOKEN@": TOKEN,
        b"@ORIGINAL@": ORIGINAL,
        b"@ORDER@": ORDER,
        b"@NOTE@": NOTE,
        b"@LOOP@": loop_tags()[0],
    }
    names = {"invoice": f"Ticket:{invoice.id}", "order": f"Order:{order.id}"}
    return World(names, {word: meant.encode() for word, meant in paths.items()})


async def _routes() -> None:
    create = get_model("EmailRoute").create
    await create(address="leads", target_model="Ticket", defaults={"priority": 3})
    await create(address="support", target_model="Ticket")
    await create(address="anfragen", domain="bücher.test", target_model="Ticket")
    await create(address="orders", target_model="Order", target_name_field="title")
    await create(address="vip", target_model="Ticket", sender_policy="known")
    await create(address="staff", target_model="Ticket", sender_policy="staff")
    await create(address="*", domain="shop.test", target_model="Ticket")


async def _people() -> None:
    contact = get_model("Contact").create
    await contact(name="Ada Byron", email="ada@customer.test")
    grace = await contact(name="Grace", email="grace@our.test")
    await get_model("User").create(login="grace@our.test", name="Grace", contact=grace)


async def _message(record: Any, **fields: Any) -> Any:
    return await get_model("Message").create(res_model=type(record).__name__, res_id=record.id, **fields)


async def _deliver(message: Any, recipient: str) -> Any:
    return await get_model("Delivery").create(
        message=message, recipient=recipient, state="sent", due_at="2025-06-02T09:00:00+00:00"
    )
