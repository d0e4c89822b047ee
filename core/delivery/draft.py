"""A queued or sent mail as an unsent draft, for a person who wants to finish or send it with a mail program."""

from __future__ import annotations

import asyncio

from core.delivery.outgoing import load_outgoing
from core.mail.address import parse_address
from core.mail.draft import draft
from core.runtime import get_model


async def draft_bytes(message_id: int, *, with_bcc: bool) -> bytes:
    """Return the draft, as the addons' filters left the mail; `with_bcc` is for its author and the operator alone.

    It is never tracked, signed by DKIM, or one recipient's own copy.
    """
    email = await (await load_outgoing([message_id]))[message_id].email()
    blind = get_model("Delivery").filter(message_id=message_id, kind="bcc").order_by("id")
    bcc = await blind.values_list("recipient", flat=True) if with_bcc else []
    return await asyncio.to_thread(draft, email, tuple(map(parse_address, bcc)))
