"""JSON for mail accounts: send one mail, pull what came, push what waits in storage, or both.

Only members of an account's team are told that it exists. Nothing is sent or fetched here: an account's mail goes
through the queue and the spool.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field, StringConstraints

from core.access import Access
from core.errors import UserError
from core.runtime import acting_user, get_model
from core.transport.step import Step
from core.web.errors import RequestRefused
from core.web.guard import Allowed, scope
from core.web.idempotency import keyed
from core.web.parameters import NO_NUL
from core.web.rate import pace
from core.web.route import ApiRoute
from core.web.session import visit_of

router = APIRouter(
    prefix="/api/core/mail", tags=["mail accounts"], route_class=ApiRoute, dependencies=[Depends(scope("mail"))]
)

_Name = Annotated[str, StringConstraints(max_length=255, pattern=NO_NUL)]
_RemoteId = Annotated[_Name, Field(coerce_numbers_to_str=True)]
_Account = Annotated[str, StringConstraints(max_length=100, pattern=NO_NUL)]
_Line = Annotated[str, StringConstraints(max_length=998, pattern=NO_NUL)]
_Lines = Annotated[str, StringConstraints(max_length=100_000, pattern=NO_NUL)]
_Body = Annotated[str, StringConstraints(max_length=2_000_000)]
_Debug = Annotated[bool, Query(description="Tell each step of the connections as well, with no secrets.")]


class AccountMail(BaseModel):
    """A mail to send. Addresses and file uuids are separated by commas or semicolons."""

    mail_to: _Lines | None = Field(None, examples=["customer@example.org"])
    mail_cc: _Lines | None = Field(None, examples=["accounts@example.org"])
    mail_bcc: _Lines | None = None
    mail_subject: _Line | None = Field(None, examples=["Document attached F001/202401"])
    mail_body_text: _Body | None = Field(None, examples=["The document is attached.\n"])
    mail_body_html: _Body | None = None
    mail_remote_id: _RemoteId | None = Field(None, examples=["932304ce-497d-4699-9c81-aa7decad31f6"])
    mail_remote_source: _Name | None = Field(None, examples=["saleinvoice"])
    mail_attachments: _Lines | None = Field(None, description="uuids of uploaded files (`/api/files`).")
    mail_account: _Name | None = Field(None, description="The account of the path, or nothing.")


class SentMail(BaseModel):
    """The mail in storage. `known` says that the very same was asked for before, and was not sent again."""

    id: int
    state: str
    mail_account: str
    known: bool


class PushOutcome(BaseModel):
    """`queued` mails were taken out of storage; `sent` and `failed` say what became of mails, `waiting` are left."""

    queued: int
    sent: int
    failed: int
    waiting: int


class DebugStep(BaseModel):
    """One step of a connection; `detail` is for administrators."""

    protocol: str
    step: str
    ok: bool
    ms: float
    detail: str | None = None


class AccountOutcome(BaseModel):
    """What came of one account. `ok` is false where `errors` has words."""

    account: str
    ok: bool
    pulled: int | None = None
    more: bool | None = None
    pushed: PushOutcome | None = None
    skipped: str | None = None
    errors: list[str]
    debug: list[DebugStep] | None = None


class Outcome(BaseModel):
    """What came of all accounts that were asked for; `ok` is false where one of them failed."""

    ok: bool
    pulled: int
    sent: int
    accounts: list[AccountOutcome]


@router.post("/send/{account}", summary="Send one mail by an account", dependencies=[Depends(pace("sending"))])
async def send(account: _Account, mail: AccountMail, access: Allowed) -> SentMail:
    """Queue a mail of the account and put it into mail storage, where its state can be looked up.

    What has the same `mail_remote_id`, `mail_remote_source` and content as a mail of before is that mail.
    """
    if mail.mail_account not in (None, "", account):
        raise UserError("mail_account names another account than the path; leave it out, or send by that account.")
    found = await get_model("MailAccount").of(acting_user(), account)
    stored, known = await found.send(acting_user(), mail.model_dump(exclude={"mail_account"}))
    return SentMail(id=stored.pk, state=stored.state, mail_account=account, known=known)


async def pull(request: Request, access: Allowed, account: _Account = "", debug: _Debug = False) -> Outcome:
    """Fetch what is new for an account, or for all of the caller's, into mail storage and the inbox."""
    return await _visit(request, access, account, {"pull": True, "push": False, "debug": debug})


async def push(request: Request, access: Allowed, account: _Account = "", debug: _Debug = False) -> Outcome:
    """Send what was put into mail storage for an account, or for all of the caller's."""
    return await _visit(request, access, account, {"pull": False, "push": True, "debug": debug})


async def sync(request: Request, access: Allowed, account: _Account = "", debug: _Debug = False) -> Outcome:
    """Pull, then push, for an account, or for all of the caller's."""
    return await _visit(request, access, account, {"pull": True, "push": True, "debug": debug})


def _add(act: Callable[..., Awaitable[Outcome]], summary: str) -> None:
    """Let an act answer to both methods, with and without an account, and with a slash where none is named."""
    name = act.__name__
    for method in ("GET", "POST"):
        for path, of in ((f"/{name}/{{account}}", "one"), (f"/{name}", "all"), (f"/{name}/", "")):
            router.add_api_route(
                path,
                act,
                methods=[method],
                # It asks others over the network, and twice does no more than once.
                dependencies=[Depends(keyed("ignored"))],
                summary=f"{summary} of an account" if of == "one" else f"{summary} of all accounts",
                operation_id=f"mail_{name}_{of}_{method.lower()}",
                include_in_schema=bool(of),
                response_model_exclude_none=True,
            )


_add(pull, "Pull mail")
_add(push, "Push mail")
_add(sync, "Pull and push mail")


async def _visit(request: Request, access: Access, account: str, ways: dict[str, bool]) -> Outcome:
    if request.method == "GET" and visit_of(request).token is None:
        # A link on another site could lead a browser here.
        raise RequestRefused("Use POST; GET is for programs, which bring a token.")
    user, accounts = acting_user(), get_model("MailAccount")
    chosen = [await accounts.of(user, account)] if account else await accounts.all_of(user)
    visits = await accounts.visit(chosen, user, **ways)
    told = [_outcome(one, ways, access) for one in visits]
    return Outcome(
        ok=all(one.ok for one in told),
        pulled=sum(one.pulled for one in visits),
        sent=sum(one.pushed.sent for one in visits),
        accounts=told,
    )


def _outcome(visit: Any, ways: dict[str, bool], access: Access) -> AccountOutcome:
    return AccountOutcome(
        account=visit.account,
        ok=not visit.errors,
        pulled=visit.pulled if ways["pull"] else None,
        more=visit.more if ways["pull"] else None,
        pushed=PushOutcome(**asdict(visit.pushed)) if ways["push"] else None,
        skipped=visit.skipped or None,
        errors=visit.errors,
        debug=[_step(protocol, one, access) for protocol, one in visit.steps] if ways["debug"] else None,
    )


def _step(protocol: str, step: Step, access: Access) -> DebugStep:
    detail = " ".join(filter(None, (step.detail, step.hint))) if access.is_admin else None
    return DebugStep(protocol=protocol, step=step.name, ok=step.ok, ms=step.duration_ms, detail=detail)
