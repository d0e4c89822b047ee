"""The frame around a mail: escaped, and only where it is asked for."""

from __future__ import annotations

from core.mail.branding import branded, branded_text
from core.mail.quotation import split_reply

COMPANY = {"name": "A & B <i>", "color": "#112233", "address": "1 Road\nTown", "website": "", "footer": "Thanks"}


def test_nothing_asked_for_changes_nothing() -> None:
    assert branded("<p>Hi</p>", {}) == "<p>Hi</p>"


def test_a_company_is_escaped_once() -> None:
    html = branded("<p>Hi</p>", {"branding": COMPANY})
    assert "A &amp; B &lt;i&gt;" in html
    assert "1 Road<br>Town<br>Thanks" in html
    assert "border-top:4px solid #112233" in html


def test_a_website_is_a_link_and_nothing_else_becomes_one() -> None:
    html = branded("<p>Hi</p>", {"branding": {**COMPANY, "website": 'https://a.example/"x', "footer": "http://b"}})
    assert '<a href="https://a.example/&quot;x" style="color:#616e7c">https://a.example/&quot;x</a>' in html
    for website in ("a.example", "javascript:alert(1)"):
        assert "<a " not in branded("<p>Hi</p>", {"branding": {**COMPANY, "website": website}})


def test_a_color_that_is_none_cannot_add_style() -> None:
    html = branded("<p>Hi</p>", {"branding": {**COMPANY, "color": "red;background:url(//evil)"}})
    assert "evil" not in html


def test_the_signature_comes_after_the_body() -> None:
    html = branded("<p>Hi</p>", {"signature": "<p>Anna</p>"})
    assert html.index("Hi") < html.index("Anna")


def test_a_whole_document_keeps_its_own_frame() -> None:
    document = "<html><body>Hi</body></html>"
    assert branded(document, {"branding": COMPANY}) == document


def test_a_whole_document_is_signed_where_it_ends() -> None:
    for end in ("</body></html>", "</BODY >\n</html>", "</html>", ""):
        html = branded("<html><body class=x>Hi" + end, {"signature": "<p>Anna</p>", "branding": COMPANY})
        assert html.startswith("<html><body class=x>Hi\n<div")
        assert html.endswith("<p>Anna</p></div>" + end)
    assert branded("<body>Hi" + "</body" * 100_000, {"signature": "Anna"}).endswith("Anna</div>")


def test_a_text_has_its_signature_under_the_two_hyphens_and_the_small_print() -> None:
    text = branded_text("Hi Kim,\nbye\n", {"signature": "<p>Anna &amp; Co<br>Sales</p>", "branding": COMPANY})
    assert text == "Hi Kim,\nbye\n\n-- \nAnna & Co\nSales\n\nA & B <i>\n1 Road\nTown\nThanks"


def test_a_text_without_anything_to_add_is_as_it_was() -> None:
    assert branded_text("Hi\n", {}) == "Hi\n"
    assert branded_text("Hi\n", {"signature": "", "branding": None}) == "Hi\n"


def test_a_reader_folds_the_signature_away() -> None:
    text = branded_text("Hi Kim", {"signature": "Anna", "branding": COMPANY})
    assert split_reply(text).new == "Hi Kim"
