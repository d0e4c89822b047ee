"""What cleaning keeps of honest mail, what it says of dishonest links, and how much it held back."""

from __future__ import annotations

import pytest

from core.mail.sanitise import cleaned_html, misleading_host, safe_html


def cleaned(html: str, *, remote_images: bool = False) -> str:
    return safe_html(html, lambda cid: None, remote_images=remote_images)


@pytest.mark.parametrize(
    ("target", "words", "host"),
    [
        ("https://evil.test/login", "https://bank.test/login", "evil.test"),
        ("https://evil.test/", "www.bank.test", "evil.test"),
        ("https://bank.test.evil.test/", "bank.test", "bank.test.evil.test"),
        ("https://bank.co.uk/", "shop.co.uk", "bank.co.uk"),
        ("https://bank.test@evil.test/", "our bank", "evil.test"),
        ("https://xn--bnk-rla.test/", "our bank", "xn--bnk-rla.test"),
        ("https://bänk.test/", "bänk.test", "xn--bnk-qla.test"),
        ("https://click.bank.test/?u=1", "www.bank.test/offers", None),
        ("https://bank.test/", "our offer", None),
        ("https://bank.test/", "see bank.test and evil.test", None),
        ("https://bank.test/", "", None),
        ("mailto:a@bank.test", "evil.test", None),
        ("https://[::1/", "x", "https://[::1/"),
    ],
)
def test_a_link_that_says_another_host_is_told(target: str, words: str, host: str | None) -> None:
    found = misleading_host(target, words)
    assert (found is None) is (host is None)
    assert host is None or found is not None
    if host is not None and "xn--" not in host:
        assert found == host


def test_the_true_host_stands_behind_the_link() -> None:
    html = cleaned(
        '<p>Log in: <a href="https://evil.test/?a=1&amp;b"><b>bank</b>.test</a>, or <a href="https://x.test">here</a>'
    )
    assert "</a> <small>[evil.test]</small>, or" in html
    assert html.count("<small>") == 1
    assert html.count('rel="noopener noreferrer nofollow"') == 2


def test_what_could_load_or_cover_is_left_out_and_the_rest_of_a_style_stays() -> None:
    html = cleaned(
        "<td style=\"color:#fff; background:url('https://x.test/a') #123; font-family:'Segoe UI'; position:fixed\">x"
    )
    assert "url" not in html
    assert "position" not in html
    assert "Segoe UI" in cleaned("<p style=\"background:url(https://x.test);font-family:'Segoe UI',Arial\">x</p>")
    assert cleaned("<p style='background:url(https://x.test)'>x</p>") == "<p>x</p>"
    assert cleaned("<p style='background: url'>x</p>") == "<p>x</p>"
    assert cleaned("<p style='background:#123456 url(//x.test/a)'>x</p>") == '<p style="background-color:#123456">x</p>'
    assert cleaned("<p style='color:red;background:u\\72l(https://x.test)'>x</p>") == "<p>x</p>"


def test_paragraphs_of_outlook_are_known_by_their_class_alone() -> None:
    assert cleaned("<p class='evil MsoNormal'>x</p><p class=evil>y</p>") == '<p class="MsoNormal">x</p><p>y</p>'


def test_what_is_held_back_is_counted() -> None:
    html = (
        "<img src='https://x.test/a.png'><img src='//x.test/b.png'><p style='background:url(http://x.test/c)'>x</p>"
        "<img src='data:image/png;base64,AAAA'><img src='cid:a@b'><a href='https://x.test'>x</a>"
    )
    assert cleaned_html(html, lambda cid: None).held_back == 3
    assert cleaned_html(html, lambda cid: None, remote_images=True).held_back == 1
    assert cleaned_html("<p>x</p>", lambda cid: None).held_back == 0
