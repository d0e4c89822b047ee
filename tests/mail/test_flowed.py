"""Flowed and enriched text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.flowed import enriched_to_text, unflowed


@pytest.mark.parametrize(
    ("flowed", "text"),
    [
        ("one line", "one line"),
        ("a \nb", "a b"),
        ("a \nb\n\nc \nd \ne\n", "a b\n\nc d e\n"),
        (" stuffed\n >no quote\n From me", "stuffed\n>no quote\nFrom me"),
        ("a \n> quoted \n> more\nb", "a \n> quoted \n> more\nb"),
        ("text \n-- \nme \nmyself", "text \n-- \nme myself"),
        ("-- \nme", "-- \nme"),
        ("a \n", "a "),
        ("-----BEGIN PGP SIGNED MESSAGE-----\na \nb", "-----BEGIN PGP SIGNED MESSAGE-----\na \nb"),
    ],
)
def test_lines_that_flow_are_one_paragraph(flowed: str, text: str) -> None:
    assert unflowed(flowed, delete_space=False) == text


def test_without_spaces_between_words_none_is_put_in() -> None:
    assert unflowed("日本 \n語", delete_space=True) == "日本語"


@given(st.text(st.sampled_from("ab> -\n"), max_size=100))
def test_no_letter_is_lost(text: str) -> None:
    assert "".join(unflowed(text, delete_space=False).split()) == "".join(text.split())


def test_enriched_text_is_read_without_its_marks() -> None:
    enriched = "<bold>Now</bold> is <color><param>red</param>the</color>\ntime <<x>.\n\nNext"
    assert enriched_to_text(enriched) == "Now is the time <x>.\nNext"
