"""Signed tags and tokens: what is made is read back, and nothing else is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from core.mail.address import normalised
from core.mail.return_path import Origin, read_return_tag, return_path
from core.mail.thread import alias_of
from core.mail.unsubscribe import (
    Subscription,
    read_unsubscribe_tag,
    read_unsubscribe_token,
    unsubscribe_address,
    unsubscribe_token,
    unsubscribe_url,
)

KEYS = ("new key", "old key")
IDS = st.integers(0, 2**63 - 1)


@given(IDS, st.none() | IDS)
def test_a_return_path_says_what_it_was_made_of_in_any_case(message_id: int, delivery_id: int | None) -> None:
    address = return_path(KEYS, "bounce", "our.test", message_id, delivery_id)
    local, _, _ = address.partition("@")
    assert len(local) <= 64
    alias, tag = alias_of(address.upper())
    assert alias == "bounce"
    assert read_return_tag(KEYS, tag) == read_return_tag(KEYS, tag.upper()) == Origin(message_id, delivery_id)


@given(st.text(max_size=120))
def test_no_text_is_believed_and_none_raises(text: str) -> None:
    assert read_return_tag(KEYS, text) is None
    assert read_unsubscribe_token(KEYS, text) is None
    assert read_unsubscribe_tag(KEYS, text) is None


@given(st.data())
def test_no_character_of_a_tag_or_token_can_be_changed(data: st.DataObject) -> None:
    tag = alias_of(return_path(KEYS, "bounce", "our.test", 17, 4))[1]
    token = unsubscribe_token(KEYS, "ada@customer.test", "news")
    at = data.draw(st.integers(0, len(tag) - 2))
    other = data.draw(st.sampled_from("abc234-"))
    changed = tag[:at] + other + tag[at + 1 :]
    assert (read_return_tag(KEYS, changed) is not None) == (changed == tag)
    at = data.draw(st.integers(0, len(token) - 2))
    changed = token[:at] + other + token[at + 1 :]
    assert (read_unsubscribe_token(KEYS, changed) is not None) == (changed == token)
    assert read_unsubscribe_token(KEYS, token[: at + 1]) is None


def test_a_tag_is_good_for_one_purpose() -> None:
    bounce = alias_of(return_path(KEYS, "bounce", "our.test", 17, 4))[1]
    leave = alias_of(unsubscribe_address(KEYS, "our.test", 17, 4))[1]
    assert read_unsubscribe_tag(KEYS, leave) == (17, 4)
    assert read_unsubscribe_tag(KEYS, bounce) is None
    assert read_return_tag(KEYS, leave) is None


def test_keys_rotate_and_an_unknown_one_is_not_believed() -> None:
    old = alias_of(return_path(("old key",), "bounce", "our.test", 17))[1]
    assert read_return_tag(KEYS, old) == Origin(17)
    assert read_return_tag(("new key",), old) is None
    assert read_return_tag(("",), alias_of(return_path((" ",), "bounce", "our.test", 17))[1]) is None
    with pytest.raises(ConfigError):
        return_path(("",), "bounce", "our.test", 17)


@given(st.emails(), st.text(st.characters(), max_size=100))
def test_an_unsubscribe_link_says_whose_it_is(address: str, of_list: str) -> None:
    url = unsubscribe_url("https://our.test/", KEYS, address.upper(), of_list)
    base, _, token = url.rpartition("/")
    assert base == "https://our.test/unsubscribe"
    read = read_unsubscribe_token(KEYS, token)
    assert read == Subscription(normalised(address), of_list)
