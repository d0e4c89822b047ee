"""The parameters that many paths share, with limits beyond which no database is asked."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

LARGEST = 2**63 - 1
"""The largest id that a database holds."""
_NO_NUL = r"^[^\x00]*$"

RecordId = Annotated[int, Path(ge=0, le=LARGEST, examples=[1])]
"""The id of a row, in the path."""
Before = Annotated[int | None, Query(ge=0, le=LARGEST)]
"""Where a page of a list starts: under this id; None starts with the newest."""
After = Annotated[int, Query(ge=0, le=LARGEST)]
"""An id that was seen already."""
Search = Annotated[str, Query(max_length=200, pattern=_NO_NUL)]
"""Words to look for."""
Identifier = Annotated[str, Path(max_length=128, pattern=_NO_NUL)]
"""The stable name of a shipped record, in the path."""
