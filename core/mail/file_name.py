"""Names of files from strangers, made safe for every file system, page and header, and still telling.

Removed are folders, control and invisible characters and what turns the direction of a text, so that an ending cannot
be disguised; every ending that is written stays (`invoice.pdf.exe`). No name is a device of Windows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from core.pattern import pattern

NAME_MAX_BYTES = 200
_READ_CHARS = 4096
_PLAIN = pattern(r"[A-Za-z0-9_][A-Za-z0-9_()+,=-]*(?:[ .][A-Za-z0-9_()+,=-]+)*")
_SEPARATORS = pattern(r"[/\\]")
_RESERVED = pattern(r"(?:con|prn|aux|nul|conin\$|conout\$|com[\d¹²³]|lpt[\d¹²³])\s*(?:\.|$)", re.IGNORECASE)
_REFUSED = frozenset('<>:"|?*\u2028\u2029')
_ENDING_CHARS = 20


def safe_file_name(name: str) -> str:
    """Return the last part of the name without what is dangerous in it; a name of which nothing remains is empty.

    A name longer than `NAME_MAX_BYTES` of UTF-8 loses its middle and keeps its ending.
    """
    if len(name) > NAME_MAX_BYTES or not _PLAIN.fullmatch(name):
        name = _cleaned(name[-_READ_CHARS:])
    return "_" + name if _RESERVED.match(name) else name


def numbered(names: Iterable[str]) -> Iterator[str]:
    """Yield the names, those that came before in any case with a number: `a.pdf`, `a (2).pdf`."""
    seen: set[str] = set()
    last: dict[str, int] = {}
    for name in names:
        stem, dot, ending = name.rpartition(".") if "." in name.strip(".") else (name, "", "")
        numbered_name, number = name, last.get(name.lower(), 1)
        while numbered_name.lower() in seen:
            number += 1
            numbered_name = f"{stem} ({number}){dot}{ending}"
        last[name.lower()] = number
        seen.add(numbered_name.lower())
        yield numbered_name


def _cleaned(name: str) -> str:
    name = _SEPARATORS.split(unicodedata.normalize("NFC", name))[-1]
    # Cc, Cf, Cs, Co, Cn, Zl and Zp: what does not show itself may disguise an ending.
    shown = "".join(char for char in name if unicodedata.category(char)[0] != "C" and char not in _REFUSED)
    return _shortened(" ".join(shown.split()).strip(". "))


def _shortened(name: str) -> str:
    if len(name.encode()) <= NAME_MAX_BYTES:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > _ENDING_CHARS:
        stem, dot, ending = name, "", ""
    kept = stem.encode()[: NAME_MAX_BYTES - len((dot + ending).encode())].decode("utf-8", "ignore")
    return kept.rstrip(". ") + dot + ending
