"""Bodies: harmless HTML, readable text, and no input that takes long."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.body import html_to_text, text_to_html
from core.mail.sanitise import safe_html
from tests.budget import within


def cleaned(html: str, *, remote_images: bool = False) -> str:
    return safe_html(html, lambda cid: f"/files/{cid}" if cid == "logo@x" else None, remote_images=remote_images)


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img/src='x'/onerror=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg onload=alert(1)>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<a href='//evil.test'>x</a>",
    "<iframe src='https://evil.test'></iframe>",
    "<form action='https://evil.test'><input name=x></form>",
    "<base href='https://evil.test'>",
    "<meta http-equiv=refresh content='0;url=https://evil.test'>",
    "<link rel=stylesheet href='https://evil.test/x.css'>",
    "<style>body{background:url(https://evil.test)}</style>",
    "<img src='https://evil.test/p.gif'>",
    "<img srcset='https://evil.test/p.gif 1x'>",
    "<table background='https://evil.test/p.gif'><tr><td background='https://evil.test'></table>",
    "<video poster='https://evil.test/p.gif' src='https://evil.test/v'></video>",
    "<p style='background:url(https://evil.test)'>x",
    "<p style='background-color:u\\72l(https://evil.test)'>x",
    "<p style='list-style-type:url(https://evil.test)'>x",
    "<p style='font:12px/1 image-set(\"https://evil.test\" 1x)'>x",
    "<p style='position:fixed;top:0;z-index:9999'>x",
    "<div id=chatter class=o_form name=body>x</div>",
    "<img src='data:image/svg+xml;base64,AAAA'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<template><script>alert(1)</script></template>",
    "<object data='https://evil.test'></object><embed src='https://evil.test'>",
]
FORBIDDEN = (
    *("script", "onerror", "onload", "evil.test", "url(", "position", "z-index", "<style", "<form", "<input", "<base"),
    *("<meta", "<link", "<iframe", "<object", "<embed", "<svg", "<math", " id=", " class=", " name=", "srcset", "svg"),
)


@pytest.mark.parametrize("html", HOSTILE)
def test_h1_h4_h5_nothing_harmful_is_left(html: str) -> None:
    result = cleaned(html).lower()
    assert not [word for word in FORBIDDEN if word in result]
    assert sorted(cleaned(result)) == sorted(result)


class Seen(HTMLParser):
    """What a browser would be told to do."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


PIECES = st.sampled_from(
    [*HOSTILE, "<", ">", '"', "'", "<!--", "-->", "x", "<b>", "</p>", "<table>", "</title>", "<math>"]
)


@given(st.lists(PIECES, max_size=6).map("".join))
def test_h1_hostile_pieces_together_stay_harmless_and_cleaning_twice_changes_nothing(html: str) -> None:
    once = cleaned(html)
    seen = Seen(once)
    assert seen.tags <= {"a", "b", "img", "p", "div", "table", "tbody", "tr", "td"}
    assert seen.attributes <= {"href", "rel", "target", "title", "style"}
    # An attribute may change its place.
    assert sorted(cleaned(once)) == sorted(once)


def test_formatting_and_inline_images_stay() -> None:
    html = '<p style="color:red">a <b>b</b> <img src="cid:logo@x" alt="l"> <img src="cid:other"></p>'
    assert cleaned(html) == '<p style="color:red">a <b>b</b> <img src="/files/logo@x" alt="l"> <img></p>'
    assert 'src="data:image/png;base64,iVBORw0K"' in cleaned("<img src='data:image/png;base64,iVBORw0K'>")


def test_links_lead_out_without_a_word_about_us() -> None:
    link = cleaned('<a href="https://x.test/?a=1&b=2">x</a>')
    assert 'href="https://x.test/?a=1&amp;b=2"' in link
    assert 'rel="noopener noreferrer nofollow"' in link
    assert 'target="_blank"' in link


def test_h4_remote_images_come_only_when_asked_for() -> None:
    html = '<img src="https://x.test/a.png">'
    assert cleaned(html) == "<img>"
    assert cleaned(html, remote_images=True) == html


BOMBS = {
    "deep": "<div>" * 400_000,
    "deep but few": "<div>" * 9_000,
    "lists": "<li><dd>" * 6_000,
    "tables": "<table><tr><td>" * 6_000,
    "repeated formatting": "".join(f"<font size={n}><p>x" for n in range(4_000)),
    "disguised formatting": "".join(f"<font a='\">' size={n}><p>x" for n in range(4_000)),
    "breaks": "<br>" * 500_000,
    "paragraphs": "<p>" * 600_000,
    "open brackets": "<" * 2_000_000,
    "open tags": "<a " * 600_000,
    "entities": "&nbsp;" * 60_000,
    "ampersands": "&" * 1_900_000,
    "references": "&ZZZZZZZZZZ" * 180_000,
    "apart": "& " * 60_000 + "x" * 1_800_000,
    "comments": "<!--" * 500_000,
    "huge margin": '<div style="margin-top:1000000000em;padding-left:1000000000em">x</div>',
    "huge": "x" * 30_000_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_i8_no_html_takes_long_or_grows(name: str) -> None:
    with within(5):
        result = cleaned(BOMBS[name])
        text = html_to_text(BOMBS[name])
    assert len(result) < 10_000_000
    assert len(text) < 10_000_000


def test_too_deep_html_comes_back_as_its_text() -> None:
    assert cleaned("<div>" * 300 + "words &lt;b&gt;") == "<p>" + " " * 300 + "words &lt;b&gt;</p>"
    assert "words" in html_to_text("<div>" * 5000 + "words")


def test_html_becomes_text_with_its_links() -> None:
    html = "<h1>Invoice</h1><p>Pay <a href='https://x.test/1'>here</a>.</p><ul><li>one<li>two</ul><script>no</script>"
    assert html_to_text(html).split() == ["Invoice", "Pay", "[here](https://x.test/1).", "*", "one", "*", "two"]
    assert html_to_text("") == ""


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a < b\n& c", "a &lt; b<br>\n&amp; c"),
        (
            "see https://x.test/a?b=1&c.",
            'see <a href="https://x.test/a?b=1&amp;c" rel="noopener noreferrer nofollow">https://x.test/a?b=1&amp;c</a>.',
        ),
        ("[1]: javascript:alert(1)", "[1]: javascript:alert(1)"),
        ("data:text/html,x ftp://x.test", "data:text/html,x ftp://x.test"),
    ],
)
def test_h3_text_becomes_html(text: str, html: str) -> None:
    assert text_to_html(text) == html


def test_h3_a_link_cannot_leave_its_attribute() -> None:
    html = text_to_html("http://x\"onmouseover=alert(1) http://x'onclick=1 http://x<script>")
    assert html.count('<a href="http://x" ') == 3
    assert "<script" not in html


@given(st.text(max_size=80))
def test_text_survives_as_html(text: str) -> None:
    assert "<script" not in text_to_html(text + "<script>" + text)
