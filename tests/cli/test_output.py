"""Tables on standard output: plain where they fit, folded by rich where they do not."""

from __future__ import annotations

import sys

import pytest

from core.cli.output import print_rows

ROWS = [{"id": 7, "email_to": "kim@example.org"}, {"id": 12, "email_to": None}]


def _table(capsys: pytest.CaptureFixture[str], rows: list[dict[str, object]]) -> list[str]:
    print_rows(rows, ("id", "email_to"), as_json=False, empty="There is none.")
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_columns_stand_below_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert _table(capsys, ROWS) == ["id  email to", "7   kim@example.org", "12"]


def test_a_wide_character_takes_two_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert _table(capsys, [{"id": "日本", "email_to": "a"}, *ROWS])[:3] == [
        "id    email to",
        "日本  a",
        "7     kim@example.org",
    ]


def test_both_ways_write_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    plain = _table(capsys, ROWS)
    with_rich = _table(capsys, [*ROWS, {"id": 13, "email_to": "é"}])
    assert with_rich == [*plain, "13  é"]


def test_what_is_too_wide_for_a_terminal_is_folded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "14")
    monkeypatch.setenv("TERM", "xterm")
    first, second, last = _table(capsys, ROWS)[-3:]
    assert (first[:4], last) == ("7   ", "12")
    assert first[4:] + second[4:] == "kim@example.org"


def test_no_rows_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert _table(capsys, []) == ["There is none."]
