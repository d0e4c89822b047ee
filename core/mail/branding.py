"""The frame around a mail's body: company header and footer, the author's signature. Pure, and escaped throughout.

HTML and text are framed apart, each from its own body: a text made of framed HTML would be a table laid out. In a text,
the signature stands under the two hyphens by which mail programs know it (RFC 3676 section 4.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from typing import Any

from core.mail.body import html_to_text
from core.pattern import pattern

_COLOR = pattern(r"#[0-9a-fA-F]{6}")
_DEFAULT_COLOR = "#2f5d8a"
_SHEET = (
    "max-width:640px;background:#ffffff;font-family:Helvetica,Arial,sans-serif;font-size:15px;line-height:1.5;"
    "color:#1f2933"
)
_SMALL_PRINT = "padding:14px 28px;border-top:1px solid #e4e7eb;font-size:12px;color:#616e7c"
_SMALL_PRINT_KEYS = ("address", "website", "footer")
_HAS_BODY_TAG = pattern(r"<body\b", re.IGNORECASE)
_END_OF_DOCUMENT = pattern(r"</(body|html)\s*+>", re.IGNORECASE)
_DELIMITER = "-- "


def branded(body: str, presentation: Mapping[str, Any]) -> str:
    """Return the body's HTML with what `presentation` asks for; unchanged where it asks for nothing.

    Keys: `signature` (HTML), `branding` with `name`, `color`, `address`, `website`, `footer` (texts). A body that is a
    whole document of its own gets the signature where it ends, and no frame: it has its own.
    """
    signature, branding = presentation.get("signature"), presentation.get("branding")
    if not signature and not branding:
        return body
    is_document = _HAS_BODY_TAG.search(body) is not None
    if signature:
        signature = f'\n<div class="signature" style="margin-top:24px">{signature}</div>'
        body = _before_its_end(body, signature) if is_document else body + signature
    return body if is_document or not branding else _framed(body, branding)


def branded_text(text: str, presentation: Mapping[str, Any]) -> str:
    """Return a text body with signature and small print under it; `presentation` as for `branded`."""
    if not presentation:
        return text
    branding = presentation.get("branding") or {}
    lines = [branding[key].strip() for key in ("name", *_SMALL_PRINT_KEYS) if branding.get(key)]
    blocks = [_signature_text(presentation.get("signature") or ""), "\n".join(lines)]
    below = "\n\n".join(filter(None, blocks))
    return f"{text.rstrip()}\n\n{_DELIMITER}\n{below}" if below else text


@lru_cache(maxsize=1024)
def _signature_text(signature: str) -> str:
    """A person's signature is the same in all their mails."""
    return html_to_text(signature).strip()


def _before_its_end(document: str, addition: str) -> str:
    """Put HTML before the last tag that closes the body, or the document, or at the very end where none does."""
    ends = {match[1].lower(): match.start() for match in _END_OF_DOCUMENT.finditer(document)}
    end = ends.get("body", ends.get("html", len(document)))
    return document[:end] + addition + document[end:]


def _framed(body: str, branding: Mapping[str, str]) -> str:
    """Lay the body out as mail programs understand it: tables, and styles on the elements themselves."""
    color = branding.get("color", "")
    color = color if _COLOR.fullmatch(color) else _DEFAULT_COLOR
    name = escape(branding.get("name", ""))
    small_print = [_small_print(key, branding[key]) for key in _SMALL_PRINT_KEYS if branding.get(key)]
    return f"""<!DOCTYPE html>
<html><body style="margin:0;background:#f4f5f7">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0">
<tr><td align="center" style="padding:24px 12px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="{_SHEET};border-top:4px solid {color}">
<tr><td style="padding:20px 28px 0;font-size:18px;font-weight:bold;color:{color}">{name}</td></tr>
<tr><td style="padding:16px 28px 24px">{body}</td></tr>
<tr><td style="{_SMALL_PRINT}">{"<br>".join(small_print)}</td></tr>
</table></td></tr></table>
</body></html>"""


def _small_print(key: str, text: str) -> str:
    shown = escape(text).replace("\n", "<br>")
    if key != "website" or not text.startswith(("https://", "http://")):
        return shown
    return f'<a href="{shown}" style="color:#616e7c">{shown}</a>'
