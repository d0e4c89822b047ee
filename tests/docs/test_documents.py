"""The code in README.md and docs/ is run, so that no reader meets an example that does not work.

A fenced block says in its info string what it is:

- a language and a path (```` ```python library/models/book.py ````, ```` ```yaml library/addon.yaml ````,
  ```` ```jinja library/templates/letter.jinja ````): the block is that file. All files of one document lie in one empty
  folder, which becomes ADDONS_PATH; the first part of a path is the addon's name. A later block with the same path
  replaces the earlier one.
- ```` ```python run ````: after all files are written, a host with those addons is opened on an empty SQLite database,
  installed with its demo, and the `run` blocks are executed inside it in order, sharing their names. `await` works at
  the top level, and an `assert` says what the reader should see. MAIL_MODE is `catch`.
- any other info string (```` ```console ````, ```` ```python ````): the block is not run.

A document without a file and without a `run` block is not tested.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from core.config import load_configuration
from core.host.host import open_host
from core.host.install import update
from tests.docs.blocks import RUN, Block, blocks_of, write_files

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]


def documents() -> list[Path]:
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [document for document in found if any(blocks_of(document))]


@pytest.mark.parametrize("document", documents(), ids=lambda document: document.name)
async def test_the_code_of_a_document_works(document: Path, tmp_path: Path) -> None:
    blocks = list(blocks_of(document))
    folder = tmp_path / "addons"
    addons = write_files(blocks, folder)
    configuration = load_configuration(
        environment={},
        overrides={
            "DATABASE_URL": f"sqlite://{tmp_path}/docs.db",
            "VAR_DIR": str(tmp_path / "var"),
            "ADDONS": addons or ["core"],
            "ADDONS_PATH": [str(folder)] if addons else [],
            "MAIL_MODE": "catch",
        },
    )
    async with open_host(configuration) as runtime:
        await update(runtime, demo=True)
        names: dict[str, object] = {}
        for block in blocks:
            if block.name == RUN:
                await _execute(block, document, names)


async def _execute(block: Block, document: Path, names: dict[str, object]) -> None:
    """Run a block whose lines are numbered as in its document, so that a failure points there."""
    source = "\n" * (block.line - 1) + block.code
    code = compile(source, str(document), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    if inspect.isawaitable(result):
        await result
