from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from core.contributions import AddonInfo
from core.errors import SchemaError
from core.orm import fields, schema
from core.orm.catalog import read_catalog
from core.orm.migration import read_migrations
from core.orm.record import Record
from tests.orm.opened import opened

pytestmark = pytest.mark.anyio


def addon(folder: Path, **files: str) -> AddonInfo:
    """An addon `base` whose migrations are `files` (without `.yaml`)."""
    (folder / "migrations").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "migrations" / f"{name.removeprefix('m')}.yaml").write_text(dedent(text))
    return AddonInfo("base", "Base", "1", "", (), "base", folder, folder, (), ())


def make_lead(**columns: object) -> type[Record]:
    return type("Lead", (Record,), {"title": fields.CharField(max_length=50), **columns})


def make_person() -> type[Record]:
    class Person(Record):
        name = fields.CharField(max_length=50)

    return Person


def boss() -> object:
    return fields.ForeignKeyField("models.Person", null=True, related_name="led", on_delete=fields.SET_NULL)


async def test_a_rename_keeps_values_and_gives_indexes_their_new_names(database_url: str, tmp_path: Path) -> None:
    old = make_lead(phone=fields.CharField(max_length=20, default="", db_index=True), boss=boss())
    async with opened(database_url, old, make_person()) as database:
        await schema.apply(database, [addon(tmp_path)])
        person = await database.registry.get("Person").create(name="Ada")
        await database.registry.get("Lead").create(title="A", phone="123", boss=person)
    base = addon(
        tmp_path,
        m0001_words="""
        - rename_field: {model: Lead, from: phone, to: telephone}
        - rename_field: {model: Lead, from: boss, to: owner}
        """,
        m0002_again="- rename_field: {model: Lead, from: telephone, to: mobile}",
    )
    new = make_lead(mobile=fields.CharField(max_length=20, default="", db_index=True), owner=boss())
    async with opened(database_url, new, make_person()) as database:
        planned = await schema.plan(database, [base])
        assert planned.words[0] == "rename column lead.phone to telephone"
        assert "phone" in (await read_catalog(database))["lead"].columns
        assert await schema.apply(database, [base]) == planned
        assert await schema.plan(database, [base]) == schema.Plan()
        assert await schema.schema_differs(database, [base]) == ()
        lead = await database.registry.get("Lead").get(title="A").prefetch_related("owner")
        assert (lead.mobile, lead.owner.name) == ("123", "Ada")
        ours = [sql for name, sql in (await read_catalog(database))["lead"].indexes.items() if name.startswith("idx")]
        assert len(ours) == 1
        assert "mobile" in ours[0]


async def test_models_are_renamed_with_what_names_them_and_dropped(database_url: str, tmp_path: Path) -> None:
    def entry() -> type[Record]:
        class Entry(Record):
            res_model = fields.CharField(max_length=50, null=True)
            lead = fields.ForeignKeyField("models.Lead", null=True, related_name="entries")

        return Entry

    class NewEntry(Record):
        res_model = fields.CharField(max_length=50, null=True)
        lead = fields.ForeignKeyField("models.Deal", null=True, related_name="entries")

        class Meta:
            table = "entry"

    class Deal(Record):
        title = fields.CharField(max_length=50, unique=True)

    class Tag(Record):
        name = fields.CharField(max_length=50)
        leads = fields.ManyToManyField("models.Lead", related_name="tags", through="lead_tag")

    unique = type("Lead", (Record,), {"title": fields.CharField(max_length=50, unique=True)})
    async with opened(database_url, unique, entry(), Tag) as database:
        await schema.apply(database, [addon(tmp_path)])
        lead = await database.registry.get("Lead").create(title="A")
        await database.registry.get("Entry").create(res_model="Lead", lead=lead)
        await (await database.registry.get("Tag").create(name="T")).leads.add(lead)
    base = addon(tmp_path, m0001_deal="- drop_model: {name: Tag}\n- rename_model: {from: Lead, to: Deal}")
    async with opened(database_url, Deal, NewEntry) as database:
        await schema.apply(database, [base])
        assert await schema.plan(database, [base]) == schema.Plan()
        made = await database.registry.get("NewEntry").get().prefetch_related("lead")
        assert (made.res_model, made.lead.title) == ("Deal", "A")
        catalog = await read_catalog(database)
        assert not {"tag", "lead_tag", "lead"} & set(catalog)
        assert len([name for name in catalog["deal"].indexes if name.startswith("uniq")]) == 1


async def test_fields_go_and_statements_run(database_url: str, tmp_path: Path) -> None:
    async with opened(
        database_url, make_lead(fax=fields.IntField(db_index=True, null=True), boss=boss()), make_person()
    ) as database:
        await schema.apply(database, [addon(tmp_path)])
        await database.registry.get("Lead").create(title="A")
    base = addon(
        tmp_path,
        m0001_less="""
        - drop_field: {model: Lead, field: fax}
        - drop_field: {model: Lead, field: boss}
        - sql:
            sqlite: UPDATE lead SET title = title || 's'
            postgres: ["UPDATE lead SET title = title || 's'", "ANALYZE lead"]
        """,
    )
    async with opened(database_url, make_lead(), make_person()) as database:
        await schema.apply(database, [base])
        assert set((await read_catalog(database))["lead"].columns) == {"id", "title"}
        await schema.apply(database, [base])
        assert (await database.registry.get("Lead").get()).title == "As"


async def test_a_new_database_skips_old_files(database_url: str, tmp_path: Path) -> None:
    base = addon(tmp_path, m0001_old="- drop_field: {model: Lead, field: fax}")
    async with opened(database_url, make_lead()) as database:
        await schema.apply(database, [base])
        assert await schema.plan(database, [base]) == schema.Plan()


async def test_a_failing_step_is_named_and_nothing_is_done(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url, make_lead()) as database:
        await schema.apply(database, [addon(tmp_path)])
    base = addon(
        tmp_path,
        m0001_bad="""
        - rename_field: {model: Lead, from: title, to: name}
        - sql: {sqlite: UPDATE nowhere SET a = 1, postgres: UPDATE nowhere SET a = 1}
        """,
    )
    async with opened(database_url, make_lead()) as database:
        planned = await schema.plan(database, [base])
        assert planned.faults[0].startswith("base/migrations/0001_bad.yaml, step 2: UPDATE nowhere SET a = 1: ")
        with pytest.raises(SchemaError, match="step 2"):
            await schema.apply(database, [base])
        assert set((await read_catalog(database))["lead"].columns) == {"id", "title"}


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("- rename_field: {model: Leat, from: a, to: b}", 'no table of a model Leat. Did you mean "Lead"?'),
        ("- rename_field: {model: Lead, from: titel, to: b}", 'no column titel. Did you mean "title"?'),
        (
            "- rename_field: {model: Lead, from: title, to: note}",
            "Lead has both title and note; drop one of them first",
        ),
        ("- rename_model: {from: Lead, to: Person}", "there is a table person already"),
        ("- drop_model: {name: Lead}", "Lead is still declared"),
        ("- drop_field: {model: Lead, field: fax}", "the table lead has no column fax"),
    ],
)
async def test_a_step_that_does_not_fit_the_database_is_a_fault(tmp_path: Path, step: str, told: str) -> None:
    lead = make_lead(note=fields.TextField(default=""))
    async with opened(f"sqlite://{tmp_path}/db", lead, make_person()) as database:
        await schema.apply(database, [addon(tmp_path)])
        assert told in (await schema.plan(database, [addon(tmp_path, m0001_step=step)])).faults[0]


async def test_a_model_that_others_point_at_is_not_dropped(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url, make_lead(boss=boss()), make_person()) as database:
        await schema.apply(database, [addon(tmp_path)])
    base = addon(tmp_path, m0001_drop="- drop_model: {name: Person}")
    async with opened(database_url, make_lead()) as database:
        assert "lead.boss_id still points at person" in (await schema.plan(database, [base])).faults[0]


async def test_a_file_changed_after_it_was_applied_is_told(tmp_path: Path) -> None:
    async with opened(f"sqlite://{tmp_path}/db", make_lead()) as database:
        await schema.apply(database, [addon(tmp_path, m0001_a="[]")])
        changed = addon(tmp_path, m0001_a="- drop_field: {model: Lead, field: title}")
        with pytest.raises(SchemaError, match=r"base/migrations/0001_a.yaml: it was changed after it was applied"):
            await schema.apply(database, [changed])


def test_every_fault_of_every_file_is_told(tmp_path: Path) -> None:
    base = addon(
        tmp_path,
        m0001_keys="""
        - rename_field: {model: Lead, from: a}
        - rename_feild: {}
        - nonsense
        - sql: {sqlite: 1, postgres: ''}
        """,
        m0002_yaml="- [",
        m0003_shape="a: 1",
        mname="[]",
    )
    files, faults = read_migrations([base])
    assert [file.name for file in files] == ["0001_keys.yaml", "0002_yaml.yaml", "0003_shape.yaml", "name.yaml"]
    told = "\n".join(faults)
    assert "base/migrations/0001_keys.yaml, step 1: rename_field takes exactly from, model, to" in told
    assert 'step 2: there is no step rename_feild. Did you mean "rename_field"?' in told
    assert "step 3: a step is one of rename_field, drop_field" in told
    assert "step 4: sql: sqlite must be a text, or a list of texts" in told
    assert "base/migrations/0002_yaml.yaml: while parsing" in told
    assert "base/migrations/0003_shape.yaml: the file must hold a list of steps" in told
    assert "base/migrations/name.yaml: name it like 0001_what_it_does.yaml" in told
