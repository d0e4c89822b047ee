"""`postroom queue eml`: the bytes on the standard output, nothing added, and a draft with all that a person needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from core.cli.command import Options, options
from core.cli.queue import eml
from core.errors import UnknownName, UserError
from core.runtime import Runtime, get_model
from tests.databases import sqlite_alone as database_url

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> dict[str, object]:
    return {"BASE_URL": "https://acme.test"}


@pytest.fixture
async def message(host: Runtime, database_url: str, tmp_path: Path) -> Any:
    keys = {
        "DATABASE_URL": database_url,
        "VAR_DIR": str(tmp_path / "var"),
        "ADDONS": ["core"],
        "BASE_URL": "https://acme.test",
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(keys))
    options.set(Options(config=tmp_path / "config.yaml"))
    return await get_model("Message").queue_email(
        None, ["kim@b.test", "j@b.test"], "Grüezi", "<p>x</p>", bcc=["boss@b.test"], from_email="o@acme.test"
    )


async def test_it_prints_the_exact_bytes(message: Any, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    await eml(message.pk)
    assert capsysbinary.readouterr().out == await message.eml()


async def test_of_one_recipient_it_is_the_very_copy(message: Any, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    one = await get_model("Message").queue_email(
        None, ["kim@b.test"], "x", "<p>x</p>", from_email="o@acme.test", unsubscribe_list="news"
    )
    await eml(one.pk)
    out = capsysbinary.readouterr().out
    assert out == await one.eml("kim@b.test") != await one.eml()


async def test_a_draft_names_the_blind_copies(message: Any, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    await eml(message.pk, draft=True)
    out = capsysbinary.readouterr().out
    assert out.startswith(b"X-Unsent: 1\r\n")
    assert b"\r\nBcc: boss@b.test\r\n" in out


async def test_what_cannot_be_printed_says_why(message: Any) -> None:
    with pytest.raises(UserError, match="no recipient"):
        await eml(message.pk, to="stranger@b.test")
    with pytest.raises(typer.BadParameter, match="leave out"):
        await eml(message.pk, to="kim@b.test", draft=True)
    with pytest.raises(UnknownName):
        await eml(message.pk + 1)
