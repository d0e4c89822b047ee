from __future__ import annotations

import pytest


@pytest.fixture
def settings() -> dict[str, object]:
    return {"ADDONS": ["crm"], "MAIL_MODE": "catch"}
