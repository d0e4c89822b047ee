"""Mails as providers wrap them."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.errors import UserError
from core.mail.brought import Brought, brought_in_form, brought_in_json

RAW = "From: kim@b.test\r\nSubject: Grüße\r\n\r\nHallo\r\n"


def amazon(encoding: str, content: str, **receipt: Any) -> bytes:
    message = {
        "notificationType": "Received",
        "mail": {"source": "bounce@b.test", "destination": ["a@our.test", "x@else.test"]},
        "receipt": {"action": {"type": "SNS", "encoding": encoding}, **receipt},
        "content": content,
    }
    return json.dumps({"Type": "Notification", "Message": json.dumps(message)}).encode()


def test_amazon() -> None:
    coded = b64encode(RAW.encode()).decode()
    found = brought_in_json(amazon("BASE64", coded, recipients=["a@our.test"]))
    assert found == Brought(RAW.encode(), "bounce@b.test", ("a@our.test",))
    assert brought_in_json(amazon("UTF-8", RAW)) == Brought(
        RAW.encode(), "bounce@b.test", ("a@our.test", "x@else.test")
    )


def test_postmark() -> None:
    body = json.dumps({"RawEmail": RAW, "OriginalRecipient": "a@our.test"}).encode()
    assert brought_in_json(body) == Brought(RAW.encode(), None, ("a@our.test",))


def test_mailgun() -> None:
    found = brought_in_form({"body-mime": RAW, "recipient": "a@our.test", "sender": "bounce@b.test"})
    assert found == Brought(RAW.encode(), "bounce@b.test", ("a@our.test",))


def test_sendgrid() -> None:
    envelope = json.dumps({"to": ["a@our.test", "b@our.test"], "from": "bounce@b.test"})
    found = brought_in_form({"email": RAW, "envelope": envelope})
    assert found == Brought(RAW.encode(), "bounce@b.test", ("a@our.test", "b@our.test"))
    assert brought_in_form({"email": RAW, "envelope": "["}) == Brought(RAW.encode())
    # An envelope that names no sender is not one of the null sender, whose mail no person wrote.
    for told in ({}, {"from": None}, {"from": []}):
        assert brought_in_form({"email": RAW, "envelope": json.dumps(told)}).return_path is None
    assert brought_in_form({"email": RAW, "envelope": '{"from": ""}'}).return_path == ""


def test_amazon_with_no_base64_is_told() -> None:
    for content in ("aGVsbG8", "é"):
        with pytest.raises(UserError, match="base64"):
            brought_in_json(amazon("BASE64", content))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"Message": 7}', b'{"Message": "x"}', b'{"Message": "{}"}', b"[" * 100_000]
)
def test_json_without_a_mail_is_told(body: bytes) -> None:
    with pytest.raises(UserError):
        brought_in_json(body)


def test_a_form_without_a_mail_is_told() -> None:
    with pytest.raises(UserError, match="post the raw mail"):
        brought_in_form({"html": "<p>Hi</p>", "text": "Hi"})


_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=9),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=9), inner, max_size=3),
)


@given(_JSON, _JSON, _JSON)
def test_no_shape_raises_anything_else(receipt: Any, mail: Any, envelope: Any) -> None:
    message = json.dumps({"content": "x", "receipt": receipt, "mail": mail})
    brought_in_json(json.dumps({"Message": message}).encode())
    brought_in_form({"email": "x", "envelope": json.dumps(envelope)})
