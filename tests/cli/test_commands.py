"""The command as an operator meets it: exit codes, JSON, and clear errors with nothing half done."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
import typer

from core.cli.main import _COMMANDS, build
from tests.acceptance.command import POSTROOM, Postroom, wait_for
from tests.servers.postgres import Postgres

LEAD = b"""From: Ann <ann@buyer.test>
To: leads@localhost
Subject: Desks
Message-ID: <1@buyer.test>

Hello
"""


@pytest.fixture
def fresh(tmp_path: Path) -> Postroom:
    """A host that was never set up, with a folder for addons."""
    return Postroom(
        tmp_path / "host",
        DATABASE_URL=f"sqlite://{tmp_path}/host/postroom.db",
        ADDONS_PATH=[str(tmp_path / "addons")],
        MAIL_MODE="catch",
    )


def _addon(tmp_path: Path, name: str, manifest: str = "", **files: str) -> None:
    folder = tmp_path / "addons" / name
    folder.mkdir(parents=True)
    (folder / "addon.yaml").write_text(f'name: {name}\ntitle: {name.title()}\nversion: "1.0"\n{manifest}')
    for path, text in {"__init__.py": "", "hooks.py": "", **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def _contacts(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM contact")]


def test_setting_up_twice_changes_nothing(site: Postroom) -> None:
    assert site.json("update")["changes"] == []
    assert site.json("seed", "--dry-run")["changes"] == []


def test_a_database_that_was_never_set_up_says_what_to_do(fresh: Postroom, tmp_path: Path) -> None:
    (tmp_path / "addons").mkdir()
    assert "postroom init" in fresh.call("queue", "ls", code=2)


def test_every_fault_of_every_addon_is_told_at_once(fresh: Postroom, tmp_path: Path) -> None:
    _addon(tmp_path, "alpha", "depends: [crmm]\n")
    _addon(tmp_path, "beta", "data: [data/missing.yaml]\n")
    _addon(tmp_path, "gamma", **{"hooks.py": "from nowhere import nothing\n"})
    _addon(tmp_path, "delta", "dependz: []\n")
    said = fresh.call("init", code=2)
    for words in ("crmm", 'Did you mean "crm"?', "data/missing.yaml", "No module named 'nowhere'", "dependz"):
        assert words in said
    assert "Traceback" not in said
    assert not (tmp_path / "host" / "postroom.db").exists()


@pytest.mark.parametrize(
    ("seed", "words"),
    [
        ("- data_type: CronJob\n  identifier: a\n   name: broken\n", ("broken.yaml:6",)),
        ("- data_type: EmailTemplat\n  identifier: a\n", ("broken.yaml:4", 'Did you mean "EmailTemplate"?')),
        (
            "- data_type: CronJob\n  identifier: a\n  name: A\n  model: os\n  method: system\n",
            ("broken.yaml:4", "a:", '"os"'),
        ),
        (
            "- data_type: EmailTemplate\n  identifier: a\n  name: A\n  model: Contact\n  subject: Hi\n"
            "  content: |\n    <p>{{ name }}</p>\n    {% if name %}\n",
            ("broken.yaml:", "a:", "content", "line 2"),
        ),
    ],
    ids=["broken YAML", "unknown model", "cron method", "template"],
)
def test_a_broken_seed_names_its_place_and_nothing_is_applied(
    fresh: Postroom, tmp_path: Path, seed: str, words: tuple[str, ...]
) -> None:
    good = "- data_type: Contact\n  identifier: good\n  name: Good\n"
    _addon(tmp_path, "broken", "data: [data/broken.yaml]\n", **{"data/broken.yaml": good + seed})
    said = fresh.call("init", code=2)
    for word in words:
        assert word in said
    assert _contacts(tmp_path / "host" / "postroom.db") == []
    assert "Traceback" not in said


def test_an_unreachable_database_is_temporary(tmp_path: Path) -> None:
    site = Postroom(tmp_path, DATABASE_URL="postgres://nobody:secret@127.0.0.1:1/none")
    said = site.call("init", code=3)
    assert "cannot be opened" in said
    assert "secret" not in said


def test_an_unreachable_mail_server_is_told_step_by_step(site: Postroom) -> None:
    steps = json.loads(
        site.call(
            "--set",
            "MAIL_MODE=live",
            "--set",
            "SMTP_SERVER=127.0.0.1",
            "--set",
            "SMTP_PORT=1",
            "server",
            "test",
            "config",
            "--json",
            code=3,
        )
    )
    assert [step["ok"] for step in steps][-1] is False
    assert "refused" in steps[-1]["detail"].lower()


@pytest.mark.parametrize(
    "words",
    [
        ("queue", "show", "9" * 20),
        ("queue", "ls", "--limit", "-3"),
        ("queue", "ls", "--limit", "9" * 20),
        ("queue", "eml", "1", "--draft", "--to", "a@b.test"),
        ("inbound", "show", "9" * 20),
        ("inbound", "replay"),
        ("inbound", "assign", "1", "CrmLead:" + "9" * 20),
        ("cron", "history", "cron_run_prune", "--limit", "-1"),
        ("template", "preview", "lead_acknowledgement", "--record", "CrmLead"),
        ("template", "preview", "lead_acknowledgement", "--record", "CrmLead:²"),
        ("template", "preview", "lead_acknowledgement", "--record", "CrmLead:" + "9" * 5000),
        ("audit", "--record", "9" * 20),
    ],
)
def test_words_that_cannot_be_meant_are_wrong_usage(site: Postroom, words: tuple[str, ...]) -> None:
    said = site.call(*words, code=2)
    assert "Traceback" not in said
    assert "database" not in said


def test_a_file_of_any_name_gives_one_line_of_json(site: Postroom, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9.eml")
    file.write_bytes(LEAD.replace(b"<1@", b"<latin@"))
    (line,) = site.call("inbound", "load", str(file), "--json").splitlines()
    assert json.loads(line)["file"] == str(file)
    assert "caf" in site.call("inbound", "load", str(file))


def test_an_input_that_is_not_there_is_told(site: Postroom) -> None:
    closed = ["sh", "-c", 'exec "$@" <&-', "sh", POSTROOM]
    for words in (["route", "explain", "-"], ["server", "add", "Other", "--host", "x", "--password-file", "-"]):
        done = subprocess.run([*closed, *words], cwd=site.folder, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 2
        assert "no standard input" in done.stderr


def test_every_command_has_json_and_an_example() -> None:
    def commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
        for name, one in group.commands.items():
            yield from commands(one, *path, name) if hasattr(one, "commands") else [(" ".join((*path, name)), one)]

    found = dict(commands(typer.main.get_command(build(list(_COMMANDS)))))
    silent = {"run", "serve", "queue eml"}
    told = {name for name, one in found.items() if any("--json" in option.opts for option in one.params)}
    assert set(found) - told == silent
    assert [name for name, one in found.items() if "Example: postroom " + name not in (one.help or "")] == []


def test_names_that_are_not_there_have_a_nearest_match(site: Postroom) -> None:
    said = site.call("template", "preview", "financial_document_send", "--record", "FinancialDocument:1", code=2)
    assert 'Did you mean "financial_document_send_template"?' in said
    assert "FinancialDocument 999" in site.call(
        "template", "preview", "financial_document_send_template", "--record", "FinancialDocument:999", code=2
    )
    assert "cron_email_queue_processor" in site.call("cron", "run", "cron_email_queue", code=2)
    site.call("queue", "show", "999", code=2)
    site.call("queue", "ls", "--state", "Nope", code=2)
    site.call("inbound", "replay", "999", code=2)
    site.call("nonsense", code=2)


def test_unknown_configuration_keys_are_errors(site: Postroom) -> None:
    said = site.call("config", code=2, POSTROOM_MAIL_DOMIAN="x")
    assert 'Did you mean "MAIL_DOMAIN"?' in said
    shown = {row["key"]: row for row in site.json("config", POSTROOM_SMTP_PASSWORD="hunter2")}
    assert shown["SMTP_PASSWORD"] == {"key": "SMTP_PASSWORD", "value": "********", "origin": "environment"}


def test_preview_in_another_locale(site: Postroom) -> None:
    preview = site.json(
        "template", "preview", "financial_document_send_template", "--record", "FinancialDocument:1", "--locale", "de"
    )
    assert "2.422,80" in preview["content"]


def test_explain_writes_nothing_and_load_does_what_it_said(site: Postroom, tmp_path: Path) -> None:
    mail = tmp_path / "lead.eml"
    mail.write_bytes(LEAD)
    before = site.json("inbound", "ls")
    explained = json.loads(site.call("route", "explain", str(mail), "--json"))
    assert site.json("inbound", "ls") == before
    loaded = json.loads(site.call("inbound", "load", str(mail), "--json"))
    assert explained["outcome"] == loaded["outcome"] == "record"
    assert [step["rule"] for step in explained["trace"]] == [step["rule"] for step in loaded["trace"]]
    assert loaded["record"].startswith("CrmLead:")
    again = json.loads(site.call("inbound", "load", str(mail), "--json"))
    assert again["message"] == loaded["message"]


def test_a_malformed_mail_at_the_head_stops_nobody(site: Postroom, tmp_path: Path) -> None:
    folder = tmp_path / "mails"
    folder.mkdir()
    (folder / "1.eml").write_bytes(b"\x00\xff(((" * 5000)
    (folder / "2.eml").write_bytes(LEAD.replace(b"<1@", b"<2@").replace(b"Desks", b"Chairs"))
    lines = [json.loads(line) for line in site.call("inbound", "load", str(folder), "--json").splitlines()]
    assert len(lines) == 2
    assert lines[1]["outcome"] == "record"


def test_doctor_and_lists_answer(site: Postroom) -> None:
    assert all(finding["ok"] for finding in site.json("doctor"))
    assert {row["name"] for row in site.json("addon", "ls")} >= {"core", "crm", "invoicing"}
    assert site.json("queue", "stats")["Queued"] == 0
    assert {row["identifier"] for row in site.json("cron", "ls")} >= {"cron_email_queue_processor"}
    assert "leads@localhost" in [row["address"] for row in site.json("route", "ls")]
    assert site.json("user", "ls") == []
    assert {row["stage"] for row in site.json("crm", "pipeline")} >= {"New"}
    assert "Example: postroom crm pipeline" in site.call("crm", "pipeline", "--help")
    for word in ("run", "serve", "worker", "init", "addon", "seed", "config", "cron", "queue", "doctor"):
        assert "Usage" in site.call(word, "--help")


def test_uninstall_says_what_it_drops_and_needs_a_yes(fresh: Postroom, tmp_path: Path) -> None:
    (tmp_path / "addons").mkdir()
    fresh.call("init")
    said = fresh.call("addon", "uninstall", "crm", code=1)
    assert "crm_lead" in said
    assert "Nothing was done" in said
    fresh.call("crm", "pipeline")


def test_a_worker_does_what_is_due_once(site: Postroom) -> None:
    assert site.json("worker", "--once").keys() == {*("processed", "cron_runs", "deliveries", "webhook_calls")}


def test_a_login_is_shown_while_it_holds(fresh: Postroom, tmp_path: Path) -> None:
    (tmp_path / "addons").mkdir()
    fresh.call("init")
    for password in (None, "correct horse battery"):
        if password:
            (tmp_path / "password").write_text(password)
            fresh.call("user", "password", "admin@localhost", "--password-file", str(tmp_path / "password"))
        with fresh.running("run", "--no-demo", "--port", "0") as host:
            wait_for(lambda host=host: "Stop with" in host.output, "the end of what is shown")
            assert ("Password" in host.output) is (password is None)


def test_pages_and_worker_run_apart_and_stop_when_told(site: Postroom) -> None:
    with site.running("serve", "--port", "0") as pages, site.running("worker") as worker:
        health = httpx2.get(f"{pages.address()}/api/health")
        wait_for(lambda: "Worker started" in worker.output, "the worker")
        assert health.status_code == 200


def test_a_command_loads_no_engine_that_it_does_not_need() -> None:
    """PERFORMANCE.md, 13: most commands take less time than loading all of them."""
    asked = "import sys; from core.cli.main import build; build(['config']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    assert "core.cli.config" in loaded
    assert not {"tortoise", "jinja2", "core.host.host", "core.delivery.engine", "core.cli.serve"} & set(loaded)


@pytest.mark.parametrize("words", [["--help"], ["quue", "ls"], []])
def test_who_names_no_command_is_shown_all(words: list[str]) -> None:
    names = {command.name for command in build(words).registered_commands}
    names |= {group.name for group in build(words).registered_groups}
    assert {"run", "serve", "worker", "init", "update", "queue", "user", "config"} <= names


def test_a_database_that_is_none_is_told(tmp_path: Path) -> None:
    site = Postroom(tmp_path, DATABASE_URL=f"sqlite://{tmp_path}/postroom.db")
    (tmp_path / "postroom.db").write_bytes(b"no database, and longer than a header of one is. " * 100)
    said = site.call("queue", "ls", code=3)
    assert "postroom.db cannot be opened" in said
    assert "Traceback" not in said


def test_a_database_that_takes_nothing_for_now_is_temporary(tmp_path: Path, postgres: Postgres) -> None:
    with postgres.database() as url:
        site = Postroom(tmp_path, DATABASE_URL=url)
        site.call("init")
        postgres.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_read_only = on")
        said = site.call("queue", "suspend", code=3)
        assert "read-only" in said
        assert "postroom doctor" in said


def test_an_output_without_room_is_told(site: Postroom) -> None:
    with Path("/dev/full").open("wb") as full:
        for words in (["config"], ["queue", "stats", "--json"]):
            command = [POSTROOM, *words]
            done = subprocess.run(command, cwd=site.folder, stdout=full, stderr=subprocess.PIPE, text=True)
            assert done.returncode == 3
            assert done.stderr.startswith("error: ")
            assert "No space left" in done.stderr
            assert "Traceback" not in done.stderr


def test_doctor_says_what_holds_mail_back(site: Postroom) -> None:
    said = site.call("--set", "MAIL_MODE=hold", "doctor", code=1)
    assert "none is sent" in said
    assert "set MAIL_MODE: live" in said


def test_doctor_names_the_server_to_test(tmp_path: Path) -> None:
    site = Postroom(tmp_path, DATABASE_URL=f"sqlite://{tmp_path}/postroom.db", SMTP_SERVER="127.0.0.1")
    site.call("init")
    with sqlite3.connect(tmp_path / "postroom.db") as database:
        pause = "INSERT INTO server_pause (server, until_at, failures, reason) VALUES ('config', '2999-01-01', 5, 'No')"
        database.execute(pause)
    assert "run `postroom server test config`" in site.call("doctor", code=1)
    with sqlite3.connect(tmp_path / "postroom.db") as database:
        database.execute("UPDATE server_pause SET until_at = '2020-01-01'")
    assert "1 paused or failing: config: No" in site.call("doctor", code=1)


def test_what_goes_to_a_filter_is_not_folded(site: Postroom) -> None:
    assert "financial_document_send_template" in site.call("template", "ls")


def test_a_wrong_value_is_told_with_its_place(tmp_path: Path) -> None:
    site = Postroom(tmp_path, SMTP_PORT="abc")
    said = site.call("config", code=2, POSTROOM_MAIL_MODE="of")
    assert "config.yaml: SMTP_PORT: " in said
    assert "environment: POSTROOM_MAIL_MODE: " in said


def test_a_user_is_of_a_company_and_gets_a_new_password(site: Postroom, tmp_path: Path) -> None:
    words = tmp_path / "password"
    words.write_text("long enough now\n")
    add = ("user", "add", "anna@example.org", "--name", "Anna", "--password-file", str(words))
    assert "there are admin, portal, user" in site.call(*add, "--group", "usr", code=1)
    assert "Lakeside Joinery" in site.call(*add, "--company", "Nobody", code=2)
    assert "no company" not in site.call(*add, "--group", "user", "--company", "lakeside joinery")
    assert "new password" in site.call("user", "password", "Anna@example.org", "--password-file", str(words))
    site.call("user", "password", "nobody@example.org", "--password-file", str(words), code=2)
    words.write_text("short")
    assert "too short" in site.call("user", "password", "anna@example.org", "--password-file", str(words), code=1)


def test_a_paused_server_is_listed_and_resumed(tmp_path: Path) -> None:
    site = Postroom(tmp_path, DATABASE_URL=f"sqlite://{tmp_path}/postroom.db", SMTP_SERVER="127.0.0.1", SMTP_PORT=1)
    site.call("init")
    with sqlite3.connect(tmp_path / "postroom.db") as database:
        pause = "INSERT INTO server_pause (server, until_at, failures, reason) VALUES ('config', '2999-01-01', 5, 'No')"
        database.execute(pause)
    (row,) = site.json("server", "ls")
    assert (row["name"], row["address"], row["reason"]) == ("config", "127.0.0.1:1", "No")
    assert "used again" in site.call("server", "resume", "config")
    assert "not paused" in site.call("server", "resume", "config")
    assert site.json("server", "ls")[0]["paused_until"] is None
    assert "There are: config" in site.call("server", "test", "conf1g", code=2)


def test_a_reader_that_went_away_is_no_story(site: Postroom) -> None:
    """As in `postroom config | head -1`."""
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as pipe:
        for words in (["config"], ["queue", "stats", "--json"]):
            command = [POSTROOM, *words]
            done = subprocess.run(command, cwd=site.folder, stdout=pipe, stderr=subprocess.PIPE, text=True)
            assert (done.returncode, done.stderr) == (1, "")
