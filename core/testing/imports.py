"""Which modules a file imports, read without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name. `module` is absolute; `is_late` where it stands in a function, `is_typing` where no code
    runs it (`if TYPE_CHECKING`)."""

    module: str
    name: str
    line: int
    is_late: bool
    is_typing: bool

    @property
    def full_name(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


def imports_of(file: Path, package: str) -> Iterator[Import]:
    """Yield the imports of a file that lies in `package` (dotted)."""
    yield from _walk(ast.parse(file.read_text(encoding="utf-8")), package, is_late=False, is_typing=False)


def _walk(node: ast.AST, package: str, *, is_late: bool, is_typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, "", child.lineno, is_late, is_typing)
        elif isinstance(child, ast.ImportFrom):
            module = _absolute(child, package)
            for alias in child.names:
                yield Import(module, alias.name, child.lineno, is_late, is_typing)
        else:
            yield from _walk(
                child,
                package,
                is_late=is_late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda),
                is_typing=is_typing or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)),
            )


def _absolute(statement: ast.ImportFrom, package: str) -> str:
    if not statement.level:
        return statement.module or ""
    parts = package.split(".")
    above = parts[: len(parts) - statement.level + 1]
    return ".".join([*above, *([statement.module] if statement.module else [])])
