from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.config import load_configuration
from core.errors import SchemaError, UnknownName, UserError
from core.host.host import open_host
from core.host.install import installed, uninstall, update
from core.orm import schema
from core.orm.catalog import read_catalog
from core.runtime import Runtime, get_model
from tests.host.addon_folder import write_addon

pytestmark = pytest.mark.anyio

CLUB = """
    from core.api import Record, fields

    class Club(Record):
        name = fields.CharField(max_length=20)
        chair = fields.ForeignKeyField("models.Contact", null=True, related_name="chairs", on_delete=fields.SET_NULL)
"""
MEMBER = """
    from core.api import Record, fields

    class Member(Record):
        extends = "Contact"
        club = fields.ForeignKeyField("models.Club", null=True, related_name="members", on_delete=fields.SET_NULL)
        number = fields.IntField(default=1)
"""
SEEDS = """
    - {data_type: Contact, identifier: chair, name: Chair, number: 7}
    - {data_type: Club, identifier: first, name: First, chair: chair}
    - {data_type: ModelAccess, identifier: club_access, model: Club, group: user}
"""


@pytest.fixture
def addons(tmp_path: Path) -> Path:
    root = tmp_path / "addons"
    write_addon(root, "club", models={"Club": CLUB, "Member": MEMBER}, data={"data/club.yaml": SEEDS})
    write_addon(root, "league", depends=["club"])
    return root


@asynccontextmanager
async def opened(url: str, root: Path, *names: str) -> AsyncIterator[Runtime]:
    overrides = {"DATABASE_URL": url, "VAR_DIR": f"{root}/var", "ADDONS": names, "ADDONS_PATH": [str(root)]}
    async with open_host(load_configuration(environment={}, overrides=overrides)) as runtime:
        yield runtime


async def test_an_addon_comes_goes_and_comes_again(database_url: str, addons: Path) -> None:
    async with opened(database_url, addons, "core") as host:
        assert await installed(host) == {}
        await update(host)
        await get_model("Contact").create(name="Ada")
    async with opened(database_url, addons, "club") as host:
        with pytest.raises(SchemaError, match="create table club"):
            await schema.require_current_schema(host.database, host.addons)
        report = await update(host)
        assert "core: created" not in "\n".join(report.words)
        assert await installed(host) == {"core": "0.1.0", "club": "1.0"}
        assert (await get_model("Contact").get(name="Ada")).number == 1
        assert (await get_model("Club").get().prefetch_related("chair")).chair.number == 7

        planned = await uninstall(host, "club", dry_run=True)
        assert await get_model("Club").all().count() == 1
        assert await uninstall(host, "club") == planned
        assert planned == (
            "delete ModelAccess club_access",
            "delete Contact chair",
            "drop column contact.number",
            "drop column contact.club_id",
            "drop table club with 1 rows",
            "now set ADDONS to [core], or the next update installs club again",
        )
        assert "club" not in await read_catalog(host.database)
        with pytest.raises(SchemaError):
            await schema.require_current_schema(host.database, host.addons)
        with pytest.raises(UserError, match="club is not installed"):
            await uninstall(host, "club")
    async with opened(database_url, addons, "core") as host:
        assert (await update(host)).words == ()
        await schema.require_current_schema(host.database, host.addons)
        assert [row.name for row in await get_model("Contact").all()] == ["Ada"]
        assert not (await get_model("ModelRegistry").get(identifier="Club")).active
    async with opened(database_url, addons, "club") as host:
        await update(host)
        assert (await get_model("ModelRegistry").get(identifier="Club")).active
        assert await get_model("Contact").filter(identifier="chair").count() == 1


async def test_an_addon_that_is_needed_or_unknown_is_not_uninstalled(addons: Path) -> None:
    async with opened(f"sqlite://{addons}/db", addons, "league") as host:
        await update(host)
        with pytest.raises(UserError, match="league needs club; uninstall that first"):
            await uninstall(host, "club")
        with pytest.raises(UserError, match="core is what everything stands on"):
            await uninstall(host, "core")
        with pytest.raises(UnknownName, match=r'Did you mean "club"\?'):
            await uninstall(host, "clubs")
        await uninstall(host, "league")
        await uninstall(host, "club")
        assert list(await installed(host)) == ["core"]
