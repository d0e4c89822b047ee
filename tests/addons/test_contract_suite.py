"""The contract suite on addons of others: one that keeps it, and one that breaks each promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of, write_files
from tests.servers.postgres import Postgres

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "first-addon.md"
HOOKS = """
from core.api import Page, hookimpl
from core.runtime import get_model

from .models.thing import Thing

@hookimpl
def register_models():
    return [Thing]

@hookimpl
def register_pages():
    async def values(query):
        return {}
    return [Page("things", "absent.html", values, "Things")]
"""
THING = """
from core.api import Record, cron_method, fields

class Thing(Record):
    name = fields.CharField(max_length=100)

    async def save(self, *args, **kwargs):
        raise RuntimeError("nothing is ever stored")

    @classmethod
    @cron_method
    async def work(cls):
        raise RuntimeError("nothing is ever done")
"""
MAIL = """
- data_type: EmailTemplate
  identifier: about_contact
  name: About
  model: Contact
  subject: Hello
  content: "{{ nickname }}"
"""
CRON = """
- data_type: CronJob
  identifier: cron_work
  name: Work
  model: Thing
  method: work
"""


def contract(addon: Path, postgres_url: str = "") -> tuple[int, str]:
    """Run an addon's tests as its author would, and return pytest's exit code and output.

    In a folder of its own: in the one of all, it would first delete what earlier runs left.
    """
    environment = {**os.environ, "POSTROOM_TEST_POSTGRES_URL": postgres_url}
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no", "-rA", f"--basetemp={addon.parent / 'tmp'}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, addon],
        env=environment,
        cwd=addon.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_the_addon_of_the_guide_keeps_the_contract(tmp_path: Path, postgres: Postgres) -> None:
    write_files(blocks_of(GUIDE), tmp_path)
    code, output = contract(tmp_path / "toolshed", postgres.url())
    assert code == 0, output
    assert "[sqlite" in output
    assert "[postgres" in output
    assert "skipped" not in output


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the contract says of an addon that breaks it, by question."""
    folder = tmp_path_factory.mktemp("others") / "broken"
    for name, text in {
        "addon.yaml": "name: broken\ntitle: Broken\nversion: '1'\ndata: [data/mail.yaml, data/cron.yaml]\n",
        "hooks.py": HOOKS,
        "models/thing.py": THING,
        "data/mail.yaml": MAIL,
        "data/cron.yaml": CRON,
        "data/forgotten.yaml": MAIL,
        "tests/test_contract.py": "from core.testing import AddonContract as TestContract\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    code, output = contract(folder)
    assert code == 1, output
    found = re.findall(r"^(PASSED|FAILED) \S+::TestContract::(\w+)", output, re.MULTILINE)
    return {question: verdict for verdict, question in found}


@pytest.mark.parametrize(
    "question",
    [
        "test_it_imports_nothing_of_core_but_the_api_and_no_other_addon",
        "test_every_data_file_is_applied",
        "test_each_model_takes_the_least_it_asks_for",
        "test_somebody_may_read_each_model",
        "test_its_cron_jobs_run",
        "test_its_templates_miss_no_name",
        "test_its_pages_answer_only_who_is_logged_in",
    ],
)
def test_each_broken_promise_is_told(verdicts: dict[str, str], question: str) -> None:
    assert verdicts[question] == "FAILED"


def test_the_promises_that_it_keeps_are_not(verdicts: dict[str, str]) -> None:
    assert verdicts["test_its_manifest_is_valid_and_named_as_its_folder"] == "PASSED"
    assert verdicts["test_it_installs_updates_and_goes"] == "PASSED"
