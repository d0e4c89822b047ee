"""Values with parameters, in the forms of RFC 2231 and in those that programs make up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.parameters import value_and_parameters
from tests.budget import within


@pytest.mark.parametrize(
    ("text", "value", "parameters"),
    [
        ("", "", {}),
        ("Text/Plain", "text/plain", {}),
        ('text/plain; charset="utf-8"', "text/plain", {"charset": "utf-8"}),
        ("text/plain;charset=utf-8;", "text/plain", {"charset": "utf-8"}),
        ("text/plain charset=utf-8", "text/plain", {"charset": "utf-8"}),
        ("text/plain; Charset = utf-8", "text/plain", {"charset": "utf-8"}),
        ("text/plain; charset=a; charset=b", "text/plain", {"charset": "a"}),
        ('multipart/mixed; boundary="a;b=c"', "multipart/mixed", {"boundary": "a;b=c"}),
        ("multipart/mixed;boundary=----=_Part_1", "multipart/mixed", {"boundary": "----=_Part_1"}),
        ("attachment; filename=my file.pdf; size=1", "attachment", {"filename": "my file.pdf", "size": "1"}),
        ('attachment; filename="a.pdf" size=5', "attachment", {"filename": "a.pdf", "size": "5"}),
        ('attachment; filename="a "b" c.pdf"', "attachment", {"filename": 'a "b" c.pdf'}),
        (r'attachment; filename="a\"b\\c.pdf"', "attachment", {"filename": 'a"b\\c.pdf'}),
        (r'attachment; filename="C:\docs\a.pdf"', "attachment", {"filename": r"C:\docs\a.pdf"}),
        ('attachment; filename="unclosed.pdf', "attachment", {"filename": "unclosed.pdf"}),
        ("filename=x.pdf", "", {"filename": "x.pdf"}),
        ("attachment; filename*=utf-8''%e2%82%ac.txt", "attachment", {"filename": "€.txt"}),
        ("attachment; filename*=UTF-8''a.txt; filename=b.txt", "attachment", {"filename": "a.txt"}),
        ("attachment; filename=b.txt; filename*=UTF-8''a.txt", "attachment", {"filename": "a.txt"}),
        ("inline; filename*=iso-8859-1'de'%E4.txt", "inline", {"filename": "ä.txt"}),
        ("inline; filename*=x-evil''%E4.txt", "inline", {"filename": "ä.txt"}),
        ("inline; filename*=%C3%A4.txt", "inline", {"filename": "ä.txt"}),
        ('a; filename*0="long "; filename*1="name.txt"', "a", {"filename": "long name.txt"}),
        ('a; filename*1="b"; filename*0="a"', "a", {"filename": "ab"}),
        ("a; filename*0*=utf-8''%C3; filename*1*=%A4; filename*2=.pdf", "a", {"filename": "ä.pdf"}),
        ("a; filename*0*=utf-8''x'y; filename*2=z", "a", {"filename": "x'yz"}),
        ("a; filename*0=%41; filename*1*=%42", "a", {"filename": "%41B"}),
        ("a;;; b=c;", "a", {"b": "c"}),
    ],
)
def test_parameters_are_read(text: str, value: str, parameters: dict[str, str]) -> None:
    assert value_and_parameters(text) == (value, parameters)


@given(st.text(st.sampled_from("a=;\"'*0%\\ \t/"), max_size=200))
def test_no_text_makes_it_raise(text: str) -> None:
    value_and_parameters(text)


@pytest.mark.parametrize("piece", ["; a=b", '; a="\\', ";", " ", '" ', ' "', " a", "=;", ';a="b', "\\", ";a*1*=b"])
def test_i14_parameters_are_read_in_linear_time(piece: str) -> None:
    with within(1):
        value_and_parameters('text/plain; a="' + piece * 20_000)
        value_and_parameters("text/plain" + piece * 20_000)
