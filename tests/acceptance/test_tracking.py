"""The real command counts opens: all that it answered before SIGTERM, and all but the last moment's before a kill."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from core.config import load_configuration
from core.host.host import open_host
from core.mail.tracking import CLICK_PATH, OPEN_PATH, tracker
from core.runtime import get_model
from core.runtime import settings as running_settings
from tests.acceptance.command import Postroom

pytestmark = pytest.mark.anyio

BASE = "https://mail.example"
TARGET = "https://shop.example/offer"
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Any]:
    """What is set for a host on SQLite, in a folder of its own."""
    return {
        "DATABASE_URL": f"sqlite://{tmp_path}/postroom.db",
        "SECRET_KEY": "0123456789abcdef" * 4,
        "BASE_URL": BASE,
        "HTTP_PORT": 0,
        "ADDONS": ["core"],
        "VAR_DIR": str(tmp_path / "var"),
    }


async def test_no_open_is_lost_at_sigterm_and_few_at_kill(tmp_path: Path, keys: dict[str, Any]) -> None:
    postroom = Postroom(tmp_path / "host", **keys)
    postroom.call("init")
    async with open_host(load_configuration(environment={}, overrides=keys)):
        message = await get_model("Message").create(direction="Outbound", send_state="Sent")
        delivery = await get_model("Delivery").create(
            message=message, recipient="kim@x.example", state="sent", due_at=message.created_at
        )
        signs = tracker(BASE, running_settings().secret_keys)
        pixel = OPEN_PATH + signs.token(delivery.pk)
        link = str(signs.woven(f'<a href="{TARGET}">', delivery.pk)).split('"')[1].removeprefix(BASE)
    assert link.startswith(CLICK_PATH)

    with postroom.running("serve") as host, httpx2.Client(base_url=host.address(), headers=FIREFOX) as reader:
        assert [reader.get(pixel).status_code for _ in range(100)] == [200] * 100
        assert reader.get(link).headers["location"] == TARGET
    assert await _counts(keys, delivery.pk) == (100, 1)

    host = postroom.start("serve")
    with httpx2.Client(base_url=host.address(), headers=FIREFOX) as reader:
        assert [reader.get(pixel).status_code for _ in range(50)] == [200] * 50
        time.sleep(0.5)
        reader.get(pixel)
        host.kill()
    opens, _ = await _counts(keys, delivery.pk)
    assert 150 <= opens <= 151


async def _counts(keys: dict[str, Any], delivery_id: int) -> tuple[int, int]:
    async with open_host(load_configuration(environment={}, overrides=keys)):
        delivery = await get_model("Delivery").get(id=delivery_id)
        return delivery.open_count, delivery.click_count
