"""Tracked HTML: what is wrapped, what is left, and that nothing but targets changes."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.tracking import CLICK_PATH, OPEN_PATH, Tracker, links_of, location, pixel_of, tracker, untracked

BASE = "https://mail.example"
TRACKER = Tracker(BASE, ("secret",))
_PIXEL = re.compile(rf'<img src="{BASE}{OPEN_PATH}([\w-]{{32}})" alt="" width="1" height="1" style="[^"]*">')
_WRAPPED = re.compile(rf"{BASE}{CLICK_PATH}([\w-]{{32}})\?url=([\w%:/.~-]*)")


def wrapped(html: str, delivery_id: int = 7) -> list[str]:
    """Return the targets of the wrapped links, each checked to lead there and nowhere else."""
    found = [(token, unquote(url)) for token, url in _WRAPPED.findall(str(TRACKER.woven(html, delivery_id)))]
    for token, url in found:
        assert TRACKER.clicked(token, url) == delivery_id
        assert TRACKER.clicked(token, url + "x") is None
    return [url for _, url in found]


@pytest.mark.parametrize(
    ("html", "targets"),
    [
        ('<a href="https://x.example/a?b=1#c">go</a>', ["https://x.example/a?b=1#c"]),
        ("<a href='http://x.example'>go</a>", ["http://x.example"]),
        ("<a href=https://x.example/a>go</a>", ["https://x.example/a"]),
        ("<A CLASS=b HREF = \n 'HTTPS://X.example/a'>go</A>", ["HTTPS://X.example/a"]),
        ('<area shape="rect" href="https://x.example/m">', ["https://x.example/m"]),
        ('<a\nhref="https://x.example/"/>', ["https://x.example/"]),
        ('<a/href="https://x.example/">', ["https://x.example/"]),
        ('<a href="https://x.example/?a=1&amp;b=2">', ["https://x.example/?a=1&b=2"]),
        ('<a href="https://x.example/?a=1&b=2&copy=3&lt=4">', ["https://x.example/?a=1&b=2&copy=3&lt=4"]),
        ('<a href="https://x.example/&#x2F;&#38;&eacute;&eacute">', ["https://x.example//&éé"]),
        ('<a href="https://x.example/&notit;&nosuch;&">', ["https://x.example/&notit;&nosuch;&"]),
        ('<a href="https://münchen.example/straße?q=ü">', ["https://münchen.example/straße?q=ü"]),
        ('<a href="https://x.example/%C3%BC+1">', ["https://x.example/%C3%BC+1"]),
        ('<a href="https://x.example/1" href="https://x.example/2">', ["https://x.example/1"]),
        ('<p title="<a href=\'https://x.example/no\'>"><a href="https://x.example/yes">', ["https://x.example/yes"]),
        ("<p it's><a href='https://x.example/yes'>it's</a>", ["https://x.example/yes"]),
        ('<!--[if !mso]><!--><a href="https://x.example/all">go</a><!--<![endif]-->', ["https://x.example/all"]),
        ('<![if !mso]><a href="https://x.example/all">go</a><![endif]>', ["https://x.example/all"]),
        ('<!--><a href="https://x.example/all">go</a>-->', ["https://x.example/all"]),
        ('<noscript><a href="https://x.example/all">go</a></noscript>', ["https://x.example/all"]),
        ('a < b <a href="https://x.example/all">go</a>', ["https://x.example/all"]),
    ],
)  # fmt: skip
def test_a_link_is_wrapped_with_its_target_as_the_reader_s_program_reads_it(html: str, targets: list[str]) -> None:
    assert wrapped(html) == targets
    assert links_of(html) == set(targets)


@pytest.mark.parametrize(
    "html",
    [
        '<a href="mailto:a@x.example">',
        '<a href="tel:+41">',
        '<a href="#top">',
        '<a href="/relative">',
        '<a href="//x.example/">',
        '<a href="">',
        "<a href>",
        "<a href=>",
        '<a href="javascript:alert(1)">',
        '<a href="{{ object.link }}">',
        '<a href="https://x.example/{{ object.id }}">',
        '<a href="https://x.example\\@evil.example/">',
        '<a href="https:\\\\x.example">',
        '<a href="https:///x.example">',
        '<a href="https://x.example/a\nb">',
        '<a href=" https://x.example/">',
        '<a data-no-track href="https://x.example/">',
        '<a href="https://x.example/" DATA-NO-TRACK="1">',
        f'<a href="{BASE}{CLICK_PATH}abc?url=https://x.example">',
        f'<a href="{BASE}/unsubscribe/abc">',
        '<a data-href="https://x.example/">',
        '<abbr href="https://x.example/">',
        '<link href="https://x.example/style.css">',
        '<img src="https://x.example/a.png">',
        '<!-- <a href="https://x.example/"> -->',
        '<!--[if mso]><v:roundrect href="https://x.example/"><a href="https://x.example/"><![endif]-->',
        '<style>a::after { content: "<a href=https://x.example/>" }</style>',
        '<title><a href="https://x.example/"></title>',
        '<a href="https://x.example/',
        '<a href="https://x.example/>',
        '<a href="https://x.example/" title="x>',
        '<a\u00a0href="https://x.example/">',
        f'<a href="https://x.example/{"a" * 4000}">',
    ],
)
def test_everything_else_is_left_as_it_is(html: str) -> None:
    assert wrapped(html) == []
    assert _PIXEL.sub("", str(TRACKER.woven(html, 7))) == html


def test_the_pixel_stands_at_the_end_of_the_body() -> None:
    html = "<html><body><p>Hi</p><!-- </body> --></BODY ></html>"
    rewritten = str(TRACKER.woven(html, 9))
    (token,) = _PIXEL.findall(rewritten)
    assert TRACKER.opened(token) == 9
    assert rewritten.index("<img") == html.index("</BODY")
    assert _PIXEL.fullmatch(str(TRACKER.woven("", 9)))


_PIECES = st.lists(
    st.one_of(
        st.sampled_from([
            *("<a ", "<area ", "<A\n", "<p ", "</a>", "</body>", "<body>", ">", "/", "=", " ", "'", '"', "<", "&", ";"),
            *('href="', "href='", "href=", "HREF = ", "https://x.example/", "http://y.example", "?a=1&amp;b=2", "#"),
            *("<!--", "-->", "--!>", "<![endif]-->", "<style>", "</style>", "<title>", "</title ", "&eacute;"),
            *("&copy=", "mailto:a@b.example", "data-no-track ", "{{ x }}", "é", "\r\n", "\\", "\0"),
        ]),
        st.text(max_size=5),
    ),
    max_size=40,
).map("".join)  # fmt: skip


@given(_PIECES, st.integers(0, 2**63 - 1))
def test_taking_the_tracking_away_gives_the_html_back(html: str, delivery_id: int) -> None:
    rewritten = str(TRACKER.woven(html, delivery_id))
    assert len(_PIXEL.findall(rewritten)) == 1
    targets = wrapped(html, delivery_id)
    stripped = _WRAPPED.sub(lambda link: unquote(link[2]), _PIXEL.sub("", rewritten))
    # What a reference stood for is a character by now; nothing else differs.
    assert _read(stripped) == _read(html)
    if "&" not in html:
        assert stripped == html
    assert set(targets) == links_of(html)
    assert all(location(target) for target in targets)


def test_a_pixel_may_be_a_png() -> None:
    rewritten = str(TRACKER.woven("<p>x</p>", 7, png=True))
    (path,) = re.findall(r'src="([^"]*)"', rewritten)
    assert path == f"{BASE}/email/pixel/{TRACKER.token(7)}.png"
    assert str(TRACKER.woven("<p>x</p>", 7)) != rewritten


@given(_PIECES, st.booleans())
def test_a_quotation_leads_straight_and_loads_nothing(html: str, png: bool) -> None:
    rewritten = str(TRACKER.woven(html, 7, png=png))
    assert TRACKER.opened(pixel_of(rewritten) or "") == 7
    quoted = untracked(rewritten, BASE + "/")
    assert CLICK_PATH not in quoted
    assert pixel_of(quoted) is None
    assert links_of(quoted) >= links_of(html)
    assert untracked(rewritten, "") == rewritten


def test_only_what_could_be_a_link_of_ours_is_made_straight() -> None:
    token = "A" * 32
    for url in ("javascript:alert(1)", "//evil.example", "%22onclick=1"):
        link = f"{BASE}{CLICK_PATH}{token}?url={url}"
        assert untracked(f'<a href="{link}">', BASE) == f'<a href="{link}">'
    text = f"Look <{BASE}{CLICK_PATH}{token}?url=https://x.example/a%26b%22c>."
    assert untracked(text, BASE, is_html=False) == 'Look <https://x.example/a&b"c>.'
    assert untracked(text, BASE) == "Look <https://x.example/a&amp;b&quot;c>."


def _read(html: str) -> str:
    for _ in range(3):  # `&amp;eacute;` is read in steps, here and there.
        html = unescape(html)
    return html


@given(st.integers(0, 2**63 - 1), st.text(max_size=64))
def test_a_token_is_of_one_delivery_and_one_purpose(delivery_id: int, noise: str) -> None:
    pixel = TRACKER.token(delivery_id)
    assert TRACKER.opened(pixel) == delivery_id
    assert TRACKER.clicked(pixel, "") is None
    assert TRACKER.opened(noise) is None
    assert Tracker(BASE, ("another",)).opened(pixel) is None


def test_keys_rotate() -> None:
    old, both = Tracker(BASE, ("old",)), Tracker(BASE, ("new", "old"))
    assert both.opened(old.token(3)) == 3
    assert both.token(3) == Tracker(BASE, ("new",)).token(3)
    assert tracker(BASE, ("new", "old")) is tracker(BASE, ("new", "old"))


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("https://x.example/a?b=%20&c=[1]#d", "https://x.example/a?b=%20&c=[1]#d"),
        ("https://münchen.example:8443/ü", "https://xn--mnchen-3ya.example:8443/%C3%BC"),
        ("javascript:alert(1)", None),
        ("//x.example", None),
        ("https:x.example", None),
        ("https://x.example/\r\nSet-Cookie: a=1", None),
        ("https://x.example/a b", None),
        ("https:///x.example", None),
        ("https://x.example\\@evil.example", None),
        ("https://x.example/" + "a" * 4000, None),
    ],
)
def test_a_location_is_ascii_and_goes_to_the_target_or_is_none(url: str, header: str | None) -> None:
    assert location(url) == header
