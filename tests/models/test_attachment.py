"""Files as records: their names, and those that were there before files had any."""

from __future__ import annotations

from uuid import UUID

import pytest

from core.host.install import update_schema
from core.runtime import Runtime, get_model

pytestmark = pytest.mark.anyio


async def test_files_of_an_older_database_get_a_name_each(host: Runtime) -> None:
    for number in range(50):
        await get_model("Attachment").keep(f"{number}.txt", b"x")
    database = host.database
    for row in await database.fetch(_INDEXES[database.dialect.name]):
        await database.script(f'DROP INDEX "{row["name"]}"')
    await database.script("ALTER TABLE attachment DROP COLUMN uuid")
    await get_model("SchemaMigration").filter(file="0001_name_each_file.yaml").delete()
    await update_schema(host)
    names = await get_model("Attachment").all().values_list("uuid", flat=True)
    assert len(set(names)) == 50
    assert {str(UUID(name)) for name in names} == set(names)
    assert {UUID(name).version for name in names} == {4}
    assert {UUID(name).variant for name in names} == {UUID("00000000-0000-4000-8000-000000000000").variant}
    with pytest.raises(Exception, match=r"(?i)unique"):
        await get_model("Attachment").keep("twice.txt", b"x", uuid=names[0])


async def test_a_path_says_which_table_it_is_of(host: Runtime) -> None:
    files = get_model("Attachment")
    path = await files.new_path("Contact", None, "a.pdf")
    table = await get_model("ModelRegistry").get(identifier="Contact")
    assert path.startswith(files.path_prefix(table.pk, None))
    assert path.startswith(f"/space-1-table-{table.pk}-")
    assert path.endswith("-a.pdf")


_INDEXES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'attachment' AND sql LIKE '%uuid%'",
    "postgres": "SELECT indexname AS name FROM pg_indexes WHERE tablename = 'attachment' AND indexdef LIKE '%uuid%'",
}
