"""JSON about a user's own signatures, in the shape of `reference/002`; nobody sees those of others."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, StrictBool, StringConstraints

from core.access import Access
from core.errors import UnknownName
from core.runtime import get_model
from core.web.guard import Allowed
from core.web.idempotency import keyed
from core.web.parameters import RecordId
from core.web.route import ApiRoute

router = APIRouter(prefix="/api/email", tags=["e-mail"], route_class=ApiRoute)

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Signature(BaseModel):
    """One of the caller's signatures. Of all of them at most one is the default."""

    id: int
    name: str
    html: str
    is_default: bool


class NewSignature(BaseModel):
    """What a signature is made of; `html` has up to 200 KiB, and is cleaned of what no mail may hold."""

    name: Name = Field(examples=["Office"])
    html: str = Field("", examples=["<p>Kim Example<br>Acme</p>"])
    is_default: StrictBool = False


class SignatureChange(BaseModel):
    """What is to be changed; what is left out stays."""

    name: Name | None = Field(None, examples=["Office"])
    html: str | None = Field(None, examples=["<p>Kim Example<br>Acme</p>"])
    is_default: StrictBool | None = None


class DeletedSignature(BaseModel):
    """The id that is free of its signature now."""

    id: int


@router.post("/signatures/list", summary="List your signatures", dependencies=[Depends(keyed("ignored"))])
async def list_signatures(access: Allowed) -> list[Signature]:
    """Return the caller's signatures, oldest first."""
    return [_shown(one) for one in await get_model("EmailSignature").filter(user_id=access.user_id).order_by("id")]


@router.post("/signatures/create", summary="Make a signature")
async def create_signature(new: NewSignature, access: Allowed) -> Signature:
    """Store a signature of the caller's; as default, it takes the place of the former one."""
    return _shown(await get_model("EmailSignature").create(user_id=access.user_id, **new.model_dump()))


@router.post("/signature/{signature_id}/update", summary="Change a signature")
async def update_signature(signature_id: RecordId, change: SignatureChange, access: Allowed) -> Signature:
    """Change a signature of the caller's."""
    signature = await _own(access, signature_id)
    signature.update_from_dict(change.model_dump(exclude_none=True))
    await signature.save()
    return _shown(signature)


@router.post("/signature/{signature_id}/delete", summary="Delete a signature")
async def delete_signature(signature_id: RecordId, access: Allowed) -> DeletedSignature:
    """Delete a signature of the caller's; mail that bears it keeps it."""
    await (await _own(access, signature_id)).delete()
    return DeletedSignature(id=signature_id)


async def _own(access: Access, signature_id: int) -> Any:
    signature = await get_model("EmailSignature").get_or_none(id=signature_id, user_id=access.user_id)
    if signature is None:
        raise UnknownName(f"You have no signature {signature_id}.")
    return signature


def _shown(signature: Any) -> Signature:
    return Signature(id=signature.pk, name=signature.name, html=signature.html, is_default=signature.is_default)
