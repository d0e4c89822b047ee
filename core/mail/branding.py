"""The frame around a mail's body: company header and footer, the author's signature. Pure, and escaped throughout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any

_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_DEFAULT_COLOR = "#2f5d8a"
_SHEET = (
    "max-width:640px;background:#ffffff;font-family:Helvetica,Arial,sans-serif;font-size:15px;line-height:1.5;"
    "color:#1f2933"
)
_SMALL_PRINT = "padding:14px 28px;border-top:1px solid #e4e7eb;font-size:12px;color:#616e7c"
_HAS_BODY_TAG = re.compile(r"<body\b", re.IGNORECASE)


def branded(body: str, presentation: Mapping[str, Any]) -> str:
    """Return the body's HTML with what `presentation` asks for; unchanged where it asks for nothing.

    Keys: `signature` (HTML), `branding` with `name`, `color`, `address`, `website`, `footer` (texts). A body that is a
    whole document of its own is not framed, and gets no signature either.
    """
    if _HAS_BODY_TAG.search(body):
        return body
    signature = presentation.get("signature")
    if signature:
        body = f'{body}\n<div class="signature" style="margin-top:24px">{signature}</div>'
    branding = presentation.get("branding")
    return _framed(body, branding) if branding else body


def _framed(body: str, branding: Mapping[str, str]) -> str:
    """Lay the body out as mail programs understand it: tables, and styles on the elements themselves."""
    color = branding.get("color", "")
    color = color if _COLOR.fullmatch(color) else _DEFAULT_COLOR
    name = escape(branding.get("name", ""))
    small_print = [
        escape(branding[key]).replace("\n", "<br>") for key in ("address", "website", "footer") if branding.get(key)
    ]
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
