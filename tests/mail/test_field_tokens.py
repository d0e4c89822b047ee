from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.mail.field_tokens import filled_html, filled_line, filled_text, slugs_in
from tests.budget import within


def test_slugs_are_found_in_order_each_once() -> None:
    assert slugs_in("{{field:title}} {{ field:unit-price }}", "{{FIELD: title }} {{field:}}") == (
        "title", "unit_price", "",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["{{title}}", "{field:title}", "{{field title}}", "{{ 7*7 }}", "{% if x %}", "{{field:a"]
)
def test_what_is_no_token_stays(text: str) -> None:
    assert slugs_in(text) == ()
    assert filled_text(text, {"title": "x", "a": "x"}) == text


def test_a_value_is_escaped_in_html_and_never_looked_at_again() -> None:
    values = {"name": '<b>"A" & {{field:secret}}', "secret": "hunter2", "lines": "one\ntwo"}
    assert filled_html("<p>{{field:name}}</p>", values) == "<p>&lt;b&gt;&quot;A&quot; &amp; {{field:secret}}</p>"
    assert filled_html("{{field:lines}}", values) == "one<br>two"
    assert filled_text("{{field:name}}!", values) == '<b>"A" & {{field:secret}}!'


def test_a_line_stays_one() -> None:
    assert filled_line("Re: {{field:name}}", {"name": "a\r\nBcc: x@y.example\0\u2028b"}) == "Re: a Bcc: x@y.example b"


def test_a_mail_that_grows_without_end_is_refused() -> None:
    with pytest.raises(UserError, match="characters"):
        filled_html("{{field:x}}" * 50_000, {"x": "x" * 100_000})


@pytest.mark.parametrize(
    "hostile", ["{{field:" * 50_000, "{{" * 100_000, "{{ field:" + " " * 200_000, "{{field:a" * 50_000]
)
def test_hostile_texts_take_no_time(hostile: str) -> None:
    with within(1):
        slugs_in(hostile)
        filled_text(hostile, {"a": "b"})


@given(st.text(), st.text())
def test_without_tokens_nothing_changes(text: str, value: str) -> None:
    if not slugs_in(text):
        assert filled_text(text, {"name": value}) == filled_html(text, {"name": value}) == text
