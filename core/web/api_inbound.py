"""Where others bring mail in: with a proof of who they are, or to a reply address of ours.

An answer of 200 says that the mail is committed; whoever gets another one, or none, brings it again, and it is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from core import clock
from core.errors import TemporaryFailure, UserError
from core.mail.brought import Brought, brought_in_form, brought_in_json
from core.orm.outage import database_errors, is_outage
from core.runtime import get_model, settings
from core.web.route import ApiRoute
from core.web.webhook_proof import SIGNATURE, Call, WebhookRefused, prove, secrets_in

PATH = "/api/email/webhook/receive"
REPLY_PATH = "/webhooks/email_receive"
_BODY_S = 60.0
AT_ONCE = 8
"""So many bodies are held in memory at a time; who comes then waits."""

router = APIRouter(tags=["mail"], route_class=ApiRoute)


class Taken(BaseModel):
    """The mail's id in the spool; None where it was brought before."""

    id: int | None
    known: bool


@router.post(f"{PATH}/mime", include_in_schema=False)  # Mailgun posts raw mail where the address ends so.
@router.post(
    PATH,
    summary="Bring a mail in",
    openapi_extra={"requestBody": {"content": {"message/rfc822": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def receive(request: Request) -> Taken:
    """Take a raw mail (`message/rfc822`, `text/raw`, any other type of bytes), or one as Amazon SES, Mailgun, Postmark
    or SendGrid wrap it.

    Needs WEBHOOK_SECRET as bearer token, Basic password or `X-Webhook-Secret`, or a signature of the body. The headers
    `X-Envelope-From` and `X-Envelope-To` (addresses, with commas) tell the envelope of raw bytes.
    """
    # A secret is looked at before the body is let in; what signs the body cannot be.
    is_proven = SIGNATURE not in request.headers
    if is_proven:
        await _prove(request, b"")
    async with _body(request, is_proven=is_proven) as body:
        if not is_proven:
            await _prove(request, body)
        brought = await _brought(request, body)
        if not brought.raw.strip():
            raise UserError("The request has no mail in it.")
        if len(brought.raw) > settings().MAX_MAIL_BYTES:
            raise HTTPException(413, f"A mail has at most {settings().MAX_MAIL_BYTES} bytes (MAX_MAIL_BYTES).")
        model = get_model("InboundEmail")
        try:
            spool_id = await model.take_in(brought.raw, "webhook", brought.return_path, brought.recipients)
        except database_errors() as error:
            raise _unkept(error) from error
        return Taken(id=spool_id, known=spool_id is None)


@router.post(REPLY_PATH, summary="Bring an answer to a reply address in", response_class=PlainTextResponse)
async def receive_reply(request: Request) -> Response:
    """Take a raw mail to a reply address of ours (`Content-Type: text/raw`), which is the proof; any other is dropped.

    The answer is the same, so that nobody learns which addresses there are.
    """
    async with _body(request, is_proven=False) as body:
        try:
            await get_model("InboundEmail").take_in_reply(body)
        except database_errors() as error:
            raise _unkept(error) from error
    return PlainTextResponse("OK")


async def _prove(request: Request, body: bytes) -> None:
    try:
        prove(Call(tuple(request.headers.raw), body, clock.now()), secrets_in(settings()))
    except WebhookRefused as refused:
        await request.app.state.refusals.count("receive", refused.reason)
        raise


@asynccontextmanager
async def _body(request: Request, *, is_proven: bool) -> AsyncIterator[bytes]:
    """Give the body for the block, at whose end it is let go and the next one may come.

    Whoever has proven nothing yet may be slow on purpose, and keeps only others of that kind waiting.
    """
    state = request.app.state
    async with state.receiving if is_proven else state.receiving_of_strangers:
        try:
            async with asyncio.timeout(_BODY_S):
                body = await request.body()
        except TimeoutError as error:
            raise UserError("The request came too slowly; send it again.") from error
        yield body


async def _brought(request: Request, body: bytes) -> Brought:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or (kind == "text/plain" and body.startswith(b"{")):
        return await asyncio.to_thread(brought_in_json, body)
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        async with request.form(max_files=100, max_fields=200, max_part_size=len(body) + 1) as form:
            return brought_in_form({name: value for name, value in form.items() if isinstance(value, str)})
    recipients = tuple(one.strip() for one in request.headers.get("x-envelope-to", "").split(",") if one.strip())
    return Brought(body, request.headers.get("x-envelope-from"), recipients)


def _unkept(error: BaseException) -> TemporaryFailure:
    if not is_outage(error):
        raise error
    return TemporaryFailure("The mail cannot be kept just now; bring it again in a minute.")
