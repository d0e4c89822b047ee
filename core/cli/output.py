"""What commands print: tables for people, JSON with stable keys for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from shutil import get_terminal_size
from typing import Annotated, Any

import typer

_WIDE = 1_000
_GAP = "  "
Json = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys.")]


def print_json(value: Any) -> None:
    """Print one value as JSON; times in ISO 8601, everything else as text where JSON has no word for it."""
    typer.echo(_json(value, indent=2))


def print_json_line(value: Any) -> None:
    """Print one value as one line of JSON."""
    typer.echo(_json(value))


def _json(value: Any, indent: int | None = None) -> str:
    """Write JSON in letters that the output has; half a surrogate pair, as of a file's name, is none in any."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=_plain)
    try:
        text.encode((sys.stdout and sys.stdout.encoding) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, default=_plain)
    return text


def print_done(words: str, *, as_json: bool, **values: Any) -> None:
    """Print what was done: the words for a person, the values as JSON."""
    if as_json:
        print_json(values)
    else:
        typer.echo(words)


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Iterable[str], *, as_json: bool, empty: str) -> None:
    """Print rows as a table of some columns, or whole as JSON; `empty` says what to do where there is none."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        typer.echo(empty)
        return
    names = list(columns)
    table = [[name.replace("_", " ") for name in names], *([shown(row.get(name)) for name in names] for row in rows)]
    # What goes to a file or a filter is never folded: an identifier stays in one piece.
    room = get_terminal_size().columns if sys.stdout.isatty() else _WIDE
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    if all(map(_is_narrow, chain.from_iterable(table))) and sum(widths) + len(_GAP) * (len(widths) - 1) <= room:
        for number, cells in enumerate(table):
            line = _GAP.join(map(str.ljust, cells, widths))
            typer.echo(line if number else typer.style(line, bold=True))
    else:
        _print_folded(table, room)


def _is_narrow(text: str) -> bool:
    """Whether each character takes one column, all of them on one line."""
    return text.isascii() and "\n" not in text


def _print_folded(table: Sequence[Sequence[str]], room: int) -> None:
    # It takes longer to load than most tables take to be read from the database.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    folded = Table(box=None, pad_edge=False, header_style="bold")
    for name in table[0]:
        folded.add_column(name, overflow="fold")
    for cells in table[1:]:
        # Text, not markup: values are strangers' words.
        folded.add_row(*map(Text, cells))
    Console(width=room).print(folded)


def shown(value: Any) -> str:
    """Return a value for a person, without control characters."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    return "".join(char if char.isprintable() or char == "\n" else " " for char in str(value))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
