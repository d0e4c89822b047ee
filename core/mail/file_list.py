"""The files of a stored mail in one text: as people write it, uuids with commas, and as it is kept, an XML list.

Pure. The XML is read as text, tag by tag, by no parser: nothing in it is resolved, fetched or expanded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from uuid import UUID

from core.errors import UserError
from core.pattern import pattern

_HASH = pattern(r"<hash>\s{0,10}([0-9A-Fa-f-]{36})\s{0,10}</hash>")
_NOT_XML = pattern("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""What no XML 1.0 document may have (section 2.2)."""
_SEPARATOR = pattern(r"[\s,;]+")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file of the list."""

    uuid: str
    name: str
    size_bytes: int

    @property
    def extension(self) -> str:
        """The end of the name with its dot; empty where it has none."""
        stem, dot, end = self.name.rpartition(".")
        return f".{end}" if stem and dot and end.isalnum() else ""


def listed_uuids(text: str | None) -> tuple[str, ...]:
    """Return the uuids that either form names, each once, in order; UserError for what is neither."""
    words = _HASH.findall(text or "") if "<" in (text or "") else _SEPARATOR.split((text or "").strip())
    if not words and text:
        raise UserError("mail_attachments names no file; give the uuids of files, separated by commas.")
    return tuple(dict.fromkeys(_uuid(word) for word in words if word))


def file_list(files: Iterable[ListedFile]) -> str | None:
    """Return the list as XML (`ArrayOfFile`); None where there is no file."""
    rows = "".join(
        f"<file><name>{_text(one.name)}</name><bytes>{one.size_bytes}</bytes><hash>{one.uuid}</hash>"
        f"<extension>{_text(one.extension)}</extension></file>"
        for one in files
    )
    return f"<ArrayOfFile>{rows}</ArrayOfFile>" if rows else None


def _text(value: str) -> str:
    return escape(_NOT_XML.sub("", value), quote=False)


def _uuid(word: str) -> str:
    try:
        return str(UUID(word))
    except ValueError:
        raise UserError(f'"{word[:60]}" in mail_attachments is not the uuid of a file.') from None
