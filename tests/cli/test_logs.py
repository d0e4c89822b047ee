"""A log line may tell what went wrong, and never what was in the variables then."""

from __future__ import annotations

import sys

import pytest
import structlog

from core.cli.logs import set_up_logs


@pytest.mark.parametrize("on_terminal", [True, False])
def test_a_trace_shows_no_values(
    on_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: on_terminal)
    try:
        set_up_logs()
        password = "".join(("hun", "ter2"))
        try:
            raise RuntimeError("the server said no")
        except RuntimeError:
            structlog.get_logger("test").exception("failed")
        said = capsys.readouterr().err
    finally:
        structlog.reset_defaults()
    assert "the server said no" in said
    assert password not in said
