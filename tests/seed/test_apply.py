from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.errors import SeedError
from core.host.install import plan_seed, seed
from core.orm.transaction import rehearsal
from core.runtime import Runtime, get_model
from core.seed.report import Outcome, SeedReport
from tests.seed.library import rewrite, write_library

pytestmark = pytest.mark.anyio

ONE = """
    - data_type: Book
      identifier: first
      title: One
      pages: 10
      price: 12.50
      lent_at: 2030-01-31T09:00:00+01:00
      printed: 2001-02-03
      weight: 1.5
      extra: {a: [1, 2.5], at: 2001-02-03}
      key: hunter2
      groups: [user]
"""


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, object]:
    write_library(tmp_path / "addons", books=ONE)
    return {"ADDONS": ["library"], "ADDONS_PATH": [str(tmp_path / "addons")]}


@pytest.fixture
def seeds() -> str:
    return "core"


@pytest.fixture
def library(host: Runtime, tmp_path: Path) -> Path:
    """The addon's folder; core's records are in the database, the addon's own are not."""
    return tmp_path / "addons" / "library"


async def apply(host: Runtime, *, demo: bool = False) -> dict[str, Any]:
    """Seed the addon, as a dry run told; return the report of each record."""
    planned = await plan_seed(host, ["library"], demo=demo)
    done = await seed(host, ["library"], demo=demo)
    assert done == planned
    again = await seed(host, ["library"], demo=demo)
    assert not [record for record in again[0].records if record.outcome in (Outcome.created, Outcome.updated)]
    return {record.identifier: record for record in done[0].records}


async def book(identifier: str = "first") -> Any:
    return await get_model("Book").get(identifier=identifier)


async def test_a_record_gets_every_kind_of_value(host: Runtime, library: Path) -> None:
    (library / "data" / "text.html").write_text("<p>Once</p>")
    rewrite(library, books=ONE + "      body: text.html\n      author: main\n", tags="")
    contact = await get_model("Contact").create(identifier="main", name="Ada")
    reports = await apply(host)
    assert reports["first"].outcome is Outcome.created
    made = await book()
    assert (made.title, made.pages, str(made.price), made.weight, made.kind) == ("One", 10, "12.50", 1.5, "novel")
    assert (made.lent_at.isoformat(), made.printed.isoformat()) == ("2030-01-31T08:00:00+00:00", "2001-02-03")
    assert made.extra == {"a": [1, 2.5], "at": "2001-02-03"}
    assert (made.body, made.author_id, made.key) == ("<p>Once</p>", contact.id, "hunter2")
    assert [group.identifier for group in await made.groups.all()] == ["user"]


FILES = """
    - data_type: Attachment
      identifier: terms
      name: Terms.pdf
      content: ../files/terms.pdf

    - data_type: EmailTemplate
      identifier: book_terms
      name: Terms
      model: Book
      subject: Our terms
      content: <p>See there</p>
      attachments: [terms]
"""


async def test_a_template_ships_with_its_files(host: Runtime, library: Path) -> None:
    """reference/000: `attachments`, optional static files of an EmailTemplate."""
    (library / "files").mkdir()
    (library / "files" / "terms.pdf").write_bytes(b"%PDF-1.7 \0 terms")
    rewrite(library, books=FILES)
    assert (await apply(host))["terms"].outcome is Outcome.created
    template = await get_model("EmailTemplate").get(identifier="book_terms")
    (file,) = await template.attachments
    assert (file.name, file.content, file.content_type) == ("Terms.pdf", b"%PDF-1.7 \0 terms", "application/pdf")
    assert (file.size_bytes, len(file.sha256)) == (16, 64)
    assert (await apply(host))["terms"].outcome is Outcome.unchanged
    (library / "files" / "terms.pdf").write_bytes(b"%PDF-1.7 others")
    with pytest.raises(SeedError, match="terms: A file's name and bytes never change"):
        await seed(host, ["library"])


async def test_the_bytes_of_a_field_follow_their_file(host: Runtime, library: Path) -> None:
    cover = library / "data" / "cover.png"
    rewrite(library, books=ONE + "      cover: cover.png\n")
    for content in (b"\x89PNG one", b"\x89PNG two"):
        cover.write_bytes(content)
        await apply(host)
        assert (await book()).cover == content
    await get_model("Book").filter(identifier="first").update(cover=b"drawn by hand")
    cover.write_bytes(b"\x89PNG three")
    assert (await apply(host))["first"].kept == ("cover",)


async def test_the_raw_rows_hold_no_secret(host: Runtime, library: Path) -> None:
    await apply(host)
    for table in ("seed_record", "book"):
        assert "hunter2" not in str(await host.database.fetch(f'SELECT * FROM "{table}"'))


async def test_an_update_sets_what_nobody_edited_and_keeps_the_rest(host: Runtime, library: Path) -> None:
    await apply(host)
    made = await book()
    made.title = "Mine"
    await made.save()
    rewrite(library, books=ONE.replace("One", "Uno").replace("10", "20").replace("[user]", "[user, admin]"))
    report = (await apply(host))["first"]
    assert (report.outcome, set(report.updated), report.kept) == (Outcome.updated, {"pages", "groups"}, ("title",))
    made = await book()
    assert (made.title, made.pages) == ("Mine", 20)
    assert await made.groups.all().count() == 2
    assert report.words == "updated Book first: set pages, groups; left title as edited"
    assert (await apply(host))["first"].outcome is Outcome.unchanged


async def test_a_newly_shipped_field_is_set_only_where_it_holds_its_default(host: Runtime, library: Path) -> None:
    rewrite(library, books="- {data_type: Book, identifier: first, title: One}")
    await apply(host)
    await get_model("Book").all().update(body="Mine")
    rewrite(library, books="- {data_type: Book, identifier: first, title: One, body: Ours, pages: 5, key: new}")
    report = (await apply(host))["first"]
    assert (set(report.updated), report.kept) == ({"pages", "key"}, ("body",))


async def test_apply_once_is_never_touched_again(host: Runtime, library: Path) -> None:
    rewrite(library, books=ONE + "      apply_once: true\n")
    await apply(host)
    rewrite(library, books=ONE.replace("One", "Uno") + "      apply_once: true\n")
    assert (await apply(host))["first"].outcome is Outcome.skipped
    assert (await book()).title == "One"
    rewrite(library, books="")
    assert await apply(host) == {}
    assert (await book()).active


@pytest.mark.parametrize("once", ["true", "false"])
async def test_what_a_person_deleted_stays_deleted(host: Runtime, library: Path, once: str) -> None:
    text = ONE + f"      apply_once: {once}\n"
    rewrite(library, books=text)
    await apply(host)
    await (await book()).delete()
    rewrite(library, books=text, tags="- {data_type: Tag, identifier: new, name: N, book: first}")
    reports = await apply(host)
    assert (reports["first"].outcome, reports["first"].reason) == (Outcome.skipped, "it was deleted here")
    assert (reports["new"].outcome, reports["new"].reason) == (Outcome.skipped, '"first", its book, was deleted here')


async def test_a_record_dropped_from_the_files_is_archived_and_comes_back(host: Runtime, library: Path) -> None:
    await apply(host)
    rewrite(library, books="")
    assert (await apply(host))["first"].outcome is Outcome.archived
    assert not (await book()).active
    rewrite(library, books=ONE)
    assert (await apply(host))["first"].updated == ("active",)
    assert (await book()).active


async def test_a_dropped_record_that_was_edited_or_cannot_be_archived_is_told_once(
    host: Runtime, library: Path
) -> None:
    rewrite(library, books=ONE, tags="- {data_type: Tag, identifier: red, name: Red, book: first}")
    await apply(host)
    await get_model("Book").all().update(title="Mine")
    rewrite(library, books="", tags="")
    reports = await apply(host)
    assert (reports["first"].outcome, reports["first"].kept) == (Outcome.kept, ("title",))
    assert (reports["red"].outcome, reports["red"].reason) == (
        Outcome.skipped,
        "it is no longer shipped; delete it by hand",
    )
    assert await apply(host) == {}


async def test_the_demo_comes_only_with_the_demo_and_stays_without_it(host: Runtime, library: Path) -> None:
    rewrite(library, demo="- {data_type: Book, identifier: shown, title: Shown, sequel: first}")
    assert "shown" not in await apply(host)
    assert (await apply(host, demo=True))["shown"].outcome is Outcome.created
    assert "shown" not in await apply(host)
    assert (await book("shown")).active


async def test_references_reach_other_files_addons_and_records_of_people(host: Runtime, library: Path) -> None:
    await get_model("Group").create(identifier="mine", name="Mine")
    rewrite(
        library,
        books="""
        - data_type: Book
          identifier: second
          title: Two
          sequel: library.first
          groups: [mine, core.admin, user]
        - data_type: Book
          identifier: library.first
          module: library
          title: One
        """,
        tags="- {data_type: Tag, identifier: red, name: Red, book: second}",
    )
    await apply(host)
    two = await get_model("Book").get(identifier="second").prefetch_related("sequel", "groups")
    assert two.sequel.title == "One"
    assert {group.identifier for group in two.groups} == {"mine", "admin", "user"}


async def test_a_file_named_under_depends_comes_first(host: Runtime, library: Path) -> None:
    rewrite(
        library,
        books="- {depends: [extra/more.yaml], data_type: Book, identifier: a, title: A, sequel: b}",
        **{"extra/more": "- {data_type: Book, identifier: b, title: B}"},
    )
    await apply(host)
    assert (await book("a")).sequel_id == (await book("b")).id


async def failed(host: Runtime) -> str:
    """Seed, expecting an error, and see that nothing of the addon was kept."""
    with pytest.raises(SeedError) as caught:
        await seed(host, ["library"])
    assert await get_model("SeedRecord").filter(addon="library").count() == 0
    assert await get_model("Book").all().count() == 0
    return "\n".join(caught.value.faults)


async def test_all_faults_of_references_and_checks_are_told_at_once(host: Runtime, library: Path) -> None:
    rewrite(
        library,
        books="""
        - data_type: Book
          identifier: a
          title: A
          kind: poem
        - data_type: Book
          identifier: b
          title: B
          groups: [usr]
          author: main_company
          sequel: red
        - {data_type: EmailTemplate, identifier: t, name: T, subject: S, content: C, model: Bok}
        - data_type: Book
          identifier: c
          title: C
          author: core.main_company
        """,
        tags="- {data_type: Tag, identifier: red, name: Red, book: a}",
    )
    told = await failed(host)
    assert "data/books.yaml:2: a: a poem has pages" in told
    assert 'data/books.yaml:9: b: groups: there is no Group "usr".' in told
    assert 'data/books.yaml:10: b: author: there is no Contact "main_company".' in told
    assert 'data/books.yaml:11: b: sequel: "red" comes later, in data/tags.yaml; name that file under depends' in told
    assert 'data/books.yaml:12: t: model: there is no ModelRegistry "Bok". Did you mean "Book"?' in told
    assert 'data/books.yaml:16: c: author: "core.main_company" is a Company; this wants a Contact' in told


async def test_a_file_that_fails_while_it_is_stored_leaves_nothing(host: Runtime, library: Path) -> None:
    rewrite(library, books=ONE + '    - {data_type: Book, identifier: second, title: " Two "}\n')
    assert 'data/books.yaml:13: second: title: it is stored as "Two"; write it so' in await failed(host)
    await get_model("Book").create(identifier="mine", title="Mine")
    rewrite(library, books=ONE + "    - {data_type: Book, identifier: mine, title: Two}\n")
    with pytest.raises(SeedError, match=r"books.yaml:13: mine: it clashes with a record that is there already"):
        await seed(host, ["library"])
    assert [row.identifier for row in await get_model("Book").all()] == ["mine"]


async def test_an_identifier_does_not_change_its_model(host: Runtime, library: Path) -> None:
    await apply(host)
    rewrite(library, books="- {data_type: Contact, identifier: first, name: Ada}")
    with pytest.raises(SeedError, match="it was a Book before; give the Contact another identifier"):
        await seed(host, ["library"])


async def test_a_cron_job_names_a_marked_method_and_a_route_a_model(host: Runtime, library: Path) -> None:
    rewrite(
        library, books="- {data_type: CronJob, identifier: j, name: J, model: Message, method: delete, frequency: 1}"
    )
    assert "data/books.yaml:1: j: " in await failed(host)
    rewrite(library, books="- {data_type: EmailRoute, identifier: r, address: leads, target_model: CrmLaed}")
    assert "data/books.yaml:1: r: " in await failed(host)


async def test_two_hosts_may_seed_at_the_same_time(host: Runtime, library: Path) -> None:
    reports: list[tuple[SeedReport, ...]] = await asyncio.gather(
        *(asyncio.create_task(seed(host, ["library"])) for _ in range(2))
    )
    assert sum(report[0].count(Outcome.created) for report in reports) == 1


texts = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), max_size=20)
books = st.fixed_dictionaries(
    {"title": texts.map(lambda text: f"x{text}x")},
    optional={
        "pages": st.integers(0, 10**6),
        "body": texts,
        "price": st.decimals(0, 9999, places=2).map(float),
        "printed": st.dates(),
        "key": texts.filter(bool),
        "groups": st.lists(st.sampled_from(["user", "admin", "portal"]), unique=True),
        "extra": st.dictionaries(st.text("abc", min_size=1), st.integers() | texts | st.booleans() | st.none()),
    },
)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@given(before=books, after=books)
@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_seeding_twice_writes_as_much_as_once(
    host: Runtime, library: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    async def changes() -> int:
        return int((await host.database.fetch("SELECT total_changes() AS count"))[0]["count"])

    async with rehearsal():
        for values in (before, after):
            record = {"data_type": "Book", "identifier": "first", **values}
            (library / "data" / "books.yaml").write_text(yaml.safe_dump([record]))
            await seed(host, ["library"])
            so_far = await changes()
            (report,) = await seed(host, ["library"])
            assert report.count(Outcome.unchanged) == 1
            assert await changes() == so_far
        assert (await book()).title == after["title"]


async def test_an_identifier_that_another_addon_gave_is_told_with_its_owner(host: Runtime, library: Path) -> None:
    rewrite(library, books="- {data_type: Group, identifier: admin, name: Pirates}")
    assert "data/books.yaml:1: admin: the addon core has a Group with this identifier" in await failed(host)


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ('title: "a\\0b"', "title: holds a NUL"),
        ('title: One\n  extra: {a: ["\\0"]}', "extra: holds a NUL"),
        ("title: One\n  pages: 3000000000", "pages: must be from -2147483648 to 2147483647"),
    ],
)
async def test_what_one_of_the_databases_cannot_hold_is_told_with_its_place(
    host: Runtime, library: Path, field: str, fault: str
) -> None:
    rewrite(library, books=f"- data_type: Book\n  identifier: a\n  {field}\n")
    assert fault in await failed(host)
