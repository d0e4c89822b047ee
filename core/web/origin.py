"""Whether a request with a session's cookie comes from a page of ours, and not from another site's.

Three signs are asked, and none of them is enough alone: `Origin` (RFC 6454), `Sec-Fetch-Site` (W3C Fetch Metadata), and
for changes the form token, or a body that no foreign page can send without asking first (Fetch, "CORS-safelisted").
"""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request

from core.runtime import settings
from core.web.errors import RequestRefused
from core.web.session import Session

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS = frozenset({"", "same-origin", "none"})


def require_own_origin(request: Request) -> None:
    """Refuse what another site's page had the browser send, a live stream too; RequestRefused. Links may lead here."""
    origin = request.headers.get("origin")
    if origin is not None and origin not in _own_origins(request):
        raise RequestRefused("This request came from another site; open the page here and try again.")
    if request.headers.get("sec-fetch-site", "") not in _OURS and not _follows_link(request):
        raise RequestRefused("This request was made by another site's page; open the page here and try again.")


async def require_own_form(request: Request, session: Session) -> None:
    """Let a change pass only with the session's form token, or as JSON, which no foreign page can send unasked."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        return
    token = request.headers.get("x-csrf-token") or str((await request.form()).get("csrf", ""))
    if not token or not session.owns(token):
        await request.close()  # Its files would stay open.
        raise RequestRefused("This form is too old or not ours; load its page again and send it once more.")


def _follows_link(request: Request) -> bool:
    """Whether a person came here by a link: a whole page, in no frame."""
    is_navigation = request.headers.get("sec-fetch-mode") == "navigate"
    return is_navigation and request.headers.get("sec-fetch-dest") == "document" and request.method in _READING


def _own_origins(request: Request) -> set[str]:
    """The address that the browser itself called, which a foreign page cannot choose, and the configured one."""
    host = request.headers.get("host", "")
    base = urlsplit(settings().BASE_URL)
    return {f"{request.url.scheme}://{host}", f"{base.scheme}://{base.netloc}"}
