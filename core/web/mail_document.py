"""A stranger's HTML as a document of its own, for a sandboxed frame: cleaned last, and under its own strict policy."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from fastapi.responses import HTMLResponse

from core.mail.picture import pixels_of
from core.mail.sanitise import safe_html
from core.web.edge import MAIL_POLICY

_PICTURES = frozenset({"image/png", "image/gif", "image/jpeg", "image/webp"})
_PICTURES_MAX_BYTES = 5_000_000
_PICTURE_MAX_PIXELS = 40_000_000
_HEAD = (
    "<!doctype html><html><head><meta charset=utf-8><meta name=referrer content=no-referrer>"
    "<meta name=color-scheme content=light><style>"
    "html{background:#fff;color-scheme:light}"
    "body{margin:12px;font:15px/1.5 system-ui,sans-serif;color:#1d232b;overflow-wrap:anywhere}"
    "p.MsoNormal,li.MsoNormal,div.MsoNormal,.MsoPlainText,.MsoNoSpacing{margin:0}"
    "a[href]{color:#1a56b0}small{color:#8a3b12}"
    "img,table{max-width:100%}img{height:auto}img:not([src]){display:inline-block;min-width:1em;color:#6a7480;"
    "font-size:13px;outline:1px dashed #cfd6de}img:not([src])[width='1'],img:not([src])[height='1']{display:none}"
    "blockquote{margin:0 0 0 8px;padding:0 0 0 12px;border-left:3px solid #cfd6de;color:#4a5563}"
    "@media(max-width:520px){table[width]{width:100%!important}td[width],th[width]{width:auto!important}"
    "img{max-width:calc(100vw - 40px)!important}}"
    "</style></head><body>"
)
_NONE: Mapping[str, str] = MappingProxyType({})


def mail_document(html: str, pictures: Mapping[str, str] = _NONE, *, remote_images: bool = False) -> str:
    """Return a whole document; `pictures` are `data:` addresses by Content-ID. Takes its time: call it in a thread."""
    return _HEAD + safe_html(html, pictures.get, remote_images=remote_images) + "</body></html>"


def mail_response(document: str, *, remote_images: bool = False) -> HTMLResponse:
    """Answer with a mail document, under the policy that goes with it."""
    policy = MAIL_POLICY.replace("img-src data:", "img-src data: https: http:") if remote_images else MAIL_POLICY
    return HTMLResponse(document, headers={"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"})


def pictures_of(files: Iterable[tuple[str | None, str, bytes]]) -> dict[str, str]:
    """Return the inline pictures among (content id, content type, content) as `data:` addresses, up to 5 MB."""
    pictures: dict[str, str] = {}
    left = _PICTURES_MAX_BYTES
    for content_id, content_type, content in files:
        if (
            content_id
            and content_type in _PICTURES
            and len(content) <= left
            and (pixels_of(content) or 0) <= _PICTURE_MAX_PIXELS
        ):
            pictures[content_id.strip("<>")] = f"data:{content_type};base64,{b64encode(content).decode()}"
            left -= len(content)
    return pictures
