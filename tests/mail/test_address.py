"""Addresses: strict going out, tolerant coming in, and never another mailbox than the one that is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import AddressError
from core.mail.address import (
    _is_everyday,
    _validated,
    domain_of,
    envelope_address,
    format_mailbox,
    header_text,
    needs_smtputf8,
    normalised,
    parse_address,
    tolerant_addresses,
)
from core.mail.values import Mailbox
from tests.budget import within

HOSTILE = [
    # SECURITY.md section 2 and S2, I10
    "alice@example.org)bob@evil.test",
    '"v\r\nRCPT TO:<evil@x.test>\r\n"@x.test',
    "v@x.test,evil@x.test",
    "v@x.test;evil@x.test",
    "v@x.test evil@x.test",
    "=?utf-8?q?a=40b?=c@host.com",
    "a@b.c> SIZE=1",
    '"a@evil>"@x.test',
    "-oQ/tmp@x",
    "x" * 300 + "@x.test",
    "a@" + "x" * 300 + ".test",
    "a@b\0.test",
    "a@b.test\r\nBcc: c@d.test",
    "a@b.test\n",
    "a@b.test\u2028",
    "a@\uff42.test",
    "mi\u212ae@example.org",
    "a@exam\u00adple.com",
    "a@example\u3002com",
    "a@b.test.",
    "a@b..test",
    ".a@b.test",
    "a.@b.test",
    "a@-b.test",
    "a@[127.0.0.1]",
    "a@127.0.0.1",
    "a@b@c.test",
    "@b.test:a@c.test",
    "<@b.test:a@c.test>",
    "undisclosed-recipients:;",
    "group: a@b.test;",
    "a",
    "@",
    "",
    "<>",
    "a@",
    "@b",
    "Name <a@b.test> <c@d.test>",
    "Name <a@b.test>, c@d.test",
    "c@d.test <a@b.test>",
    'Name" <a@b.test>',
    "a(comment)@b.test",
    "(" * 500 + "a@b.test",
    "\ud800@x.test",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_s2_a_hostile_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text)
    with pytest.raises(AddressError):
        envelope_address(text)


@pytest.mark.parametrize(
    ("text", "mailbox"),
    [
        ("alice@example.org", Mailbox("", "alice@example.org")),
        ("  Alice <alice@example.org> ", Mailbox("Alice", "alice@example.org")),
        ('"Doe, \\"Al\\" \\\\" <a@EXAMPLE.org>', Mailbox('Doe, "Al" \\', "a@example.org")),
        ("Bob (Sales) <b@x.test>", Mailbox("Bob (Sales)", "b@x.test")),
        ("a@localhost", Mailbox("", "a@localhost")),
        ("a@printer.local", Mailbox("", "a@printer.local")),
        ("MixedCase@x.test", Mailbox("", "MixedCase@x.test")),
        ("a%b!c@x.test", Mailbox("", "a%b!c@x.test")),
        ("müller@bücher.test", Mailbox("", "müller@bücher.test")),
    ],
)
def test_one_mailbox_is_read(text: str, mailbox: Mailbox) -> None:
    assert parse_address(text) == mailbox


@pytest.mark.parametrize("text", ["kim@", "kim@acme.test."])
def test_what_has_no_end_is_told_of_its_end(text: str) -> None:
    with pytest.raises(AddressError, match="ends in"):
        parse_address(text)


@given(st.text(max_size=40))
def test_s2_what_is_accepted_goes_out_unchanged(text: str) -> None:
    try:
        address = parse_address(text).address
    except AddressError:
        return
    written = text.strip().rpartition("<")[2].removesuffix(">")
    assert normalised(address) == normalised(written)
    assert parse_address(envelope_address(address)).address == address


def test_the_envelope_takes_the_domain_in_idna_form() -> None:
    assert envelope_address("müller@bücher.test") == "müller@xn--bcher-kva.test"
    assert needs_smtputf8("müller@bücher.test")
    assert not needs_smtputf8("a@bücher.test")
    assert domain_of("a@Bücher.TEST") == "xn--bcher-kva.test"
    assert domain_of("nonsense") == ""


def test_matching_knows_one_mailbox_in_two_spellings_and_two_that_look_alike() -> None:
    assert normalised(" A.B@Bücher.TEST") == "a.b@xn--bcher-kva.test"
    assert normalised("MÜLLER@x.test") == normalised("müller@x.test")
    assert normalised("mi\u212ae@x.test") != normalised("mike@x.test")
    assert normalised("a@\u212aelvin.test") != normalised("a@kelvin.test")
    assert normalised("a@раypal.test") != normalised("a@paypal.test")
    assert normalised('"Ada.B"@x.test') == "ada.b@x.test"
    assert normalised('"a..b"@x.test') == '"a..b"@x.test'


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("alice@example.org)bob@evil.test", []),
        ('"v\r\nRCPT TO:<evil@x.test>\r\n"@x.test', []),
        ("=?utf-8?q?a=40b?=c@host.com", []),
        ("=?utf-8?q?evil=40x=2Etest=2C?= <c@host.com>", [("evil@x.test,", "c@host.com")]),
        ('"ceo@ours.test" <x@evil.test>', [("ceo@ours.test", "x@evil.test")]),
        ('"ceo@ours.test"', []),
        ("ceo@ours.test <x@evil.test>", [("ceo@ours.test", "x@evil.test")]),
        ("(ceo@ours.test) x@evil.test", [("ceo@ours.test", "x@evil.test")]),
        ("(ceo@ours.test)", []),
        ("<a@x.test> ceo@ours.test", []),
        ("<a@x.test> <ceo@ours.test>", []),
        ("<a@x.test", [("", "a@x.test")]),
        ("a@x.test>", [("", "a@x.test")]),
        ("a@x.test>c", []),
        ("<<a@x.test>>", [("", "a@x.test")]),
        ("Bob <b@x.test, Al <a@x.test>", []),
        ("Bob b@x.test", [("Bob", "b@x.test")]),
        ("b@x.test Bob", []),
        ('"Bob" b@x.test', [("Bob", "b@x.test")]),
        ('"ceo@ours.test" b@x.test', []),
        ("a@x.test b@y.test", []),
        ("'b@x.test'", [("", "b@x.test")]),
        ("<mailto:b@x.test>", [("", "b@x.test")]),
        ("<@relay.test,@b.test:c@d.test>", [("", "c@d.test")]),
        ('"Bob <b@x.test>, Al <a@x.test>', [("Bob", "b@x.test"), ("Al", "a@x.test")]),
        ("Bob <>", []),
        ("<>", []),
        ("a@x.test (Alice (the) Great), b@y.test", [("Alice (the) Great", "a@x.test"), ("", "b@y.test")]),
        ("Group: a@x.test, B <b@y.test>;, c@z.test", [("", "a@x.test"), ("B", "b@y.test"), ("", "c@z.test")]),
        ("undisclosed-recipients:;", []),
        ("a@x.test; b@y.test", [("", "a@x.test"), ("", "b@y.test")]),
        ("Doe, John <j@x.test>", [("Doe, John", "j@x.test")]),
        ("a@x.test, John <j@x.test>", [("", "a@x.test"), ("John", "j@x.test")]),
        ("\u0430@\u043f\u043e\u0447\u0442\u0430.test", [("", "\u0430@\u043f\u043e\u0447\u0442\u0430.test")]),
        ("[Ticket] Bob <b@x.test>", [("[Ticket] Bob", "b@x.test")]),
        ("Müller <m@x.test>", [("Müller", "m@x.test")]),
        ('"a b"@x.test', [("", '"a b"@x.test')]),
        ('"a@evil.test>"@x.test', [("", '"a@evil.test>"@x.test')]),
        ("=?utf-8?b?TcO8bGxlcg==?= <m@x.test>", [("Müller", "m@x.test")]),
        ("=?utf-8?q?a=0D=0ABcc:_evil=40x.test?= <m@x.test>", [("a Bcc: evil@x.test", "m@x.test")]),
    ],
)
def test_i10_the_inbound_reader_gives_the_true_address_or_nothing(header: str, found: list[tuple[str, str]]) -> None:
    assert [(m.name, m.address) for m in tolerant_addresses(header)] == found


@given(st.text(st.sampled_from('ab@.<>(),;:"\\ =?[]\r\n'), max_size=60))
def test_i10_no_input_makes_the_inbound_reader_raise_or_find_what_is_quoted(text: str) -> None:
    for mailbox in tolerant_addresses(text):
        assert mailbox.address in text
        header_text(mailbox.name + mailbox.address)


@pytest.mark.parametrize(
    "piece", ["(", ")", '"', "<", ">", "\\", '"\\', ":", "a@b,", "a ", "a", "=?", "=?a?q?", "=?a?q?b?= "]
)
def test_i14_the_inbound_reader_is_linear(piece: str) -> None:
    with within(2):
        tolerant_addresses(piece * 64_000)


@pytest.mark.parametrize(
    ("mailbox", "header"),
    [
        (Mailbox("", "a@x.test"), "a@x.test"),
        (Mailbox("Alice B", "a@x.test"), "Alice B <a@x.test>"),
        (Mailbox("Doe, A", "a@x.test"), '"Doe, A" <a@x.test>'),
        (Mailbox('A "B" \\', "a@x.test"), '"A \\"B\\" \\\\" <a@x.test>'),
        (Mailbox("Müller", "a@bücher.test"), "=?utf-8?b?TcO8bGxlcg==?= <a@xn--bcher-kva.test>"),
        (Mailbox("=?utf-8?q?x?=", "a@x.test"), "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?= <a@x.test>"),
    ],
)
def test_a_mailbox_is_written(mailbox: Mailbox, header: str) -> None:
    assert format_mailbox(mailbox) == header


@given(st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=80).map(lambda t: " ".join(t.split())))
def test_what_is_written_is_read_back(name: str) -> None:
    mailbox = Mailbox(name, "a@x.test")
    assert tolerant_addresses(format_mailbox(mailbox)) == (mailbox,)


@pytest.mark.parametrize("char", ["\r", "\n", "\0", "\x0b", "\x0c", "\x7f", "\x85", "\u2028", "\u2029", "\udc80"])
def test_s1_one_place_refuses_line_breaks(char: str) -> None:
    with pytest.raises(AddressError, match=f"U\\+{ord(char):04X}"):
        header_text(f"a{char}b")
    assert header_text("a\tb ü") == "a\tb ü"


_PART = st.text(alphabet="abzAZ019-._+'!{|~xn", min_size=1, max_size=12)
_LOCAL_PART = _PART | st.sampled_from(["POSTMASTER", "Postmaster", "info", "abuse"])


@given(st.builds(lambda local, label, top: f"{local}@{label}.{top}", _LOCAL_PART, _PART, _PART))
def test_everyday_addresses_are_read_as_the_library_reads_them(address: str) -> None:
    if _is_everyday(address) and "--" not in address:
        found = _validated(address)
        assert parse_address(address).address == f"{found.local_part}@{found.domain.removesuffix('.test')}"
