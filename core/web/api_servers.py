"""JSON about outgoing servers for whoever writes a mail: where it may come from. No password, no server address."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from core.access import Right
from core.runtime import acting_user, get_model
from core.web.guard import Inside
from core.web.idempotency import keyed
from core.web.route import ApiRoute

router = APIRouter(prefix="/api/email", tags=["mail servers"], route_class=ApiRoute)


class Identity(BaseModel):
    """A sender to choose."""

    name: str
    email: str


class SmtpOption(BaseModel):
    """A server that the caller may write through, and as whom."""

    id: int
    label: str
    from_domains: list[str] = Field(serialization_alias="fromDomains")
    from_identities: list[Identity] = Field(serialization_alias="fromIdentities")
    disable_pixel: bool = Field(serialization_alias="disablePixel")


@router.post(
    "/smtpOptions", summary="List the servers and senders to write from", dependencies=[Depends(keyed("ignored"))]
)
async def smtp_options(access: Inside) -> list[SmtpOption]:
    """Return the servers that name their From domains and that the logged-in user, who writes mail, may send by."""
    access.require("Message", Right.CREATE)
    servers = await get_model("OutgoingMailServer").options(acting_user())
    return [_option(server) for server in servers if server.from_domains]


def _option(server: Any) -> SmtpOption:
    identities = [Identity(name=str(one.get("name", "")), email=str(one["email"])) for one in server.from_identities]
    return SmtpOption(
        id=server.pk,
        label=server.username or server.name,
        from_domains=server.from_domains,
        from_identities=identities,
        disable_pixel=server.disable_tracking,
    )
