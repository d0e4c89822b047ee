"""The part of a file that a request asks for, by the letter of RFC 9110."""

from __future__ import annotations

import pytest

from core.web.ranges import wanted_part

TAG = '"abc"'


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=0-", 206, 0, 10),
        ("bytes=3-5", 206, 3, 6),
        ("Bytes = 3 - 5 ", 206, 3, 6),
        ("bytes=3-999", 206, 3, 10),
        ("bytes=-4", 206, 6, 10),
        ("bytes=-999", 206, 0, 10),
        ("bytes=10-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=5-3", 200, 0, 10),
        ("bytes=0-1,3-4", 200, 0, 10),
        ("bytes=-", 200, 0, 10),
        ("bytes=", 200, 0, 10),
        ("lines=1-2", 200, 0, 10),
        ("bytes=" + "9" * 5000 + "-", 200, 0, 10),
        ("bytes=٣-٤", 200, 0, 10),
    ],
)
def test_a_range(asked: str, status: int, start: int, end: int) -> None:
    part = wanted_part({"range": asked}, "GET", TAG, 10)
    assert (part.status, part.start, part.end) == (status, start, end)


def test_conditions_come_first() -> None:
    def status(method: str = "GET", **headers: str) -> int:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return wanted_part({"range": "bytes=0-1", **named}, method, TAG, 10).status

    assert status(if_none_match=TAG) == status(if_none_match='"x", W/"abc"') == status(if_none_match="*") == 304
    assert status(if_none_match='"x"') == 206
    assert status(if_range=TAG) == 206
    assert status(if_range='W/"abc"') == status(if_range="Sat, 21 Nov 2026 10:00:00 GMT") == 200
    assert status("HEAD") == 200


def test_an_empty_file_has_no_parts() -> None:
    assert wanted_part({"range": "bytes=0-"}, "GET", TAG, 0).status == 416
    assert wanted_part({}, "GET", TAG, 0).headers == {"Content-Length": "0"}


def test_what_an_answer_says_of_its_part() -> None:
    assert wanted_part({"range": "bytes=3-5"}, "GET", TAG, 10).headers == {
        "Content-Length": "3",
        "Content-Range": "bytes 3-5/10",
    }
    assert wanted_part({"range": "bytes=99-"}, "GET", TAG, 10).headers == {"Content-Range": "bytes */10"}
