"""The frame around a mail: escaped, and only where it is asked for."""

from __future__ import annotations

from core.mail.branding import branded

COMPANY = {"name": "A & B <i>", "color": "#112233", "address": "1 Road\nTown", "website": "", "footer": "Thanks"}


def test_nothing_asked_for_changes_nothing() -> None:
    assert branded("<p>Hi</p>", {}) == "<p>Hi</p>"


def test_a_company_is_escaped_once() -> None:
    html = branded("<p>Hi</p>", {"branding": COMPANY})
    assert "A &amp; B &lt;i&gt;" in html
    assert "1 Road<br>Town<br>Thanks" in html
    assert "border-top:4px solid #112233" in html


def test_a_color_that_is_none_cannot_add_style() -> None:
    html = branded("<p>Hi</p>", {"branding": {**COMPANY, "color": "red;background:url(//evil)"}})
    assert "evil" not in html


def test_the_signature_comes_after_the_body() -> None:
    html = branded("<p>Hi</p>", {"signature": "<p>Anna</p>"})
    assert html.index("Hi") < html.index("Anna")


def test_a_whole_document_is_left_alone() -> None:
    document = "<html><body>Hi</body></html>"
    assert branded(document, {"signature": "x", "branding": COMPANY}) == document
