"""The published contract and the tests name the same rows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
CONTRACT = HERE.parents[1] / "docs" / "delivery-contract.md"


def test_every_row_of_the_contract_is_a_test() -> None:
    rows = {int(number) for number in re.findall(r"^\| F(\d+) \|", CONTRACT.read_text(), re.MULTILINE)}
    names = [
        node.name
        for file in HERE.glob("test_*.py")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    tested = {int(found[1]) for name in names if (found := re.match(r"test_f(\d\d)_", name))}
    assert rows == tested >= {*range(1, 37), 39, *range(42, 48)}
