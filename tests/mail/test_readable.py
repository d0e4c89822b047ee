"""HTML as a person would read it in plain text."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.body import html_to_text
from tests.budget import within


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
        ("<P>one</P><Div>two</Div><BR/>three<br />four", "one\n\ntwo\nthree\nfour"),
        ("a<!-- <p>no</p> -->b<!--[if mso]><!-- -->c<!--<![endif]-->d", "abcd"),
        ("<!doctype html>\n<html><head><title>no</title></head>\n<body><p>yes</p></body></html>", "yes"),
        ("<head><style>p > a {}</style>", ""),
        (
            '<a class="x" href="https://x.test/?a=1&amp;copy=2"> here\n</a> and',
            "[here](https://x.test/?a=1&copy=2) and",
        ),
        ("<a href=https://x.test/1>here</a>", "[here](https://x.test/1)"),
        ('<a href="https://x.test/?a=1&copy=2">here</a>', "[here](https://x.test/?a=1&copy=2)"),
        ('<a title="a > b" href="https://x.test/1"><b>he</b>re</a>', "[here](https://x.test/1)"),
        ("<p title='href=\"no\"'>a > b < c</p>", "a > b < c"),
        ("<div><br></div><br>two", "two"),
        ("one<div><br></div><br>two", "one\n\ntwo"),
        ("<o:p>a</o:p><span>b</span><script>no</script>", "ab"),
        ("a\x1fb\x1cc&#31;d", "a b cd"),
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


def test_a_cell_ends_where_the_next_begins_and_a_row_begins_by_itself() -> None:
    assert html_to_text("<table><td>a<td>b</tr><td>c</td><td>d</table>") == "a  b\nc  d"


def test_tables_that_nest_too_deep_are_read_cell_by_cell() -> None:
    deep = "<table><tr><td>" * 50 + "a</td><td>b" + "</td></tr></table>" * 50
    assert html_to_text(deep).split() == ["a", "b"]


def test_ten_times_the_rows_take_no_hundred_times_as_long() -> None:
    """The least of some tries each, since a try can only be held up."""

    def seconds(count: int, turn: int) -> float:
        html = f"<table><!-- {turn} -->" + "".join(f"<tr><td>{number}" for number in range(count)) + "</table>"
        start = process_time()
        html_to_text(html)
        return process_time() - start

    few, many = zip(*((seconds(2_000, turn), seconds(20_000, turn)) for turn in range(4)), strict=True)
    assert min(many) < 30 * min(few)


TIDY = st.recursive(
    st.sampled_from([
        *("words", " x ", "\n", "a&nbsp;b", "1 &lt; 2 &amp; 3", "é", "<b>bold</b>", "<br>", "<hr>"),
        *("<pre>a  b\n c</pre>", "<p>one <b>two</b><br>three</p>", "<p></p>", "<h2>Title</h2>"),
        *('<a href="https://x.test/1">here</a>', '<a class="k" href="https://x.test/?a=1&amp;b=2"> <b>here</b> </a>'),
        *('<a href="#top">up</a>', '<img src="x" alt="Logo">', '<a href="mailto:a@x.test">a@x.test</a>'),
    ]),
    lambda inner: st.tuples(
        st.sampled_from([
            *("<div>{}</div>", "<blockquote>{}</blockquote>"),
            *("<ul><li>{}</li><li>x</li></ul>", "<ol>\n<li>{}</li></ol>"),
            "<table><tr><td>{}</td><td>x</td></tr></table>",
            "<table>\n<tr><td>x</td></tr><tr><th>{}</th></tr></table>",
        ]),
        st.lists(inner, max_size=3).map("".join),
    ).map(lambda made: made[0].format(made[1])),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(TIDY, max_size=4).map("".join))
def test_tidy_html_is_read_as_the_parser_reads_it(html: str) -> None:
    """A script is enough to have the parser put the whole in order first."""
    assert html_to_text(html) == html_to_text(html + "<script></script>")


BOMBS = {
    "attributes": "<a" + ' href="1"' * 200_000 + "<",
    "links without end": '<a href="x" ' * 150_000,
    "a long name": "<" + "a" * 2_000_000 + "><script>",
    "spaces in a tag": "<a" + " " * 2_000_000 + ">",
    "nested tables": "<table><tr><td>" * 1000 + "x " * 900_000 + "</td></tr></table>" * 1000,
    "nested lists": "<ul><li>" * 100_000 + "</li></ul>" * 100_000,
    "comments": "<!---->" * 280_000,
    "heads": "<head>" + "</head " * 280_000,
    "references": "&" * 2_000_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_html_takes_long(name: str) -> None:
    with within(3):
        html_to_text(BOMBS[name])


PIECES = ["<a href=https://x.test>", "</a>", "<table>", "<tr>", "<td>", "</td>", "</table>", "<pre>", "</pre>", "<li>"]


@given(st.lists(st.sampled_from([*PIECES, "<ul>", "</ul>", "<br>", "<svg>", "</p>", "x", " ", "&#30;", "<"])))
def test_nothing_makes_it_fail(pieces: list[str]) -> None:
    html_to_text("".join(pieces))


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"], exclude_characters="<&")))
def test_words_stay_as_they_are(word: str) -> None:
    assert html_to_text(f"<p>{word}</p>") == word
