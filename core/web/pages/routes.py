"""Where mail goes: the aliases with what they got, the question about one mail, and the cases that must stay true."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import RedirectResponse, Response

from core import clock
from core.access import Access, Right
from core.errors import UserError
from core.mail.address import domain_of
from core.mail.sketch import Sketch
from core.runtime import get_model, runtime, settings
from core.web.guard import Allowed
from core.web.parameters import NO_NUL, RecordId
from core.web.view import render

router = APIRouter(prefix="/routes")

_ROUTE, _CASE = "EmailRoute", "RouteCase"
_HITS_DAYS = 30
_CASES_SHOWN = 200
_KEPT_BYTES = 1_000_000
"""A larger mail is explained, and not offered as a case: its page would carry it twice."""
_Line = Annotated[str, Form(max_length=998, pattern=NO_NUL)]
_Text = Annotated[str, Form(max_length=2_000_000, pattern=NO_NUL)]


@dataclass(frozen=True, slots=True)
class Alias:
    """A route with what came by it lately; `fault` says why it can create nothing."""

    route: Any
    address: str
    hits: int
    last_at: datetime | None
    fault: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form says of a mail: its bytes, or who writes to whom about what."""

    sender: str
    to: str
    cc: str
    subject: str
    body: str
    headers: str
    verified: bool
    raw: bytes

    def bytes(self) -> bytes:
        """Return the mail; UserError where nothing was asked about."""
        if self.raw:
            return self.raw
        if not self.to.strip():
            raise UserError("Say to whom the mail is, or paste one, or choose a file.")
        return self.sketch().raw(settings().MAIL_DOMAIN)

    def sketch(self) -> Sketch:
        lines = [line.partition(":") for line in self.headers.splitlines() if line.strip()]
        headers = {name.strip(): value.strip() for name, _, value in lines}
        return Sketch(sender=self.sender, to=self.to, cc=self.cc, subject=self.subject, body=self.body, headers=headers)

    @property
    def kept(self) -> str:
        """The bytes for a hidden field, empty for a mail in words or a large one."""
        return b64encode(self.raw).decode() if len(self.raw) <= _KEPT_BYTES else ""


NOTHING = Asked("", "", "", "", "", "", False, b"")


async def asked_about(
    sender: _Line = "",
    to: _Line = "",
    cc: _Line = "",
    subject: _Line = "",
    body: _Text = "",
    headers: _Text = "",
    verified: Annotated[bool, Form()] = False,
    pasted: _Text = "",
    kept: _Text = "",
    file: Annotated[UploadFile | None, File()] = None,
) -> Asked:
    """Read the form: a file counts before what was pasted, and that before the words."""
    raw = await file.read() if file is not None else b""
    if not raw and kept:
        try:
            raw = b64decode(kept, validate=True)
        except ValueError:
            raise UserError("The mail of this form is damaged; ask about it again.") from None
    raw = raw or pasted.strip().replace("\r\n", "\n").replace("\n", "\r\n").encode()
    return Asked(sender, to, cc, subject, body, headers, verified, raw)


Question = Annotated[Asked, Depends(asked_about)]


@router.get("")
async def routes(request: Request, access: Allowed) -> Response:
    """List the aliases and the saved cases, with the question about a mail between them."""
    return await _page(request, access, NOTHING)


@router.post("/explain")
async def explained(request: Request, access: Allowed, asked: Question) -> Response:
    """Say where a mail would go; nothing is written."""
    access.require(_ROUTE)
    account = await get_model(_ROUTE).explain(asked.bytes(), verified=asked.verified or None)
    return await _page(request, access, asked, account)


@router.post("/cases")
async def save_case(
    access: Allowed, asked: Question, name: Annotated[str, Form(max_length=200, pattern=NO_NUL)] = ""
) -> Response:
    """Keep a mail with where it goes now, to be asked about again."""
    access.require(_CASE, Right.CREATE)
    mail = asked.bytes() if asked.raw else asked.sketch()
    title = name.strip() or asked.subject.strip()[:200] or "A mail"
    await get_model(_CASE).keep(title, mail, verified=asked.verified)
    return RedirectResponse("/routes#cases", 303)


@router.post("/cases/check")
async def check(access: Allowed) -> Response:
    """Ask about every case again."""
    access.require(_CASE, Right.WRITE)
    await get_model(_CASE).check_all()
    return RedirectResponse("/routes#cases", 303)


@router.get("/cases/{case_id}")
async def show_case(request: Request, access: Allowed, case_id: RecordId) -> Response:
    """Show where a case's mail goes now, rule by rule."""
    case = await access.find(_CASE, case_id)
    raw = case.mail()
    headers = "\n".join(f"{name}: {value}" for name, value in (case.headers or {}).items())
    asked = Asked(case.sender, case.to, case.cc, case.subject, case.body, headers, case.verified, b"")
    account = await get_model(_ROUTE).explain(raw, verified=case.verified or None)
    return await _page(request, access, replace(asked, raw=raw) if case.content is not None else asked, account)


@router.post("/cases/{case_id}/delete")
async def delete_case(access: Allowed, case_id: RecordId) -> Response:
    """Forget a case."""
    await (await access.find(_CASE, case_id, Right.DELETE)).delete()
    return RedirectResponse("/routes#cases", 303)


async def _page(request: Request, access: Access, asked: Asked, account: Any = None) -> Response:
    access.require(_ROUTE)
    cases = access.records(_CASE).filter(active=True).order_by("passed", "name") if access.may(_CASE) else None
    return render(
        request,
        "routes.html",
        aliases=await _aliases(access),
        asked=asked,
        account=account,
        cases=await cases.limit(_CASES_SHOWN) if cases is not None else [],
        may_save=access.may(_CASE, Right.CREATE),
        may_check=access.may(_CASE, Right.WRITE),
        may_delete=access.may(_CASE, Right.DELETE),
        hits_days=_HITS_DAYS,
        fallback=settings().FALLBACK_ALIAS,
        refuses=settings().REFUSE_POLITELY,
    )


async def _aliases(access: Access) -> list[Alias]:
    own = settings().MAIL_DOMAIN
    hits = await _hits()
    found = []
    for route in await access.records(_ROUTE).order_by("address", "domain").prefetch_related("company"):
        address = f"{route.address}@{route.domain or own}"
        times, last_at = hits.get(f"{route.address}@{domain_of(address)}", (0, None))
        found.append(Alias(route, address, times, last_at, route.fault() if route.active else ""))
    return found


async def _hits() -> dict[str, tuple[int, datetime | None]]:
    """Return how many mails came by each address of ours lately, and when the last one did."""
    database = runtime().database
    dialect = database.dialect
    since = clock.now() - timedelta(days=_HITS_DAYS)
    rows = await database.fetch(
        f"""SELECT recipient, COUNT(*) AS times, MAX(received_at) AS last_at FROM inbound_email
            WHERE recipient <> '' AND received_at > {dialect.param(1)} GROUP BY recipient""",
        [dialect.time(since)],
    )
    return {row["recipient"]: (row["times"], dialect.read_time(row["last_at"])) for row in rows}
