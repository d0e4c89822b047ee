"""Whatever the OpenAPI document allows, and much that it does not: no server error, no answer that it does not tell of.

`make fuzz-api` tries much more of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from core.runtime import get_model
from tests.databases import both as database_url
from tests.web.conftest import World

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio

_ROOT = Path(__file__).resolve().parents[2]
_SHIPPED = sorted(file.parent.name for file in _ROOT.glob("addons/*/addon.yaml"))
_EXAMPLES = int(os.environ.get("API_EXAMPLES", "2"))
_CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_schema_conformance", "response_headers_conformance"),
)
_PLAIN, _ADMIN = ("read", "write", "mail"), ("read", "write", "mail", "admin")
_CONFIG = """
[[operations]]
include-name = "GET /api/dev/mail"
parameters = { wait_s = 0 }
"""
"""Waiting finds no faults."""


@pytest.fixture
def settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Unlimited, and with all the addons that are shipped."""
    unlimited = {"API_REQUESTS_PER_MINUTE": 0, "API_SENDS_PER_MINUTE": 0, "API_REFUSALS_PER_MINUTE": 0}
    return {**settings, **unlimited, "ADDONS": [*settings["ADDONS"], *_SHIPPED]}


async def test_the_api_keeps_to_its_description(address: str, world: World, tmp_path: Path, database_url: str) -> None:
    """Of a plain user on SQLite, and of an administrator on PostgreSQL."""
    login, scopes = ("ann", _PLAIN) if database_url.startswith("sqlite") else ("root", _ADMIN)
    user = await get_model("User").get(login=login)
    # What the examples of addons name.
    of_list = await get_model("MailingList").create(name="News")
    await get_model("Campaign").create(name="Spring", mailing_list=of_list, company=world.company)
    _, token = await get_model("ApiToken").issue(user, "schemathesis", scopes)
    (tmp_path / "schemathesis.toml").write_text(_CONFIG)
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(tmp_path / "schemathesis.toml")),
        *("run", f"{address}/openapi.json", "-H", f"Authorization: Bearer {token}"),
        *("--checks", ",".join(_CHECKS), "--continue-on-failure", "--no-shrink", "--request-timeout", "20"),
        *("--phases", "examples,fuzzing" if _EXAMPLES < 10 else "examples,coverage,fuzzing"),
        # One thread: CPython 3.11 counts the depth of syntax trees for all threads together, and Hypothesis reads many.
        *("--max-examples", str(_EXAMPLES), "--workers", "1", "--generation-database", "none", "--no-color"),
        # A stream never ends, a session that has ended finds nothing more, and what is broken is meant to be.
        *("--exclude-path-regex", "^/api/(live|auth/logout|desk/broken)$"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(_ROOT), "SCHEMATHESIS_HOOKS": "tests.web.schemathesis_bodies"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await command.communicate()
    assert command.returncode == 0, said.decode()
    assert b"Tested:" in said
