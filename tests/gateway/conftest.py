"""An open host with the addon `desk`, aliases at our.test, and sample mails."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.runtime import Runtime, get_model

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "samples" / "inbound"
TOKEN = "0123456789abcdef0123456789abcdef"
ORIGINAL = "<original-1@our.test>"


@pytest.fixture
def settings() -> dict[str, object]:
    return {
        "ADDONS": ["core", "desk"],
        "ADDONS_PATH": [str(HERE / "addons")],
        "MAIL_DOMAIN": "our.test",
        "MAIL_MODE": "live",
    }


@pytest.fixture
def told(host: Runtime) -> list[tuple[str, Any]]:
    """What the addon's event hooks were told, in order."""
    addon = next(addon for addon in host.addons if addon.name == "desk")
    told: list[tuple[str, Any]] = sys.modules[f"{addon.package}.hooks"].TOLD
    told.clear()
    return told


@pytest.fixture
async def routes(host: Runtime) -> dict[str, Any]:
    """The routes leads@ and support@ (Ticket), orders@ (Order)."""
    route = get_model("EmailRoute")
    return {
        "leads": await route.create(address="Leads", target_model="Ticket", defaults={"priority": 3}),
        "support": await route.create(address="support", target_model="Ticket"),
        "orders": await route.create(address="orders", target_model="Order", target_name_field="title"),
    }


@pytest.fixture
async def invoice(host: Runtime) -> Any:
    """A Ticket with a mail sent about it: TOKEN, ORIGINAL, to ada@customer.test and gone@customer.test."""
    ticket = await get_model("Ticket").create(name="Invoice 7")
    message = await get_model("Message").create(
        res_model="Ticket",
        res_id=ticket.id,
        direction="Outbound",
        subject="Your invoice",
        message_id=ORIGINAL,
        tracking_identifier=TOKEN,
        send_state="Sent",
    )
    for recipient in ("ada@customer.test", "Gone@customer.test"):
        await get_model("Delivery").create(
            message=message, recipient=recipient, state="sent", due_at="2025-06-02T09:00:00+00:00"
        )
    ticket.sent_message = message
    return ticket


def change_settings(host: Runtime, **values: object) -> None:
    """Give the open host other configuration values."""
    settings = host.settings.model_copy(update=values)
    host.configuration = replace(host.configuration, settings=settings)


def sample(name: str) -> bytes:
    """Return a sample mail with CRLF line ends, its token and original Message-ID filled in."""
    raw = (SAMPLES / f"{name}.eml").read_bytes()
    raw = raw.replace(b"@TOKEN@", TOKEN.encode()).replace(b"@ORIGINAL@", ORIGINAL.encode())
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def mail(
    subject: str = "Hello",
    *,
    to: str = "leads@our.test",
    sender: str = "Ada Byron <ada@customer.test>",
    message_id: str = "",
    body: str = "Text.",
    **headers: str,
) -> bytes:
    """Write a small mail; a keyword `In_Reply_To` is the header In-Reply-To."""
    lines = [f"From: {sender}", f"To: {to}", f"Subject: {subject}"]
    lines += [f"Message-ID: {message_id}"] if message_id else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", body, ""]).encode()
