"""Resumable uploads by tus 1.0.0: a large file comes in as many requests as it takes, to whichever worker is asked.

What came before a connection broke off is kept. The file that an upload becomes has the upload's own uuid.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC
from email.utils import format_datetime
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from core import clock
from core.access import Access
from core.errors import PostroomError, UnknownName, UserError
from core.runtime import get_model, settings
from core.web import errors, tus
from core.web.api_files import FileId, kept_name
from core.web.attached import find_place
from core.web.guard import Allowed
from core.web.idempotency import keyed
from core.web.incoming_file import ChecksumMismatch, checked, in_pieces
from core.web.parameters import LARGEST
from core.web.problem import MEDIA_TYPE, Problem
from core.web.route import ApiRoute

PATH = "/api/files/uploads"
_MOST_OPEN = 100
_MISMATCH: dict[int | str, dict[str, Any]] = {
    460: {"description": "The bytes do not have the checksum, and were not kept."}
}
_VERSION: dict[int | str, dict[str, Any]] = {412: {"description": f"`Tus-Resumable` must be {tus.VERSION}."}}


class TusRoute(ApiRoute):
    """A path of the protocol: each request and each answer says its version, refusals too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_with_version(request: Request) -> Response:
            response = await _answered(request, handle)
            response.headers["Tus-Resumable"] = tus.VERSION
            if response.status_code == 412:
                response.headers["Tus-Version"] = tus.VERSION
            return response

        return handle_with_version


# Where an upload goes on is said by its offset, so no other key is needed.
router = APIRouter(prefix=PATH, tags=["files"], route_class=TusRoute, dependencies=[Depends(keyed("ignored"))])


@router.options("", status_code=204, summary="Ask what uploads may be like")
@router.options("/{uuid}", status_code=204, summary="Ask what uploads may be like", include_in_schema=False)
async def options() -> Response:
    """Tell the version, the extensions and the limits."""
    return Response(
        status_code=204,
        headers={
            "Tus-Version": tus.VERSION,
            "Tus-Extension": tus.EXTENSIONS,
            "Tus-Max-Size": str(settings().MAX_FILE_BYTES),
            "Tus-Checksum-Algorithm": ",".join(tus.CHECKSUMS),
        },
    )


@router.post(
    "", status_code=201, summary="Begin an upload", response_class=Response, responses={**_MISMATCH, **_VERSION}
)
async def create(request: Request, access: Allowed) -> Response:
    """Announce a file of `Upload-Length` bytes; the body may hold its beginning.

    `Upload-Metadata` has `filename` and `filetype`, and as for other files `model`, `record_id` and `table_id`.
    Go on at `Location`; what has not come by `Upload-Expires` is forgotten.
    """
    _require_version(request)
    size = tus.bytes_in(request.headers.get("upload-length"), "Upload-Length")
    if size > settings().MAX_FILE_BYTES:
        raise HTTPException(413, f"A file has at most {settings().MAX_FILE_BYTES} bytes (MAX_FILE_BYTES).")
    header = request.headers.get("upload-metadata", "")
    said = tus.metadata_in(header)
    name = kept_name(said.get("filename") or said.get("name") or "")
    place = await find_place(access, said.get("model"), _id_in(said, "record_id"), _id_in(said, "table_id"))
    upload = await _begun(
        access,
        name=name,
        said_type=(said.get("filetype") or said.get("type") or "")[:127],
        metadata=header,
        size_bytes=size,
        **await place.values(name),
    )
    if _brings_bytes(request):
        await _take(request, upload)
    await _finish(access, upload)
    return Response(status_code=201, headers={"Location": f"{PATH}/{upload.uuid}", **_progress(upload)})


@router.head("/{uuid}", summary="Ask how much of an upload is here", response_class=Response, responses=_VERSION)
async def head(request: Request, uuid: FileId, access: Allowed) -> Response:
    """Tell from where to go on."""
    _require_version(request)
    upload = await _find(access, uuid)
    await _finish(access, upload)  # A worker may have died just before.
    told = {"Upload-Metadata": upload.metadata} if upload.metadata else {}
    length = {"Upload-Length": str(upload.size_bytes)}
    return Response(headers={**_progress(upload), **length, **told, "Cache-Control": "no-store"})


@router.patch(
    "/{uuid}",
    status_code=204,
    summary="Go on with an upload",
    response_class=Response,
    responses={**_MISMATCH, **_VERSION},
    openapi_extra={"requestBody": {"content": {tus.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}},
)
async def append(request: Request, uuid: FileId, access: Allowed) -> Response:
    """Send what comes at `Upload-Offset`. With the last byte the file is there, as `Content-Location` says."""
    _require_version(request)
    upload = await _find(access, uuid)
    if tus.bytes_in(request.headers.get("upload-offset"), "Upload-Offset") != upload.offset_bytes:
        raise _moved()
    _require_type(request)
    await _take(request, upload)
    await _finish(access, upload)
    return Response(status_code=204, headers=_progress(upload))


@router.delete("/{uuid}", status_code=204, summary="Give an upload up", response_class=Response, responses=_VERSION)
async def terminate(request: Request, uuid: FileId, access: Allowed) -> Response:
    """Forget an upload, with what came of it; the file that it has become stays."""
    _require_version(request)
    await (await _find(access, uuid)).delete()
    return Response(status_code=204)


@router.post("/{uuid}", summary="Do so from where no other method is possible", include_in_schema=False)
async def overridden(request: Request, uuid: FileId, access: Allowed) -> Response:
    """Do what `X-HTTP-Method-Override` says."""
    method = request.headers.get("x-http-method-override", "").upper()
    meant = {"PATCH": append, "DELETE": terminate, "HEAD": head}.get(method)
    if meant is None:
        raise HTTPException(405, "Say by X-HTTP-Method-Override which method is meant.")
    return await meant(request, uuid, access)


async def _begun(access: Access, **values: Any) -> Any:
    model = get_model("Upload")
    if await model.filter(created_by_id=access.user_id, finished_at__isnull=True).count() >= _MOST_OPEN:
        raise UserError(f"You have {_MOST_OPEN} unfinished uploads; end some of them first.")
    return await model.create(**values, created_by_id=access.user_id, expires_at=model.expiry())


async def _find(access: Access, uuid: str) -> Any:
    """Return an upload of the user's own; what has expired is as good as gone."""
    upload = await get_model("Upload").get_or_none(uuid=uuid, created_by_id=access.user_id)
    if upload is None or upload.expires_at <= clock.now() or upload.size_bytes is None:
        raise UnknownName("There is no such upload, or no longer.")
    return upload


async def _take(request: Request, upload: Any) -> None:
    """Keep the body's bytes, as far as they come."""
    pieces = in_pieces(request.stream())
    if header := request.headers.get("upload-checksum"):
        pieces = checked(pieces, tus.checksum_in(header))
    try:
        async for piece in pieces:
            if upload.offset_bytes + len(piece) > upload.size_bytes:
                raise HTTPException(413, "This is more than `Upload-Length` has announced.")
            if not await upload.append(piece):
                raise _moved()
    except ClientDisconnect:
        return  # Nobody hears the answer; the client asks for the offset and goes on.


async def _finish(access: Access, upload: Any) -> None:
    """Make the file once all of it is here, if its record may still be written."""
    if upload.offset_bytes < upload.size_bytes or upload.finished_at is not None:
        return
    if upload.res_model is not None:
        await find_place(access, upload.res_model, upload.res_id, None)
    await upload.finish()


def _progress(upload: Any) -> dict[str, str]:
    told = {
        "Upload-Offset": str(upload.offset_bytes),
        "Upload-Expires": format_datetime(upload.expires_at.astimezone(UTC), usegmt=True),
    }
    is_whole = upload.offset_bytes == upload.size_bytes
    return told | ({"Content-Location": f"/api/files/{upload.uuid}"} if is_whole else {})


def _require_version(request: Request) -> None:
    if request.headers.get("tus-resumable") != tus.VERSION:
        raise HTTPException(412, f"This speaks tus {tus.VERSION}; say so by the header Tus-Resumable.")


def _require_type(request: Request) -> None:
    if request.headers.get("content-type", "").strip().lower() != tus.MEDIA_TYPE:
        raise HTTPException(415, f"The bytes of an upload come as {tus.MEDIA_TYPE}.")


def _brings_bytes(request: Request) -> bool:
    """Whether the request that begins an upload also brings its first bytes."""
    if "transfer-encoding" not in request.headers and request.headers.get("content-length", "0") == "0":
        return False
    _require_type(request)
    return True


def _moved() -> HTTPException:
    return HTTPException(409, "The upload stands at another offset; ask for it by HEAD, and go on from there.")


def _id_in(said: Mapping[str, str], key: str) -> int | None:
    text = said.get(key, "")
    if not text:
        return None
    number = tus.bytes_in(text, key)
    return number if number <= LARGEST else 0


async def _answered(request: Request, handle: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
    """Return the answer of a path of the protocol, also where it is a refusal."""
    try:
        return await handle(request)
    except ChecksumMismatch as error:
        title, code = "Checksum Mismatch", "checksum"
        said = Problem(type=f"urn:postroom:{code}", title=title, status=460, detail=error.detail, code=code)
        return JSONResponse(said.model_dump(exclude_none=True), 460, media_type=MEDIA_TYPE)
    except PostroomError as error:
        return await errors.on_postroom_error(request, error)
    except RequestValidationError as error:
        return await errors.on_invalid_request(request, error)
    except HTTPException as error:
        return await errors.on_http_error(request, error)
