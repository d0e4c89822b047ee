from __future__ import annotations

import pytest


@pytest.fixture
def settings() -> dict[str, object]:
    return {
        "ADDONS": ["mass_mailing"],
        "MAIL_MODE": "live",
        "MAIL_DOMAIN": "acme.test",
        "BASE_URL": "https://acme.test",
    }
