"""F23, in short: `make soak` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.soak import Plan, soak

pytestmark = pytest.mark.anyio


async def test_f23_killed_every_two_seconds(database_url: str, tmp_path: Path) -> None:
    report = await soak(Plan(seconds=10, messages=600, workers=3), database_url, tmp_path)
    print(report)
    assert report.holds, str(report)
    assert report.kills >= 4
    assert report.doubted > 0, "no kill met a mail in flight, so nothing was tested"
