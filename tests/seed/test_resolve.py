from __future__ import annotations

from pathlib import Path

import pytest

from core.contributions import AddonInfo
from core.errors import SeedError
from core.orm import fields
from core.orm.record import Record
from core.seed.resolve import ResolvedFile, resolve_addon
from tests.orm.opened import opened

pytestmark = pytest.mark.anyio


class Thing(Record):
    name = fields.CharField(max_length=5, default="")
    body = fields.TextField(default="")
    size = fields.IntField(default=0)
    price = fields.DecimalField(max_digits=8, decimal_places=2, null=True)
    on = fields.DateField(null=True)
    at = fields.DatetimeField(null=True)
    kind = fields.SelectionField({"big": "Big", "small": "Small"}, default="big")
    live = fields.BooleanField(default=True)
    bytes_ = fields.BinaryField(null=True)
    parent = fields.ForeignKeyField("models.Thing", null=True, related_name="children")
    peers = fields.ManyToManyField("models.Thing", related_name="peer_of", through="thing_peer")


class Strict(Record):
    code = fields.CharField(max_length=5)
    made_at = fields.DatetimeField(auto_now_add=True)
    thing = fields.ForeignKeyField("models.Thing", related_name="stricts")


def addon(folder: Path, **files: str) -> AddonInfo:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    data = tuple(f"{name}.yaml" for name in files)
    return AddonInfo("shop", "Shop", "1", "", (), "shop", folder, folder, data, ())


async def resolve(folder: Path, **files: str) -> tuple[ResolvedFile, ...]:
    async with opened("sqlite://:memory:", Thing, Strict) as database:
        return resolve_addon(addon(folder, **files), database.registry)


async def faults(folder: Path, **files: str) -> str:
    with pytest.raises(SeedError) as caught:
        await resolve(folder, **files)
    return "\n".join(caught.value.faults)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("nmae: A", 'nmae: Thing has no such field. Did you mean "name"?'),
        ("parent_id: 3", 'parent_id: Thing has no such field. Did you mean "parent"?'),
        ("children: [a]", "children: Thing has no such field."),
        ("id: 3", "id: Thing has no such field."),
        ("name: 12", "name: must be a text; put it in quotes (got 12)"),
        ("name: abcdef", "name: Length of 'abcdef' 6 > 5"),
        ("name: null", "name: cannot be empty; give it a value, or leave it out"),
        ("size: '12'", "size: must be a whole number (got 12)"),
        ("size: true", "size: must be a whole number (got True)"),
        ("price: cheap", "price: must be a number (got cheap)"),
        ("on: 2001-02-03T04:05:06Z", "on: must be a date such as 2030-01-31"),
        ("at: 2001-02-03", "at: must be a time such as 2030-01-31T09:00:00+01:00 (got 2001-02-03)"),
        ("kind: smal", 'kind: "smal" is none of big, small. Did you mean "small"?'),
        ("live: yes", "live: must be true or false (got yes)"),
        ("bytes_: abc", 'bytes_: "abc" is not there; create the file'),
        ("bytes_: ../../secret.txt", 'bytes_: "../../secret.txt" leaves the addon\'s folder'),
        ("parent: [a]", "parent: must be the identifier of a record"),
        ("peers: a", "peers: must be a list of identifiers"),
        ("body: texts/none.html", 'body: "texts/none.html" is not there'),
        ("body: ../../secret.txt", 'body: "../../secret.txt" leaves the addon\'s folder'),
    ],
)
async def test_a_value_that_does_not_fit_is_told_with_its_place(tmp_path: Path, written: str, told: str) -> None:
    text = f"- data_type: Thing\n  identifier: a\n  {written}\n"
    assert f"things.yaml:3: a: {told}" in await faults(tmp_path, things=text)


async def test_every_fault_of_every_file_is_told(tmp_path: Path) -> None:
    told = await faults(
        tmp_path,
        one="- {data_type: Thnig, identifier: a}\n- {data_type: Strict, identifier: b}",
        two="- {data_type: Thing, identifier: b, module: other}\n- {data_type: Thing, identifier: crm.c}",
        three="a: 1",
    )
    assert 'one.yaml:1: a: data_type: There is no model "Thnig". Did you mean "Thing"?' in told
    assert "one.yaml:2: b: code: Strict needs it; add it" in told
    assert "one.yaml:2: b: thing: Strict needs it; add it" in told
    assert "made_at" not in told
    assert "two.yaml:1: b: it belongs to the addon other, but this is shop" in told
    assert "two.yaml:1: b: one.yaml:2 has this identifier too; rename one" in told
    assert "two.yaml:2: c: it belongs to the addon crm, but this is shop" in told
    assert "three.yaml:1: a seed file is a list of records" in told


async def test_records_are_ordered_by_their_references(tmp_path: Path) -> None:
    (file,) = await resolve(
        tmp_path,
        things="- {data_type: Thing, identifier: a, parent: b, peers: [c]}\n"
        "- {data_type: Thing, identifier: b, parent: shop.c}\n"
        "- {data_type: Thing, identifier: c}\n",
    )
    assert [record.identifier for record in file.records] == ["c", "b", "a"]


async def test_circles_are_named(tmp_path: Path) -> None:
    told = await faults(
        tmp_path,
        things="- {data_type: Thing, identifier: a, parent: b}\n- {data_type: Thing, identifier: b, peers: [a]}\n"
        "- {data_type: Thing, identifier: c, parent: c}\n",
    )
    assert "records point at each other in a circle" in told
    told = await faults(
        tmp_path,
        x="- {depends: [y.yaml], data_type: Thing, identifier: a}",
        y="- {depends: [x.yaml], data_type: Thing, identifier: b}",
    )
    assert "files depend on each other in a circle: x.yaml -> y.yaml -> x.yaml" in told


async def test_a_file_that_another_depends_on_comes_first_and_once(tmp_path: Path) -> None:
    files = await resolve(
        tmp_path,
        x="- {depends: [y.yaml], data_type: Thing, identifier: a}",
        y="- {data_type: Thing, identifier: b}",
    )
    assert [file.name for file in files] == ["y.yaml", "x.yaml"]
