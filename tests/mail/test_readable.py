"""HTML as a person would read it in plain text."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.body import html_to_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("<div>one</div><div>two</div>", "one\ntwo"),
        ("one<br>two<br><br>three", "one\ntwo\n\nthree"),
        ("  a \n b<b> c</b>\td ", "a b c d"),
        ("a&nbsp;&nbsp;b", "a  b"),
        ("<pre>a  b\n  c</pre>", "a  b\n  c"),
        ("<ol><li>one<li>two<ul><li>deep</ul></ol>", "1. one\n2. two\n  * deep"),
        ("<title>no</title><style>no</style><script>no</script>yes", "yes"),
        ('<a href="https://x.test/1">here</a>', "[here](https://x.test/1)"),
        ('<a href="https://x.test/">https://x.test</a>', "https://x.test"),
        ('<a href="mailto:a@x.test">a@x.test</a>', "a@x.test"),
        ('<a href="javascript:x">here</a>', "here"),
        ('<a href="https://x.test"><img src="logo.png" alt="Logo"></a>', "[Logo](https://x.test)"),
        ("<td>no<td>table", "no\ntable"),
        ("1 &lt; 2 &amp;lt; 3", "1 < 2 &lt; 3"),
        ("", ""),
    ],
)
def test_html_becomes_text(html: str, text: str) -> None:
    assert html_to_text(html) == text


def test_data_stands_in_columns() -> None:
    rows = "<tr><th>Item<th>Price</tr><tr><td>Apple pie<td>10.00</tr>"
    assert html_to_text(f"<table>{rows}</table>") == "Item       Price\nApple pie  10.00"


def test_a_table_that_is_a_design_is_read_cell_by_cell() -> None:
    inner = "<table><tr><td>a<td>b</tr></table>"
    assert html_to_text(f"<table><tr><td><p>one</p><p>two</p><td>{inner}</tr></table>") == "one\n\ntwo\na  b"


def test_ten_times_the_rows_take_no_hundred_times_as_long() -> None:
    def seconds(count: int) -> float:
        html = "<table>" + "".join(f"<tr><td>{number}" for number in range(count)) + "</table>"
        start = process_time()
        html_to_text(html)
        return process_time() - start

    seconds(100)
    assert seconds(20_000) < 30 * seconds(2_000)


PIECES = ["<a href=https://x.test>", "</a>", "<table>", "<tr>", "<td>", "</td>", "</table>", "<pre>", "</pre>", "<li>"]


@given(st.lists(st.sampled_from([*PIECES, "<ul>", "</ul>", "<br>", "<svg>", "</p>", "x", " ", "&#30;", "<"])))
def test_nothing_makes_it_fail(pieces: list[str]) -> None:
    html_to_text("".join(pieces))


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"], exclude_characters="<&")))
def test_words_stay_as_they_are(word: str) -> None:
    assert html_to_text(f"<p>{word}</p>") == word
