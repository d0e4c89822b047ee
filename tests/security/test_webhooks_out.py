"""P4, W8: webhooks lead to no address inside our network, however it is written, and in production by TLS alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import load_configuration
from core.errors import UserError
from core.host.host import open_host
from core.host.install import update_schema
from core.runtime import Runtime, get_model
from core.webhooks.courier import Courier
from tests.servers.http_provider import http_provider

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "place", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f000001", "127.1"]
)
async def test_nothing_inside_is_called(host: Runtime, place: str) -> None:
    async with http_provider() as inside:
        port = inside.url.rpartition(":")[2]
        webhook = await get_model("Webhook").create(name="x", url=f"http://{place}:{port}", events=["message.sent"])
        call = await webhook.test()
        async with Courier() as courier:
            assert await courier.drain() == 1
        await call.refresh_from_db()
        assert inside.asked == []
        assert (call.state, call.last_status) == ("queued", None)


async def test_production_calls_by_https_alone(tmp_path: Path) -> None:
    values = {"DATABASE_URL": f"sqlite://{tmp_path}/p.db", "VAR_DIR": f"{tmp_path}/var", "ADDONS": ["core"]}
    for allowed in (False, True):
        overrides = {**values, "ENVIRONMENT": "production", "WEBHOOK_PLAIN_HTTP": allowed}
        async with open_host(load_configuration(environment={}, overrides=overrides)) as runtime:
            await update_schema(runtime)
            make = get_model("Webhook").create(name="x", url="http://a.test/", events=["message.sent"])
            if allowed:
                await make
            else:
                with pytest.raises(UserError, match="https"):
                    await make
