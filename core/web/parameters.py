"""The parameters that many paths share, with limits beyond which no database is asked."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import Field

LARGEST = 2**63 - 1
"""The largest id that a database holds."""
NO_NUL = r"^[^\x00]*$"
"""What a text matches that every database can hold."""

RecordId = Annotated[int, Path(ge=0, le=LARGEST, examples=[1])]
"""The id of a row, in the path."""
LinkedId = Annotated[int, Field(ge=1, le=LARGEST)]
"""The id of a row that a body points at."""
Before = Annotated[int | None, Query(ge=0, le=LARGEST)]
"""Where a page of a list starts: under this id; None starts with the newest."""
After = Annotated[int, Query(ge=0, le=LARGEST)]
"""An id that was seen already."""
Search = Annotated[str, Query(max_length=200, pattern=NO_NUL)]
"""Words to look for."""
Identifier = Annotated[str, Path(max_length=128, pattern=NO_NUL)]
"""The stable name of a shipped record, in the path."""
