"""Patterns that are compiled at their first use."""

from __future__ import annotations

import pickle
import re
from copy import copy

import pytest

from core.pattern import pattern


def test_it_does_what_a_compiled_one_does() -> None:
    word = pattern(r"[a-z]+", re.IGNORECASE)
    assert word.findall("One two") == re.compile(r"[a-z]+", re.IGNORECASE).findall("One two")
    assert pattern(rb"\d+").sub(b"#", b"a1b22") == b"a#b#"


def test_a_fault_is_told_at_its_first_use() -> None:
    broken = pattern("(")
    with pytest.raises(re.error):
        broken.match("x")


def test_a_copy_is_a_compiled_one() -> None:
    word = pattern("[a-z]+")
    assert copy(word).fullmatch("one")
    assert pickle.loads(pickle.dumps(word)) == re.compile("[a-z]+")
