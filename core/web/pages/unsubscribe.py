"""Leaving a list: what the link in a mail shows to a person (GET), and does for a mail program (POST, RFC 8058).

Whoever opens a link changes nothing, since programs open links to look at them. The token in the address is all that
counts: no login, no cookie, no form token. The answers say nothing of who is on which list.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import PlainTextResponse, Response

from core.errors import UnknownName
from core.mail.unsubscribe import Subscription, read_unsubscribe_token
from core.runtime import get_model, settings
from core.web.view import render

router = APIRouter()

_ONE_CLICK = ("list-unsubscribe", "one-click")
_Token = Annotated[str, Path(max_length=2000)]


@router.get("/unsubscribe/{token}")
async def ask(request: Request, token: _Token) -> Response:
    """Ask whether to leave; nothing is done yet."""
    return _page(request, _subscription(token), "")


@router.post("/unsubscribe/{token}")
async def leave(request: Request, token: _Token) -> Response:
    """Leave the list, as a mail program asks in one click, or do what the button said."""
    subscription = _subscription(token)
    form = await request.form(max_files=0, max_fields=10)
    said = {str(name).lower(): str(value).lower() for name, value in form.items()}
    if said.get(_ONE_CLICK[0]) == _ONE_CLICK[1]:
        await _leave(subscription, subscription.list)
        return PlainTextResponse("You are unsubscribed.\n")
    action = said.get("action", "")
    every_list = get_model("Suppression").EVERY_LIST
    if action == "leave":
        await _leave(subscription, subscription.list)
    elif action == "leave-all":
        await _leave(subscription, every_list)
    elif action == "return":
        for of_list in {subscription.list or every_list, every_list}:
            await get_model("Suppression").unsuppress(subscription.address, list=of_list, reason="unsubscribe")
    return _page(request, subscription, action)


def _subscription(token: str) -> Subscription:
    found = read_unsubscribe_token(settings().secret_keys, token)
    if found is None:
        raise UnknownName("This link is not complete. Copy all of it from the mail, or use the mail's own button.")
    return found


async def _leave(subscription: Subscription, of_list: str) -> None:
    model: Any = get_model("Suppression")
    await model.suppress(
        subscription.address,
        reason="unsubscribe",
        list=of_list or model.EVERY_LIST,
        source="link",
        note="by the link in a mail",
    )


def _page(request: Request, subscription: Subscription, done: str) -> Response:
    return render(request, "unsubscribe.html", address=_shown(subscription.address), list=subscription.list, done=done)


def _shown(address: str) -> str:
    """Return the address as its owner knows it again, and nobody else who has got hold of the link."""
    local, _, domain = address.rpartition("@")
    return f"{local[:2]}…@{domain}"
