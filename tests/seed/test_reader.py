"""Seed files as people and attackers write them."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import SeedError, UserError
from core.seed.reader import SeedFile, load_text_file, read_seed_file
from tests.budget import within

HEAD = "- data_type: Contact\n  identifier: ann\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "crm"
    (root / "data").mkdir(parents=True)
    (root / "templates").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    return root


def read(folder: Path, text: str | bytes) -> SeedFile:
    path = folder / "data" / "seed.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_seed_file(path, root=folder)


def faults(folder: Path, text: str | bytes) -> tuple[str, ...]:
    with pytest.raises(SeedError) as caught:
        read(folder, text)
    return caught.value.faults


def test_a_record_with_everything(folder: Path) -> None:
    (folder / "templates" / "reports.yaml").write_text("")
    seeds = read(
        folder,
        "- depends:\n    - ../templates/reports.yaml\n  data_type: EmailTemplate\n  identifier: send_template\n"
        "  name: Send\n  subject: '{{ number }} from {{ company.name }}'\n  content: ../templates/a.jinja\n"
        "  report: invoicing.print\n  tags: [a, b]\n  options: {x: 1}\n  module: invoicing\n  apply_once: true\n",
    )
    assert seeds.depends == ((folder / "templates" / "reports.yaml").resolve(),)
    (record,) = seeds.records
    assert (record.data_type, record.identifier, record.line) == ("EmailTemplate", "send_template", 1)
    assert (record.module, record.apply_once) == ("invoicing", True)
    assert record.values == {
        "name": "Send",
        "subject": "{{ number }} from {{ company.name }}",
        "content": "../templates/a.jinja",
        "report": "invoicing.print",
        "tags": ["a", "b"],
        "options": {"x": 1},
    }
    assert record.field_lines == {"name": 5, "subject": 6, "content": 7, "report": 8, "tags": 9, "options": 10}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("on", "on"),
        ("null", None),
        ("", None),
        ("~", None),
        ("7", 7),
        ("-7", -7),
        ("007", "007"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("1e5", "1e5"),
        (".inf", ".inf"),
        ("0.10", Decimal("0.10")),
        ("12345678901234567890.5", "12345678901234567890.5"),
        ("00491234567890123456789", "00491234567890123456789"),
        ("'7'", "7"),
        ("!!str 7", "7"),
        ("2026-03-29", date(2026, 3, 29)),
        ("2026-03-29T10:00:00", datetime(2026, 3, 29, 10, tzinfo=UTC)),
        ("2026-03-29 10:00:00+02:00", datetime(2026, 3, 29, 8, tzinfo=UTC)),
        ("[1, [2.5, {a: null}]]", [1, [Decimal("2.5"), {"a": None}]]),
        ("|\n    two\n    lines\n", "two\nlines\n"),
        ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
    ],
)
def test_values(folder: Path, written: str, value: object) -> None:
    (record,) = read(folder, f"{HEAD}  value: {written}\n").records
    assert record.values["value"] == value
    assert type(record.values["value"]) is type(value)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "[]", "\ufeff[]"])
def test_an_empty_file_has_no_records(folder: Path, text: str) -> None:
    assert read(folder, text).records == ()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\n", "data/seed.yaml:1: a seed file is a list of records"),
        ("hello\n", "data/seed.yaml:1: a seed file is a list"),
        ("- hello\n", "data/seed.yaml:1: a record is a mapping"),
        ("- identifier: ann\n", "data/seed.yaml:1: ann: data_type: is missing; add it"),
        ("\n- data_type: Contact\n", "data/seed.yaml:2: identifier: is missing; add it"),
        ("- data_type: Contact\n  identifier: 7\n", "data/seed.yaml:2: identifier: must be a text; put it in quotes"),
        ("- data_type: contact\n  identifier: a\n", 'data/seed.yaml:1: a: data_type: "contact" is not a model name'),
        ("- data_type: Contact\n  identifier: a b\n", "data/seed.yaml:2: a b: identifier: use up to 128 letters"),
        ("- data_type: Contact\n  identifier: ../x\n", "data/seed.yaml:2: ../x: identifier: use up to"),
        (f"- data_type: Contact\n  identifier: {'a' * 200}\n", "use up to 128 letters"),
        (HEAD + "  name: a\n  name: b\n", "data/seed.yaml:4: ann: name: line 3 sets it too; remove one"),
        (HEAD + "  x: {a: 1, a: 2}\n", "data/seed.yaml:3: ann: x.a: line 3 sets it too"),
        (HEAD + HEAD, "data/seed.yaml:3: ann: line 1 has this identifier too; rename one"),
        (HEAD + "  depend on: x\n", 'ann: depend on: this is not a field name. Did you mean "depends"?'),
        (HEAD + "  ? [a]\n  : b\n", "data/seed.yaml:3: ann: a key is a word"),
        (HEAD + "  <<: {a: 1}\n", "data/seed.yaml:3: ann: <<: this is not a field name"),
        (HEAD + "  apply_once: yes\n", "data/seed.yaml:3: ann: apply_once: must be true or false"),
        (HEAD + "  module: [a]\n", "data/seed.yaml:3: ann: module: must be a text"),
        (HEAD + "  depends: 7\n", "data/seed.yaml:3: ann: depends: must be a list of .yaml files"),
        (HEAD + "  depends: [nope.yaml]\n", 'data/seed.yaml:3: ann: depends: "nope.yaml" is not there'),
        (HEAD + "  depends: [../../x.yaml]\n", 'data/seed.yaml:3: ann: depends: "../../x.yaml" leaves the addon'),
        (HEAD + "  at: 2026-02-30\n", 'data/seed.yaml:3: ann: at: "2026-02-30" is no such value'),
        (HEAD + "  n: !!int x\n", "data/seed.yaml:3: ann: n:"),
        (HEAD + "  n: !!python/object/apply:os.system [id]\n", "python/object/apply:os.system is not allowed"),
        (HEAD + "  n: !!python/name:os.system\n", "is not allowed; write a plain value"),
        (HEAD + "  n: !include x\n", "the tag !include is not allowed"),
        (HEAD + "  n: !!binary aGk=\n", "is not allowed"),
        (HEAD + "  n: !!set {a}\n", "is not allowed"),
        (HEAD + "\tname: x\n", "data/seed.yaml:3: this is not YAML (found"),
        (HEAD + "  name: [a\n", "this is not YAML"),
        (HEAD + "  name: *nobody\n", "data/seed.yaml:3: this is not YAML (found undefined alias"),
        (HEAD + "---\n" + HEAD, "this is not YAML"),
        (HEAD + "  name: a\x00b\n", "this is not YAML"),
        ((HEAD + "  name: \u00e4\n").encode("latin-1"), "is not UTF-8 in line 3; save it as UTF-8"),
        (HEAD + "  name: " + "[" * 100_000, "data/seed.yaml: line 3 nests over 32 levels deep; flatten it."),
        (HEAD + "  name: &a [*a]\n", "data/seed.yaml:3: ann: name: its aliases expand to too much"),
        (b"#" * 5_000_001, "over 5 MB; split it"),
    ],
)  # fmt: skip
def test_a_fault_names_its_place_and_the_way_out(folder: Path, text: str | bytes, fault: str) -> None:
    assert any(fault in found for found in faults(folder, text)), faults(folder, text)


def test_all_faults_are_told_at_once(folder: Path) -> None:
    found = faults(folder, "- identifier: a\n  x: !y z\n- data_type: B\n- hello\n- data_type: C\n  identifier: 'a!'\n")
    assert [fault.split(": ")[0] for fault in found] == [f"data/seed.yaml:{line}" for line in (1, 2, 3, 4, 6)]


def test_a_billion_laughs_are_not_laughed(folder: Path) -> None:
    lines = ["  a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with within(3):
        found = faults(folder, HEAD + "\n".join(lines))
    assert sum("expand to too much" in fault for fault in found) == 1


def test_a_big_file_is_read_in_time(folder: Path) -> None:
    text = "".join(f"- data_type: Contact\n  identifier: c{n}\n  name: Name {n}\n" for n in range(2_000))
    with within(4):
        assert len(read(folder, text).records) == 2_000


def test_a_file_out_of_the_folder_or_absent_is_refused(folder: Path) -> None:
    with pytest.raises(SeedError, match="outside the addon's folder"):
        read_seed_file(folder / ".." / "secret.txt", root=folder)
    (folder / "data" / "link.yaml").symlink_to(folder.parent / "secret.txt")
    with pytest.raises(SeedError, match="outside the addon's folder"):
        read_seed_file(folder / "data" / "link.yaml", root=folder)
    with pytest.raises(SeedError, match="No such file"):
        read_seed_file(folder / "data" / "none.yaml", root=folder)


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#\n \t%@`~,?1.", max_size=80) | st.binary(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_file_or_a_seed_error(folder: Path, text: str | bytes) -> None:
    with contextlib.suppress(SeedError):
        assert all(record.identifier for record in read(folder, text).records)


@pytest.mark.parametrize("name", ["../templates/a.jinja", "./note.txt", "note.txt", "../templates/a b.html"])
def test_a_text_file_is_loaded(folder: Path, name: str) -> None:
    (folder / "data" / name).write_text("Grüße\n", encoding="utf-8")
    assert load_text_file(name, folder / "data", folder) == "Grüße\n"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Hello",
        "terms.txt",
        "See the terms.txt",
        "{{ name }}.html",
        "<p>a</p>.html",
        "https://example.org/a.html",
        "a\nb/c.txt",
        " ../templates/a.jinja",
        "a/b.yaml",
        "/etc/motd.txt",
        "x" * 2_000 + "/a.txt",
        "See all " + "x" * 300 + ".txt",
    ],
)
def test_text_stays_text(folder: Path, value: str) -> None:
    assert load_text_file(value, folder / "data", folder) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("../../secret.txt", 'leaves the addon'),
        ("link.txt", 'leaves the addon'),
        ("../templates/none.jinja", r'"\.\./templates/none\.jinja" is not there'),
        ("./none.txt", "is not there; create the file"),
        ("big.txt", "over 5 MB"),
        ("latin.txt", "not UTF-8 in line 2"),
    ],
)  # fmt: skip
def test_a_path_that_cannot_be_loaded_is_named(folder: Path, value: str, words: str) -> None:
    (folder / "data" / "link.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "data" / "latin.txt").write_bytes(b"a\n\xe4\n")
    with (folder / "data" / "big.txt").open("wb") as big:
        os.truncate(big.fileno(), 6_000_000)
    with pytest.raises(UserError, match=words):
        load_text_file(value, folder / "data", folder)
