"""The mail servers: what state each is in and why, a test step by step, which one sends what, and signing in.

Passwords and tokens are never shown; records are edited elsewhere.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from core.access import Right
from core.errors import UnknownName, UserError
from core.runtime import get_model
from core.web.guard import Allowed
from core.web.parameters import NO_NUL, RecordId
from core.web.session import visit_of
from core.web.view import render

router = APIRouter(prefix="/servers")

_SERVER, _INCOMING, _SIGN_IN = "OutgoingMailServer", "IncomingMailServer", "OAuthAccount"
Sender = Annotated[str, Query(alias="from", max_length=320, pattern=NO_NUL)]
Login = Annotated[str, Query(max_length=320, pattern=NO_NUL)]
Word = Annotated[str, Query(max_length=4096, pattern=NO_NUL)]


@router.get("")
async def server_list(request: Request, access: Allowed) -> Response:
    """List the servers both ways and the sign-ins, each with its state and what to do about it."""
    access.require(_SERVER)
    return render(
        request,
        "servers.html",
        outgoing=await get_model(_SERVER).overview(),
        incoming=await access.records(_INCOMING).order_by("name") if access.may(_INCOMING) else [],
        sign_ins=await access.records(_SIGN_IN).order_by("name") if access.may(_SIGN_IN) else [],
        may_test=access.may(_SERVER, Right.WRITE),
        may_fetch=access.may(_INCOMING, Right.WRITE),
        may_sign_in=access.may(_SIGN_IN, Right.WRITE),
    )


@router.get("/explain")
async def explain(request: Request, access: Allowed, sender: Sender = "", user: Login = "") -> Response:
    """Say which server would send a mail from an address, and why each one before it would not."""
    access.require(_SERVER)
    choices = await _choices(sender, user) if sender else None
    return render(request, "server_choice.html", choices=choices, sender=sender, login=user)


@router.get("/oauth/callback")
async def signed_in(
    request: Request, access: Allowed, state: Word = "", code: Word = "", error: Word = "", error_description: Word = ""
) -> Response:
    """End a sign-in with what the provider sent this browser back with."""
    access.require(_SIGN_IN, Right.WRITE)
    if error:
        said = f"{error}: {error_description}" if error_description else error
        raise UserError(f"The provider did not sign you in: {said[:300]}")
    account = await get_model(_SIGN_IN).end_sign_in(state, code, _session_of(request))
    return render(request, "server_sign_in.html", account=account, url="")


@router.post("/sign-ins/{account_id}")
async def sign_in(request: Request, account_id: RecordId, access: Allowed) -> Response:
    """Begin a sign-in: a page with the link to the provider, since a form may not lead to another site."""
    account = await access.find(_SIGN_IN, account_id, Right.WRITE)
    url = await account.begin_sign_in(_session_of(request))
    return render(request, "server_sign_in.html", account=account, url=url)


@router.post("/incoming/{server_id}/test")
async def test_incoming(request: Request, server_id: RecordId, access: Allowed) -> Response:
    """Test a mailbox step by step; nothing is fetched."""
    server = await access.find(_INCOMING, server_id, Right.WRITE)
    shown = {"name": server.name, "key": f"incoming/{server.pk}"}
    return render(request, "server_test.html", server=shown, steps=await server.test_connection())


@router.post("/incoming/{server_id}/resume")
async def resume_incoming(server_id: RecordId, access: Allowed) -> Response:
    """Switch a mailbox on and visit it at once, whatever it failed for before."""
    server = await access.find(_INCOMING, server_id, Right.WRITE)
    server.active = True
    await server.save()
    await server.resume()
    return RedirectResponse("/servers", 303)


@router.post("/{key}/test")
async def test(request: Request, key: str, access: Allowed) -> Response:
    """Test a server step by step; no mail is sent."""
    state = await _state_of(key, access)
    server = await _record_of(state, access)
    steps = await (server.test_connection() if server else get_model(_SERVER).test_configured())
    return render(request, "server_test.html", server=state, steps=steps)


@router.post("/{key}/resume")
async def resume(key: str, access: Allowed) -> Response:
    """Use a paused server again at once."""
    state = await _state_of(key, access)
    await get_model(_SERVER).resume(state.key)
    return RedirectResponse("/servers", 303)


async def _state_of(key: str, access: Allowed) -> Any:
    access.require(_SERVER, Right.WRITE)
    for one in await get_model(_SERVER).overview():
        if one.key == key:
            return one
    raise UnknownName("There is no such mail server.")


async def _record_of(state: Any, access: Allowed) -> Any:
    """Return the server's record, where the user may change it; None for the configured one."""
    return await access.find(_SERVER, int(state.key), Right.WRITE) if state.key.isdecimal() else None


async def _choices(sender: str, login: str) -> Any:
    user = await get_model("User").get_or_none(login=login.strip().casefold()) if login else None
    if login and user is None:
        raise UserError(f"There is no user {login}.")
    return await get_model(_SERVER).explain(user, sender)


def _session_of(request: Request) -> str:
    """Return what a sign-in is bound to: this browser's session, in a form that gives nothing away."""
    return sha256(visit_of(request).session.nonce.encode()).hexdigest()
