"""Files: brought in one request, told about, fetched whole or in parts, deleted. Large ones resume by `api_uploads`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from core.errors import UserError
from core.mail.file_name import safe_file_name
from core.mail.file_type import BYTES
from core.mail.parameters import value_and_parameters
from core.web.attached import Place, delete_file, find_file, find_place
from core.web.files import SERVED_TYPES, content_address, send_file
from core.web.guard import Allowed
from core.web.incoming_file import in_pieces, of_form, store
from core.web.parameters import LARGEST, NO_NUL
from core.web.route import ApiRoute

router = APIRouter(prefix="/api/files", tags=["files"], route_class=ApiRoute)

_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_BYTES: Mapping[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {"type": "string", "contentMediaType": "application/octet-stream"},
        "model": {"type": "string"},
        "record_id": {"type": "integer"},
        "table_id": {"type": "integer"},
    },
}

FileId = Annotated[str, Path(pattern=_UUID, examples=["b0a4cf4e-6f0d-4b7a-9d55-0c7a5b6a4f11"])]
"""What a file or an upload is called."""
RowId = Annotated[int | None, Query(ge=0, le=LARGEST)]
ModelName = Annotated[str | None, Query(max_length=100, pattern=NO_NUL)]


class StoredFile(BaseModel):
    """A file, without its bytes, which are at `url`. `path` is what `/api/email/send` asks for it by."""

    id: int
    uuid: str
    name: str
    path: str | None
    content_type: str
    size_bytes: int
    sha256: str
    url: str = Field(examples=["/api/files/b0a4cf4e-6f0d-4b7a-9d55-0c7a5b6a4f11/content"])
    model: str | None
    record_id: int | None
    created_at: datetime


def stored_file(file: Any) -> StoredFile:
    """Return what is told of an Attachment."""
    return StoredFile(
        **{
            name: getattr(file, name) for name in ("id", "uuid", "name", "path", "content_type", "size_bytes", "sha256")
        },
        url=content_address(file),
        model=file.res_model,
        record_id=file.res_id,
        created_at=file.created_at,
    )


class _Asked(BaseModel):
    """Where a form says that its file belongs."""

    model: str | None = Field(None, max_length=100, pattern=NO_NUL)
    record_id: int | None = Field(None, ge=0, le=LARGEST)
    table_id: int | None = Field(None, ge=0, le=LARGEST)


@router.post(
    "",
    status_code=201,
    summary="Bring a file",
    openapi_extra={"requestBody": {"required": True, "content": {
        "multipart/form-data": {"schema": _FORM}, BYTES: _BYTES,
    }}},
)  # fmt: skip
async def upload(
    request: Request,
    response: Response,
    access: Allowed,
    name: Annotated[str | None, Query(max_length=1000)] = None,
    model: ModelName = None,
    record_id: RowId = None,
    table_id: RowId = None,
) -> StoredFile:
    """Store a file: the `file` of a form, or the body itself, named by `name` or by Content-Disposition.

    With `model` (or `table_id`) and `record_id` it belongs to that record, which takes the right to write it. Without,
    it is its uploader's alone until it is sent, and with `model` or `table_id` alone it is meant for such records.
    Its type is told by its bytes.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        raise HTTPException(415, "Send a file as multipart/form-data, or its bytes as application/octet-stream.")
    asked = _Asked(model=model, record_id=record_id, table_id=table_id)
    if kind != "multipart/form-data":
        name = name or value_and_parameters(request.headers.get("content-disposition", ""))[1].get("filename", "")
        file = await _stored(access, asked, in_pieces(request.stream()), name, kind)
    else:
        async with request.form(max_files=1, max_fields=10) as form:
            brought = form.get("file")
            if not isinstance(brought, UploadFile):
                raise UserError("The form has no file called `file`.")
            asked = _in_form(form, asked)
            named = name or brought.filename or ""
            file = await _stored(access, asked, of_form(brought), named, brought.content_type or "")
    response.headers["Location"] = f"/api/files/{file.uuid}"
    return stored_file(file)


@router.get("/{uuid}", summary="Read about a file")
async def read(uuid: FileId, access: Allowed) -> StoredFile:
    """Return all about a file but its bytes."""
    return stored_file(await find_file(access, uuid=uuid))


_SERVED = dict.fromkeys(sorted(SERVED_TYPES), _BYTES)
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "All of it, for saving.", "content": _SERVED},
    206: {"description": "The part that `Range` asks for.", "content": _SERVED},
    304: {"description": "It is what `If-None-Match` names."},
    416: {"description": "It has no such part; `Content-Range` says how long it is."},
}


@router.get("/{uuid}/content", summary="Fetch a file", response_class=Response, responses=_CONTENT)
async def content(request: Request, uuid: FileId, access: Allowed) -> Response:
    """Return a file's bytes, or one range of them. A file never changes, and its ETag is its SHA-256."""
    return send_file(request, await find_file(access, uuid=uuid))


@router.head(
    "/{uuid}/content",
    summary="Ask how long a file is",
    response_class=Response,
    responses={200: {"description": "Its headers."}, 304: _CONTENT[304]},
)
async def content_head(request: Request, uuid: FileId, access: Allowed) -> Response:
    """Return the headers that a GET would have."""
    return send_file(request, await find_file(access, uuid=uuid))


@router.delete("/{uuid}", status_code=204, summary="Delete a file")
async def delete(uuid: FileId, access: Allowed) -> None:
    """Delete one's own file that hangs on nothing, or any that the user has the right to delete."""
    await delete_file(access, await find_file(access, uuid=uuid))


def kept_name(name: str) -> str:
    """Return a stranger's file name as it is kept."""
    return safe_file_name(name) or "file"


async def _stored(access: Allowed, asked: _Asked, pieces: AsyncIterator[bytes], name: str, kind: str) -> Any:
    place: Place = await find_place(access, asked.model, asked.record_id, asked.table_id)
    kept = kept_name(name)
    values = await place.values(kept)
    return await store(pieces, name=kept, said_type=kind[:127], created_by_id=access.user_id, **values)


def _in_form(form: Mapping[str, Any], asked: _Asked) -> _Asked:
    """Add what a form says of where its file belongs."""
    said = {key: value for key in _Asked.model_fields if isinstance(value := form.get(key), str) and value != ""}
    try:
        return _Asked(**{**asked.model_dump(), **said})
    except ValueError as error:
        raise UserError("`model` is the name of a model; `record_id` and `table_id` are ids.") from error
