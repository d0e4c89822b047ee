"""JSON for whoever forgot the password: ask for a link, and set another password by its token."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Request
from pydantic import BaseModel, ConfigDict, StringConstraints

from core.runtime import get_model
from core.web.idempotency import keyed
from core.web.password_reset import ASKED, count_redemption, count_request, mail_link
from core.web.route import ApiRoute

router = APIRouter(prefix="/api/auth", tags=["who asks"], route_class=ApiRoute)
_IGNORED = (Depends(keyed("ignored")),)


class Forgotten(BaseModel):
    """Whose password is forgotten."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"login": "anna@example.org"}]})

    login: Annotated[str, StringConstraints(max_length=320)]


class Asked(BaseModel):
    """The same words for every login."""

    detail: str = ASKED


class Reset(BaseModel):
    """The token of a link, and the password to come."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, StringConstraints(max_length=100)]
    password: Annotated[str, StringConstraints(max_length=1024)]


@router.post("/forgot", status_code=202, summary="Ask for a link to set a new password", dependencies=_IGNORED)
async def forgot(request: Request, given: Forgotten, later: BackgroundTasks) -> Asked:
    """Have a link mailed to the login, if it is somebody's; the answer is the same where it is nobody's."""
    await count_request(request, given.login)
    later.add_task(mail_link, given.login)
    return Asked()


@router.post("/reset", status_code=204, summary="Set a new password by a link's token", dependencies=_IGNORED)
async def reset(request: Request, given: Reset) -> None:
    """Take a new password, once: every session of the user ends and all of its tokens are revoked."""
    await count_redemption(request)
    await get_model("PasswordReset").redeem(given.token, given.password)
