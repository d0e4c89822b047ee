"""What the header of a part says of its content: its type, its name, and how it wants to be shown.

A type that cannot be read is plain text where the part has no name (RFC 2045 section 5.2); every name comes out safe.
RFC 2045 section 5, RFC 2183, RFC 2392.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.mail.file_name import safe_file_name
from core.mail.header_fields import BREAKS, Fields
from core.mail.parameters import value_and_parameters
from core.mail.words import decoded_words
from core.pattern import pattern

_TYPE = pattern(r"[a-z0-9!#$&^_.+-]{1,100}/[a-z0-9!#$&^_.+-]{1,100}")
_ALSO_CALLED = {"text": "text/plain", "plain": "text/plain", "html": "text/html", "text/htm": "text/html"}
_EXTENSIONS = {
    "text/plain": ".txt",
    "text/calendar": ".ics",
    "text/x-vcard": ".vcf",
    "text/vcard": ".vcf",
    "text/rfc822-headers": ".txt",
    "image/jpeg": ".jpg",
    "image/svg+xml": ".svg",
    "message/rfc822": ".eml",
    "message/global": ".eml",
    "message/delivery-status": ".txt",
    "application/pgp-signature": ".asc",
    "application/pkcs7-signature": ".p7s",
    "application/pkcs7-mime": ".p7m",
    "application/x-pkcs7-mime": ".p7m",
    "application/msword": ".doc",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
}


@dataclass(slots=True)
class PartKind:
    """What the header of a part says about its content."""

    type: str
    parameters: dict[str, str]
    disposition: str
    name: str
    is_named_file: bool
    """Named in its disposition, not only in its type."""
    content_id: str | None


def kind_of_part(fields: Fields, default: str) -> PartKind:
    """Return what the header says; `default` is the type of a part that names none."""
    first = fields.first
    declared, parameters = value_and_parameters(first["content-type"]) if "content-type" in first else ("", {})
    disposition, more = (
        value_and_parameters(first["content-disposition"]) if "content-disposition" in first else ("", {})
    )
    named = _name(more, "filename") or _name(more, "name")
    name = named or _name(parameters, "name") or _name(parameters, "filename")
    content_id = first.get("content-id")
    if content_id is not None:
        content_id = BREAKS.sub("", content_id).strip("<> ") or None
    if not name and content_id and "content-location" in first:
        name = safe_file_name(decoded_words(first["content-location"]).partition("?")[0])
    kind = _type(declared, default, parameters, has_name=bool(name))
    return PartKind(kind, parameters, disposition, name, bool(named), content_id)


def _type(declared: str, default: str, parameters: dict[str, str], *, has_name: bool) -> str:
    """Return the type of a part; one that cannot be read is text where it has no name (RFC 2045 section 5.2)."""
    if not declared:
        return default
    if known := _TYPE.match(declared):
        return _ALSO_CALLED.get(known[0], known[0])
    if declared in _ALSO_CALLED:
        return _ALSO_CALLED[declared]
    if "boundary" in parameters:
        return "multipart/mixed"
    return "application/octet-stream" if has_name else default


def _name(parameters: dict[str, str], name: str) -> str:
    value = parameters.get(name)
    return safe_file_name(decoded_words(value)) if value else ""


def is_type(text: str) -> bool:
    """Tell whether the text is a content type in lower case."""
    return _TYPE.fullmatch(text) is not None


def extension_of(kind: str) -> str:
    """Return the ending, with its dot, of a file of that type that has no name."""
    subtype = kind.partition("/")[2]
    return _EXTENSIONS.get(kind) or (f".{subtype}" if subtype.isalnum() and len(subtype) <= 5 else ".bin")
