"""The folders of a mailbox as LIST tells of them (RFC 3501 section 7.2.2), with their special use (RFC 6154).

Pure: reads responses, knows no socket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.pattern import pattern
from core.transport.imap_fetch import tokens
from core.transport.imap_names import from_modified_utf7
from core.transport.imap_reader import Response, ResponseError

_LIST = pattern(rb"\* LIST (?=\()", re.IGNORECASE)
_USES = frozenset({"all", "archive", "drafts", "flagged", "important", "junk", "sent", "trash"})


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder by its name; `special_use` is a word such as `sent` or `junk`, or empty."""

    name: str
    special_use: str = ""
    can_be_opened: bool = True


def folder_of(response: Response) -> Folder | None:
    """Return the folder in a LIST response, None for another response; raises ResponseError."""
    head = _LIST.match(response[0])
    if head is None:
        return None
    parts = [value for kind, value in tokens(response, head.end()) if kind not in ("open", "close")]
    if len(parts) < 2 or not isinstance(parts[-1], bytes):
        raise ResponseError("a LIST response cannot be read")
    attributes = {part.decode("ascii", "replace").lstrip("\\").casefold() for part in parts[:-2] if part}
    return Folder(
        name=from_modified_utf7(parts[-1].decode("utf-8", "replace")),
        special_use=next(iter(sorted(attributes & _USES)), ""),
        can_be_opened=not attributes & {"noselect", "nonexistent"},
    )
