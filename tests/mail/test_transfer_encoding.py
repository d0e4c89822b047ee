"""Content out of its transfer encoding: what is large and orderly is read where it lies, and says the same."""

from __future__ import annotations

from base64 import encodebytes
from random import Random

import pytest

from core.mail.transfer_encoding import decoded_content

_CONTENT = Random(7).randbytes(1_600_000)
_ENCODED = encodebytes(_CONTENT).replace(b"\n", b"\r\n")


def _decoded(data: bytes, start: int = 0, end: int | None = None) -> bytes:
    return decoded_content(data, start, len(data) if end is None else end, "base64", "application/pdf", [])


def test_a_large_file_is_what_was_sent_and_no_byte_of_what_stands_around_it() -> None:
    assert _decoded(b"=head=" + _ENCODED + b"AAAA", 6, 6 + len(_ENCODED)) == _CONTENT


@pytest.mark.parametrize("disorder", [b"!! \xff", b"\r\n\r\n> ", b"-"])
def test_a_large_file_in_disorder_is_what_was_sent(disorder: bytes) -> None:
    half = len(_ENCODED) // 2
    assert _decoded(_ENCODED[:half] + disorder + _ENCODED[half:]) == _CONTENT


def test_a_large_file_in_two_runs_is_both_of_them() -> None:
    tail = encodebytes(b"twice").replace(b"\n", b"\r\n")
    one = encodebytes(_CONTENT[:-1]).replace(b"\n", b"\r\n")
    assert _decoded(one + tail) == _CONTENT[:-1] + b"twice"


def test_a_large_file_that_breaks_off_keeps_what_is_whole() -> None:
    assert _CONTENT.startswith(_decoded(_ENCODED[: len(_ENCODED) // 2 + 1])[:-3])
