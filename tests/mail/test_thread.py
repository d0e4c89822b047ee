"""Identifiers and reply tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import AddressError
from core.mail.thread import (
    REPLY_ALIAS,
    alias_of,
    checked_id,
    ids_in,
    message_id,
    references_of,
    reply_address,
    tokens_in,
)

TOKEN = "0123456789abcdef0123456789abcdef"
BASE32 = "abcdefghijklmnopqrstuvwxyz"


def test_a_message_id_is_made() -> None:
    assert message_id("17.abc", "bücher.test") == "<17.abc@xn--bcher-kva.test>"


def test_a_long_conversation_keeps_its_beginning_and_its_end() -> None:
    identifiers = [f"<{number}@x.test>" for number in range(50)]
    assert references_of(identifiers[:20]) == " ".join(identifiers[:20])
    assert references_of(identifiers) == " ".join([identifiers[0], *identifiers[31:]])
    with pytest.raises(AddressError):
        references_of(["<a@b>\r\nX: y"])


@pytest.mark.parametrize(("unique", "domain"), [("a\r\nX: y", "x.test"), ("a@b", "x.test"), ("ü", "x.test"), ("a", "")])
def test_s1_no_hostile_message_id_is_made(unique: str, domain: str) -> None:
    with pytest.raises(AddressError):
        message_id(unique, domain)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("<a@b> <c@d>", ("<a@b>", "<c@d>")),
        ("<a@b><c@d>,<a@b>", ("<a@b>", "<c@d>")),
        ('<a@b> "your mail of Monday" <c@d>', ("<a@b>", "<c@d>")),
        ("<a b@c>", ("<ab@c>",)),
        ("a@b", ("<a@b>",)),
        ("<no-at>", ("<no-at>",)),
        ("<ü@b>", ()),
        ("words only", ()),
        ("<<<", ()),
        ("", ()),
        ("<" + "a" * 2000 + "@b>", ()),
    ],
)
def test_identifiers_are_found(header: str, found: tuple[str, ...]) -> None:
    assert ids_in(header) == found


@given(st.text(max_size=60))
def test_every_identifier_found_may_be_written_again(header: str) -> None:
    assert all(checked_id(found) for found in ids_in(header))


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("catchall+tok@x.test", ("catchall", "tok")),
        ("Leads@x.test", ("leads", "")),
        ("a+b+c@x.test", ("a", "b+c")),
        ("+x@x.test", ("", "x")),
        ("no-at", ("", "")),
    ],
)
def test_an_address_is_cut_at_its_tag(address: str, parts: tuple[str, str]) -> None:
    assert alias_of(address) == parts


@pytest.mark.parametrize("token", [TOKEN, BASE32])
def test_a_reply_address_gives_back_its_token(token: str) -> None:
    address = reply_address(token, "catchall", "ours.test")
    assert tokens_in([address, address.upper()], "CatchAll", "OURS.test") == (token,)


def test_a_reply_address_may_begin_with_reply() -> None:
    address = reply_address(TOKEN, REPLY_ALIAS, "ours.test", "-")
    assert address == f"reply-{TOKEN}@ours.test"
    assert tokens_in([address.upper()], REPLY_ALIAS, "ours.test") == (TOKEN,)


@pytest.mark.parametrize(
    "address",
    [
        f"catchall+{TOKEN[:-1]}@ours.test",
        f"catchall+{TOKEN}0@ours.test",
        f"catchall+{TOKEN}@evil.test",
        f"other+{TOKEN}@ours.test",
        f"catchall{TOKEN}@ours.test",
        f"catchall.{TOKEN}@ours.test",
        f"xcatchall+{TOKEN}@ours.test",
        f"catchall+x+{TOKEN}@ours.test",
        "catchall@ours.test",
        "",
    ],
)
def test_i1_what_is_not_exactly_a_reply_address_has_no_token(address: str) -> None:
    assert tokens_in([address], "catchall", "ours.test") == ()


@pytest.mark.parametrize("token", [TOKEN, BASE32])
@pytest.mark.parametrize(
    "written", ["catchall-{}", "catchall={}", "catchall_{}", "CATCHALL%2B{}", '"catchall+{}"', "catchall+{}+x=y"]
)
def test_a_reply_address_is_known_as_servers_write_it(token: str, written: str) -> None:
    assert tokens_in([written.format(token) + "@ours.test"], "catchall", "ours.test") == (token,)


@pytest.mark.parametrize("token", ["", "abc", TOKEN.upper(), TOKEN + "\n", "1" * 26])
def test_i1_a_weak_token_makes_no_address(token: str) -> None:
    with pytest.raises(AddressError):
        reply_address(token, "catchall", "ours.test")
