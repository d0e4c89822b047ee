"""Importance, list, complaint and automatic headers: as the RFCs write them, once, and nothing else through them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from core.errors import AddressError, UserError
from core.mail.compose import compose
from core.mail.optional_headers import optional_headers
from core.mail.values import Mailbox, OutgoingEmail

BREAKS = ("\r", "\n", "\r\n", "\0", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\ud800")


def outgoing(**changed: Any) -> OutgoingEmail:
    values: dict[str, Any] = {
        "sender": Mailbox("Alice", "alice@example.org"),
        "to": (Mailbox("", "bob@example.net"),),
        "subject": "News",
        "message_id": "<1@example.org>",
        "date": datetime(2026, 1, 2, tzinfo=UTC),
        "text": "Hello",
    }
    return OutgoingEmail(**values | changed)


def headers_of(**changed: Any) -> dict[str, str]:
    return dict(optional_headers(outgoing(**changed)))


def test_a_plain_mail_has_none_of_them() -> None:
    assert headers_of() == {}


def test_importance_is_said_in_the_three_ways_that_programs_read() -> None:
    assert headers_of(importance="high") == {"X-Priority": "1 (Highest)", "Importance": "high", "Priority": "urgent"}
    assert headers_of(importance="low") == {"X-Priority": "5 (Lowest)", "Importance": "low", "Priority": "non-urgent"}


def test_one_click_is_promised_for_https_alone() -> None:
    url = "https://post.example/u/abc"
    both = headers_of(unsubscribe_url=url, unsubscribe_mailto="leave+x@example.org")
    assert both == {
        "List-Unsubscribe": f"<{url}>, <mailto:leave+x@example.org>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert headers_of(unsubscribe_url="http://127.0.0.1:8080/u") == {"List-Unsubscribe": "<http://127.0.0.1:8080/u>"}
    assert headers_of(unsubscribe_mailto="a@b.test") == {"List-Unsubscribe": "<mailto:a@b.test>"}


def test_a_link_to_an_address_beyond_ascii_is_percent_encoded() -> None:
    assert headers_of(unsubscribe_mailto="m\u00fcll@b\u00fccher.test") == {
        "List-Unsubscribe": "<mailto:m%C3%BCll@xn--bcher-kva.test>"
    }


@pytest.mark.parametrize("length", [30, 57, 75, 200, 900])
def test_a_long_link_is_never_folded(length: int) -> None:
    url = "https://x.test/".ljust(length, "a")
    raw = compose(outgoing(unsubscribe_url=url, unsubscribe_mailto="leave@example.org"))
    assert f"List-Unsubscribe: <{url}>,".encode() in raw


@pytest.mark.parametrize(
    ("list_id", "written"),
    [
        ("news.example.com", "<news.example.com>"),
        ("Our news <news.example.com>", "Our news <news.example.com>"),
        ('"Our news" <news.example.com>', "Our news <news.example.com>"),
        ("<news.example.com>", "<news.example.com>"),
        ("Neuigkeiten für Köln <n.example.com>", "=?utf-8?b?TmV1aWdrZWl0ZW4gZsO8ciBLw7Zsbg==?= <n.example.com>"),
    ],
)
def test_a_list_has_its_name_and_its_id(list_id: str, written: str) -> None:
    assert headers_of(list_id=list_id) == {"List-Id": written}


def test_automatic_mail_asks_for_no_answer_but_for_bounces() -> None:
    for kind in ("auto-generated", "auto-replied"):
        headers = headers_of(auto_submitted=kind)
        assert headers["Auto-Submitted"] == kind
        assert headers["X-Auto-Response-Suppress"].split(", ") == ["DR", "RN", "NRN", "OOF", "AutoReply"]


@pytest.mark.parametrize(
    "changed",
    [
        {"importance": "urgent"},
        {"auto_submitted": "no"},
        {"auto_submitted": "auto-generated; x"},
        {"unsubscribe_url": "javascript:alert(1)"},
        {"unsubscribe_url": "mailto:a@b.test"},
        {"unsubscribe_url": "https://x.test/a,b"},
        {"unsubscribe_url": "https://x.test/>, <https://evil.test"},
        {"unsubscribe_url": "https://x.test/ a"},
        {"unsubscribe_url": "https://x.test/\u212a"},
        {"unsubscribe_url": "https://x.test/" + "a" * 1000},
        {"unsubscribe_mailto": "a@b.test>, <https://evil.test"},
        {"unsubscribe_mailto": "a@b.test,c@d.test"},
        {"list_id": "localhost"},
        {"list_id": "Our news <news.example.com"},
        {"list_id": "news.example.com>"},
        {"list_id": "<a.b> <c.d>"},
        {"list_id": "a." + "b" * 300},
        {"feedback_id": "a:b:c:d:e"},
        {"feedback_id": "a b"},
        {"feedback_id": "a:"},
        {"feedback_id": "ü"},
    ],
)
def test_what_a_field_cannot_say_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(UserError):
        compose(outgoing(**changed))


@pytest.mark.parametrize("break_", BREAKS)
@pytest.mark.parametrize(
    "made",
    [
        lambda bad: {"importance": "high" + bad},
        lambda bad: {"auto_submitted": "auto-replied" + bad},
        lambda bad: {"unsubscribe_url": "https://x.test/" + bad},
        lambda bad: {"unsubscribe_mailto": f"a{bad}@x.test"},
        lambda bad: {"unsubscribe_mailto": f"a@x.test{bad}"},
        lambda bad: {"list_id": f"News{bad} <news.example.com>"},
        lambda bad: {"list_id": f"news.example.com{bad}"},
        lambda bad: {"feedback_id": f"a:b{bad}"},
    ],
)
@pytest.mark.parametrize("rest", ["", "Bcc: evil@x.test"])
def test_s1_a_line_break_is_refused(break_: str, made: Any, rest: str) -> None:
    with pytest.raises(UserError):
        compose(outgoing(**made(break_ + rest)))


@pytest.mark.parametrize(
    ("field", "value", "header"),
    [
        ("importance", "high", "x-priority"),
        ("unsubscribe_url", "https://x.test/1", "LIST-UNSUBSCRIBE-POST"),
        ("list_id", "a.b", "List-ID"),
        ("feedback_id", "a", "Feedback-Id"),
        ("auto_submitted", "auto-replied", "Auto-Submitted"),
    ],
)
def test_no_extra_header_says_it_again(field: str, value: str, header: str) -> None:
    with pytest.raises(UserError, match="twice"):
        compose(outgoing(**{field: value, "headers": ((header, "x"),)}))


def test_an_extra_header_may_say_what_no_field_says_but_once() -> None:
    assert b"\r\nAuto-Submitted: auto-notified\r\n" in compose(
        outgoing(headers=(("Auto-Submitted", "auto-notified"), ("List-Id", "<a.b>")))
    )
    with pytest.raises(UserError, match="twice"):
        compose(outgoing(headers=(("List-Unsubscribe", "<a:b>"), ("list-unsubscribe", "<c:d>"))))
    with pytest.raises(AddressError):
        compose(outgoing(headers=(("List-Unsubscribe", "<https://x.test>\r\n\r\nevil"),)))
