"""A host for commands to be called on."""

from __future__ import annotations

import pytest

from tests.acceptance.command import Postroom


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Postroom:
    """A set-up host with the demo's records, which the tests of a module only read or add to."""
    folder = tmp_path_factory.mktemp("site")
    site = Postroom(folder, DATABASE_URL=f"sqlite://{folder}/postroom.db", MAIL_MODE="catch")
    site.call("init", "--demo")
    return site
