from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.delivery.http_provider import HttpShape, filled, result_of, text_at
from core.errors import UserError
from core.transport.http import HttpReply

SHAPE = HttpShape(
    body={},
    id_path="message.id",
    code_path="error.code",
    words_path="error.text",
    account_codes=frozenset({"20003"}),
    busy_codes=frozenset({"99"}),
    temporary_codes=frozenset({"7"}),
)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b'{"message": {"id": "m1"}}', "sent"),
        (201, b'{"message": {"id": 17}}', "sent"),
        (200, b"<html>Sign in to this network</html>", "unknown"),
        (200, b'{"message": {"id": ', "unknown"),
        (200, b"[" * 5000, "unknown"),
        (301, b"", "server"),
        (400, b'{"error": {"code": 21211, "text": "no such number"}}', "permanent"),
        (400, b'{"error": {"code": 20003}}', "server"),
        (400, b'{"error": {"code": 99}}', "server"),
        (400, b'{"error": {"code": "7"}}', "temporary"),
        (401, b"", "server"),
        (402, b"", "server"),
        (404, b"", "server"),
        (408, b"", "temporary"),
        (422, b"", "permanent"),
        (429, b"", "server"),
        (500, b"", "temporary"),
        (502, b"", "server"),
        (503, b"", "server"),
        (504, b"", "unknown"),
    ],
)
def test_an_answer_has_one_meaning(status: int, body: bytes, outcome: str) -> None:
    result = result_of(HttpReply(status, {}, body), SHAPE)
    assert (result.outcome, result.code) == (outcome, status)
    assert f"HTTP {status}" in result.words
    assert len(result.words) < 400


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [("120", 120), ("", 30), ("soon", 30), ("Mon, 05 Jan 1998 10:00:00 GMT", 0), ("9" * 400, 999_999)],
)
def test_a_busy_provider_says_how_long(said: str, wait_s: float) -> None:
    assert result_of(HttpReply(429, {"retry-after": said}, b""), SHAPE).wait_s == wait_s


def test_an_id_that_nobody_asks_for_is_not_missed() -> None:
    assert result_of(HttpReply(204, {}, b""), HttpShape(body={}, id_path="")).outcome == "sent"


def test_places_are_filled_in_and_never_looked_at_again() -> None:
    body = {"to": ["{to}"], "data": {"text": "<{text}>", "n": 3}, "all": "{options}"}
    places = {"to": "+491", "text": "{to} {secret}", "options": {"a": "{to}"}}
    assert filled(body, places) == {"to": ["+491"], "data": {"text": "<{to} {secret}>", "n": 3}, "all": {"a": "{to}"}}
    with pytest.raises(UserError, match=r"There is no place \{txt\}"):
        filled({"x": "{txt}"}, places)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(_JSON, st.text(alphabet="ab.01", max_size=8))
def test_a_path_leads_to_text_or_to_nothing(data: object, path: str) -> None:
    assert isinstance(text_at(data, path), str)
