"""`postroom queue retry`, `hold`, `release` and `cancel`: several at a time, each for itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from core.cli.command import Options, options
from core.cli.queue import cancel, hold, release, retry
from core.errors import UserError
from core.runtime import Runtime, get_model
from tests.databases import sqlite_alone as database_url

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio


@pytest.fixture
async def ids(host: Runtime, database_url: str, tmp_path: Path) -> list[int]:
    keys = {"DATABASE_URL": database_url, "VAR_DIR": str(tmp_path / "var"), "ADDONS": ["core"]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(keys))
    options.set(Options(config=tmp_path / "config.yaml"))
    queue = get_model("Message").queue_email
    return [(await queue(None, ["kim@b.test"], "x", "x", from_email="o@acme.test")).id for _ in range(3)]


async def states(ids: list[int]) -> list[str]:
    return [(await get_model("Message").get(id=one)).send_state for one in ids]


async def test_several_are_steered_at_a_time(ids: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = ids
    await hold([first, second])
    assert await states(ids) == ["Held", "Held", "Queued"]
    assert capsys.readouterr().out.splitlines() == [f"Message {one} is Held now." for one in (first, second)]
    await release([first])
    await cancel([second, third, third], as_json=True)
    rows = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert [(row["id"], row["send_state"]) for row in rows] == [(second, "Cancelled"), (third, "Cancelled")]
    await retry([second, third])
    assert await states(ids) == ["Queued"] * 3
    done = await get_model("AuditEntry").all().order_by("id").values_list("action", "record_id")
    assert done == [
        *(("mail_held", first), ("mail_held", second), ("mail_released", first)),
        *(("mail_cancelled", second), ("mail_cancelled", third), ("mail_retried", second), ("mail_retried", third)),
    ]


async def test_what_cannot_be_done_stops_no_other(ids: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = ids
    await hold([second])
    with pytest.raises(UserError) as caught:
        await hold([first, 999, second, third])
    assert await states(ids) == ["Held"] * 3
    assert "no outgoing message 999" in str(caught.value)
    assert f"Message {second} is not waiting" in str(caught.value)
    assert f"Message {third} is Held now." in capsys.readouterr().out
