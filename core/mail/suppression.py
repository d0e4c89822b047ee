"""The words of suppression: reasons, an entry, and entries as a CSV file that does no harm in a spreadsheet.

Pure. A cell that a spreadsheet would run as a formula gets an apostrophe in front (SECURITY H11), which is taken off
again when the file comes back.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from core.errors import Faults
from core.pattern import pattern

COLUMNS = ("address", "list", "reason", "source", "note", "expires_at", "created_at")
MOST_ROWS = 200_000
_MOST_FAULTS = 20
_CELL_CHARS = 500
_ADDRESS = pattern(r"[^\s@]+@[^\s@]{1,255}|\+[0-9]{3,15}")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_OTHER_NAMES = {"email": "address", "e-mail": "address", "e-mail address": "address", "email address": "address"}


class Reason(StrEnum):
    """Why an address is not written to."""

    HARD_BOUNCE = "hard_bounce"
    SOFT_BOUNCE = "soft_bounce"
    """It refused several mails within a few days; this ends by itself."""
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    MANUAL = "manual"

    @property
    def words(self) -> str:
        return {
            "hard_bounce": "Bounced",
            "soft_bounce": "Bounced repeatedly",
            "complaint": "Complained",
            "unsubscribe": "Unsubscribed",
            "manual": "Added by hand",
        }[self.value]


@dataclass(frozen=True, slots=True)
class Suppressed:
    """One reason not to write to one address; an empty `list` is all mail, `expires_at` None is for ever."""

    address: str
    list: str = ""
    reason: str = Reason.MANUAL.value
    source: str = ""
    note: str = ""
    expires_at: datetime | None = None


class FileRefused(Faults):
    """A file of addresses that cannot be taken as it is; nothing of it was."""

    code = "suppression_file"


def write_file(rows: Iterable[Mapping[str, object]]) -> str:
    """Return rows with the COLUMNS as CSV."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    writer.writerows([csv_cell(row.get(name)) for name in COLUMNS] for row in rows)
    return file.getvalue()


def read_file(text: str) -> list[Suppressed]:
    """Return the entries of a CSV file with a header, or of a mere list of addresses; FileRefused names its faults."""
    found: list[Suppressed] = []
    faults: list[str] = []
    try:
        for line, row in _rows(text):
            try:
                found.append(_entry(row))
            except ValueError as error:
                faults.append(f"line {line}: {error}")
            if len(found) > MOST_ROWS or len(faults) > _MOST_FAULTS:
                faults.append(f"too many rows or faults; cut the file at {MOST_ROWS} rows")
                break
    except csv.Error as error:
        faults.append(f"it is no CSV file: {error}")
    if faults:
        raise FileRefused("The file was not imported, nothing of it:", faults[: _MOST_FAULTS + 1])
    return found


def _rows(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    names: list[str] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if not names:
            said = [cell.strip().lower() for cell in cells]
            names = [_OTHER_NAMES.get(cell, cell) for cell in said]
            if "address" in names:
                continue
            names = ["address"]
        yield reader.line_num, dict(zip(names, map(_plain, cells), strict=False))


def _entry(row: Mapping[str, str]) -> Suppressed:
    reason = row.get("reason") or Reason.MANUAL.value
    if reason not in set(Reason):
        raise ValueError(f"{reason[:40]!r} is no reason; write one of {', '.join(Reason)}")
    address = row.get("address", "")
    if _ADDRESS.fullmatch(address) is None:
        raise ValueError(f"{address[:80]!r} is not an address; write name@domain")
    return Suppressed(
        address, row.get("list", ""), reason, row.get("source", ""), row.get("note", ""), _time(row.get("expires_at"))
    )


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no time; write 2030-12-31 or 2030-12-31T10:00:00+00:00") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def csv_cell(value: object) -> str:
    """Return a value as a cell: a time in ISO 8601, nothing for None, and nothing that a spreadsheet would run."""
    text = value.isoformat() if isinstance(value, datetime) else "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _plain(cell: str) -> str:
    text = cell.replace("\0", "").strip()[:_CELL_CHARS]
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text
