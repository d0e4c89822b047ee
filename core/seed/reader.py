"""Seed files: YAML in, values with their line numbers out; all faults of a file told at once.

The reader executes nothing, follows no path out of the addon's folder, and knows no model. It reads YAML 1.2's plain
scalars: `yes`, `no`, `on`, `010` and `1:30` are text, `true` and `false` are the two truths, and a number with a point
is a Decimal, exactly as written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from core.errors import SeedError, UserError, did_you_mean
from core.pattern import pattern

SEED_BYTES = 5_000_000
TEXT_BYTES = 5_000_000
FILE_BYTES = 25_000_000
NODES = 200_000
DEPTH = 32
IDENTIFIER_CHARS = 128
TEXT_SUFFIXES = (".jinja", ".html", ".txt")
RESERVED = ("depends", "data_type", "identifier", "module", "apply_once")

SeedValue: TypeAlias = "bool | int | Decimal | str | date | datetime | list[SeedValue] | dict[str, SeedValue] | None"

_IDENTIFIER = pattern(r"(?:[A-Za-z_]\w*\.)?[A-Za-z_][\w-]*", re.ASCII)
_DATA_TYPE = pattern(r"[A-Z][A-Za-z0-9]*")
_FIELD = pattern(r"[A-Za-z_]\w*", re.ASCII)
_PATH = pattern(r"(?:\.{1,2}/|\w)[\w./ -]*")


@dataclass(frozen=True, slots=True)
class SeedRecord:
    """One record of a seed file, as written; `field_lines` has a line for each name in `values`."""

    data_type: str
    identifier: str
    values: Mapping[str, SeedValue]
    line: int
    field_lines: Mapping[str, int]
    module: str | None
    apply_once: bool
    file: Path


@dataclass(frozen=True, slots=True)
class SeedFile:
    """A seed file, the files that it wants applied first, and its records in order."""

    path: Path
    depends: tuple[Path, ...]
    records: tuple[SeedRecord, ...]


def read_seed_file(path: Path, *, root: Path) -> SeedFile:
    """Read a seed file that lies in `root`; raises SeedError with all its faults, each with line and field."""
    reading = _Reading(path, root.resolve())
    seeds = reading.read()
    if reading.faults:
        raise SeedError(f"{reading.name} cannot be read, and nothing of it was applied.", reading.faults)
    return seeds


def load_text_file(value: str, base_dir: Path, root: Path) -> str | None:
    """Return the text of the file that a field's value names, or None where the value is just text.

    A value is a path when it ends in .jinja, .html or .txt, is one line, and either has a folder in it or names a file
    that is there. It is relative to `base_dir`, the YAML file's folder, and confined to `root`. Raises UserError.
    """
    named = value.endswith(TEXT_SUFFIXES) and _PATH.fullmatch(value) is not None and not value.endswith(" ")
    if not named or len(value) > 1024:
        return None
    is_text_alone = "/" not in value or " " in value.split("/")[0]
    # Not Path.is_file, which raises for a name that is too long, as a text may be.
    if is_text_alone and not os.path.isfile(base_dir / value):
        return None
    return _text(_inside(value, base_dir, root), value, TEXT_BYTES)


def load_file(value: str, base_dir: Path, root: Path) -> bytes:
    """Return the bytes of the file at a path, which is relative and confined as those of texts are; or UserError."""
    return _content(_inside(value, base_dir, root), value, FILE_BYTES)


def _inside(value: str, base_dir: Path, root: Path) -> Path:
    path = (base_dir / value).resolve()
    if not path.is_relative_to(root.resolve()):
        raise UserError(f'"{value}" leaves the addon\'s folder; move the file into it.')
    if not os.path.isfile(path):
        raise UserError(f'"{value}" is not there; create the file, or correct the path from {base_dir.name}/.')
    return path


def _content(path: Path, name: str, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise UserError(f'"{name}" cannot be read: {error.strerror}.') from error
    if len(content) > most_bytes:
        raise UserError(f'"{name}" is over {most_bytes // 1_000_000} MB; split it.')
    return content


def _text(path: Path, name: str, most_bytes: int) -> str:
    content = _content(path, name, most_bytes)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f'"{name}" is not UTF-8 in line {line}; save it as UTF-8.') from error


@dataclass(slots=True)
class _Reading:
    """One reading of one file; collects faults instead of stopping at the first."""

    path: Path
    root: Path
    faults: list[str] = field(default_factory=list)
    _nodes: int = 0

    @property
    def name(self) -> str:
        """The file's path as messages show it."""
        path = self.path.resolve()
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else self.path.name

    def fault(self, line: int | None, what: str, identifier: str = "", name: str = "") -> None:
        place = self.name if line is None else f"{self.name}:{line}"
        self.faults.append(": ".join(part for part in (place, identifier, name, what) if part))

    def read(self) -> SeedFile:
        depends: dict[Path, None] = {}
        records = []
        seen: dict[str, int] = {}
        for item in self._items():
            entries = self._entries(item, _named(item))
            identifier = self._identifier(entries, item)
            if identifier in seen:
                self.fault(_line(item), f"line {seen[identifier]} has this identifier too; rename one", identifier)
            seen.setdefault(identifier, _line(item))
            depends.update(dict.fromkeys(self._depends(entries, identifier)))
            records.append(self._record(entries, identifier, item))
        return SeedFile(self.path, tuple(depends), tuple(records))

    def _items(self) -> Iterator[MappingNode]:
        top = self._document()
        if top is None:
            return
        if not isinstance(top, SequenceNode):
            self.fault(_line(top), 'a seed file is a list of records; begin each with "- data_type:"')
            return
        for item in top.value:
            if isinstance(item, MappingNode):
                yield item
            else:
                self.fault(_line(item), 'a record is a mapping; write "- data_type: ..." with its fields below')

    def _document(self) -> Node | None:
        try:
            if not self.path.resolve().is_relative_to(self.root):
                raise UserError("it lies outside the addon's folder; move it there.")
            text = _text(self.path, self.path.name, SEED_BYTES)
            _check_shape(text)
            node: Node | None = yaml.compose(text, Loader=_Loader)
        except UserError as error:
            self.fault(None, str(error))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = " ".join(part for part in (error.problem, error.context) if part)
            self.fault(mark.line + 1 if mark else None, f"this is not YAML ({what}); correct it")
        except yaml.YAMLError as error:
            self.fault(None, f"this is not YAML ({str(error).splitlines()[0]}); correct it")
        else:
            return None if isinstance(node, ScalarNode) and node.tag == _NULL else node
        return None

    def _entries(self, node: MappingNode, identifier: str, within: str = "") -> dict[str, tuple[int, Node]]:
        """Return a mapping's values with the line of each key."""
        entries: dict[str, tuple[int, Node]] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or not key.value or key.tag not in _KEYS:
                self.fault(_line(key), "a key is a word; correct it", identifier, within)
            elif key.value in entries:
                what = f"line {entries[key.value][0]} sets it too; remove one"
                self.fault(_line(key), what, identifier, f"{within}.{key.value}" if within else key.value)
            else:
                entries[key.value] = (_line(key), value)
        return entries

    def _identifier(self, entries: Mapping[str, tuple[int, Node]], item: Node) -> str:
        identifier = self._word(entries, "identifier", "", _line(item))
        if identifier and (len(identifier) > IDENTIFIER_CHARS or not _IDENTIFIER.fullmatch(identifier)):
            what = f"use up to {IDENTIFIER_CHARS} letters, digits, _ and -, beginning with a letter"
            self.fault(entries["identifier"][0], what, identifier[:IDENTIFIER_CHARS], "identifier")
        return identifier

    def _record(self, entries: Mapping[str, tuple[int, Node]], identifier: str, item: Node) -> SeedRecord:
        data_type = self._word(entries, "data_type", identifier, _line(item))
        if data_type and not _DATA_TYPE.fullmatch(data_type):
            what = f'"{data_type}" is not a model name; write it as in "EmailTemplate"'
            self.fault(entries["data_type"][0], what, identifier, "data_type")
        own = {name: entry for name, entry in entries.items() if name not in RESERVED}
        for name, (line, _node) in own.items():
            if not _FIELD.fullmatch(name):
                hint = did_you_mean(name, RESERVED)
                self.fault(line, f"this is not a field name.{hint} Use letters, digits and _", identifier, name)
        return SeedRecord(
            data_type,
            identifier,
            {name: self._value(node, identifier, name, 1) for name, (_line, node) in own.items()},
            _line(item),
            {name: line for name, (line, _node) in own.items()},
            self._word(entries, "module", identifier, None) or None,
            self._truth(entries, "apply_once", identifier),
            self.path,
        )

    def _word(self, entries: Mapping[str, tuple[int, Node]], name: str, identifier: str, line: int | None) -> str:
        """Return a text that must be there, unless `line`, where its absence would be told, is None."""
        if name not in entries:
            if line is not None:
                self.fault(line, "is missing; add it", identifier, name)
            return ""
        at, node = entries[name]
        value = self._value(node, identifier, name, 1)
        if not isinstance(value, str) or not value:
            self.fault(at, "must be a text; put it in quotes", identifier, name)
            return ""
        return value

    def _truth(self, entries: Mapping[str, tuple[int, Node]], name: str, identifier: str) -> bool:
        if name not in entries:
            return False
        line, node = entries[name]
        value = self._value(node, identifier, name, 1)
        if not isinstance(value, bool):
            self.fault(line, "must be true or false", identifier, name)
        return value is True

    def _depends(self, entries: Mapping[str, tuple[int, Node]], identifier: str) -> Iterator[Path]:
        if "depends" not in entries:
            return
        line, node = entries["depends"]
        value = self._value(node, identifier, "depends", 1)
        for name in value if isinstance(value, list) else [value]:
            if not isinstance(name, str) or not name.endswith((".yaml", ".yml")):
                self.fault(line, "must be a list of .yaml files", identifier, "depends")
                continue
            path = (self.path.parent / name).resolve()
            if not path.is_relative_to(self.root):
                self.fault(line, f'"{name}" leaves the addon\'s folder; move the file into it', identifier, "depends")
            elif not path.is_file():
                self.fault(line, f'"{name}" is not there; correct the path', identifier, "depends")
            else:
                yield path

    def _value(self, node: Node, identifier: str, name: str, depth: int) -> SeedValue:
        """Return a node's value, aliases written out; what grows without bound becomes a fault and None."""
        self._nodes += 1
        if self._nodes > NODES or depth > DEPTH:
            if self._nodes <= NODES + 1:
                self.fault(_line(node), "its aliases expand to too much; write the values out", identifier, name)
                self._nodes = NODES + 1
            return None
        if isinstance(node, SequenceNode) and node.tag == _LIST:
            return [self._value(child, identifier, name, depth + 1) for child in node.value]
        if isinstance(node, MappingNode) and node.tag == _MAPPING:
            entries = self._entries(node, identifier, name)
            return {key: self._value(child, identifier, name, depth + 1) for key, (_at, child) in entries.items()}
        if isinstance(node, ScalarNode) and node.tag in _SCALARS:
            try:
                return _SCALARS[node.tag](node.value)
            except (ValueError, ArithmeticError):
                self.fault(_line(node), f'"{node.value[:40]}" is no such value; correct it', identifier, name)
                return None
        self.fault(_line(node), f"the tag {node.tag[:80]} is not allowed; write a plain value", identifier, name)
        return None


def _named(item: MappingNode) -> str:
    """Return a record's identifier for messages about the record, before it is checked."""
    for key, value in item.value:
        if key.value == "identifier" and isinstance(value, ScalarNode):
            return str(value.value)[:IDENTIFIER_CHARS]
    return ""


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _check_shape(text: str) -> None:
    """Refuse what nests too deeply before anything recursive reads it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH:
                line = event.start_mark.line + 1 if event.start_mark else "?"
                raise UserError(f"line {line} nests over {DEPTH} levels deep; flatten it.")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _moment(value: str) -> datetime | date:
    if len(value) == 10:
        return date.fromisoformat(value)
    moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_TAG = "tag:yaml.org,2002:"
_NULL, _LIST, _MAPPING = f"{_TAG}null", f"{_TAG}seq", f"{_TAG}map"
_KEYS = (f"{_TAG}str", f"{_TAG}int", f"{_TAG}bool", _NULL)
_SCALARS: Mapping[str, Callable[[str], SeedValue]] = {
    _NULL: lambda _value: None,
    f"{_TAG}str": str,
    f"{_TAG}bool": lambda value: {"true": True, "false": False}[value.lower()],
    f"{_TAG}int": int,
    f"{_TAG}float": Decimal,
    f"{_TAG}timestamp": _moment,
}
_PLAIN = (
    (_NULL, r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (f"{_TAG}bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    (f"{_TAG}int", r"[-+]?(?:0|[1-9][0-9]{0,17})", list("-+0123456789")),
    (f"{_TAG}float", r"[-+]?(?:0|[1-9][0-9]{0,17})?\.[0-9]{1,28}", list("-+.0123456789")),
    (
        f"{_TAG}timestamp",
        r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[-+]\d\d:\d\d)?)?",
        list("0123456789"),
    ),
)

if TYPE_CHECKING:
    _Base = yaml.SafeLoader
else:
    # libyaml reads ten times as fast; the wheel has it nearly everywhere.
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """A safe loader that knows only our plain scalars; it is never asked to construct anything."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _tag, _pattern, _first in _PLAIN:
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _first)
