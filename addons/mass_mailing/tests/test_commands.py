from __future__ import annotations

from typing import Any

import pytest

from core.api import UnknownName, UserError

from .desk import campaign_to, list_of

pytestmark = pytest.mark.anyio


async def call(host: Any, name: str, *words: str) -> list[dict[str, Any]]:
    (command,) = [one for addon, one in host.contributions.commands if (addon, one.name) == ("mass_mailing", name)]
    rows: list[dict[str, Any]] = await command.run(words)
    return rows


async def test_a_campaign_by_the_command_line(host: Any) -> None:
    campaign = str((await campaign_to(await list_of(2))).pk)
    assert [row["state"] for row in await call(host, "ls")] == ["draft", "draft"]
    assert (await call(host, "start", campaign))[0]["state"] == "running"
    (paused,) = await call(host, "pause", campaign, "wrong", "price")
    assert (paused["state"], paused["standstill"]) == ("paused", "Paused: wrong price")
    assert (await call(host, "resume", campaign))[0]["state"] == "running"
    figures = {row["figure"]: row["value"] for row in await call(host, "report", campaign)}
    assert (figures["state"], figures["audience"], figures["rate: opened"]) == ("running", 2, "n/a")
    assert (await call(host, "cancel", campaign))[0]["state"] == "cancelled"
    for words, error in (((), UserError), (("x",), UserError), (("9" * 30,), UserError), (("999",), UnknownName)):
        with pytest.raises(error):
            await call(host, "start", *words)
