"""`postroom bench`: figures of this host, and nothing of them stays."""

from __future__ import annotations

import json

from tests.acceptance.command import Postroom


def test_each_figure_is_a_line_and_nothing_stays(site: Postroom) -> None:
    before = site.json("db", "status")
    lines = [json.loads(line) for line in site.call("bench", "--json", "--seconds", "0.01").splitlines()]
    assert {line["benchmark"] for line in lines} == {"database", "queue", "route", "render"}
    assert all(line["value"] > 0 and line["count"] > 0 for line in lines)
    assert "lead_acknowledgement" in {line["name"] for line in lines}
    assert site.json("db", "status")["tables"] == before["tables"]


def test_one_is_named(site: Postroom) -> None:
    assert len(site.call("bench", "database", "--seconds", "0.01").splitlines()) == 1
    assert 'Did you mean "render"?' in site.call("bench", "rendr", code=2)
