"""Signatures checked: our own, and those that a library sharing no code with ours makes; and what must not count."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import dkim  # type: ignore[import-untyped]
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as some

from core.mail.dkim import Algorithm, SigningKey, new_private_key, public_key_of, read_private_key, record_text, sign
from core.mail.dkim_check import MOST_SIGNATURES, Sealed
from core.mail.parse import parse

NOW = datetime.now(UTC)
MAIL = (
    b"From: Ann <ann@acme.test>\r\nTo: kim@b.test\r\nSubject: Two  blanks\r\n and a fold\r\n"
    b"Date: Mon, 04 May 2026 11:00:00 +0000\r\nMessage-ID: <1@acme.test>\r\n\r\nHello \t there\r\n\r\nBye\r\n\r\n\r\n"
)


@lru_cache
def rsa(bits: int = 2048) -> RSAPrivateKey:
    return generate_private_key(65537, bits)


def published(key: RSAPrivateKey, extra: str = "") -> str:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; {extra}p={b64encode(der).decode()}"


def signed(content: bytes = MAIL, key: RSAPrivateKey | None = None, **options: object) -> bytes:
    """Sign as others do."""
    pem = (key or rsa()).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    head = dkim.sign(content, b"sel", b"acme.test", pem, **options)
    return bytes(head) + content


def result(raw: bytes, keys: tuple[str, ...] | None = None, now: datetime = NOW) -> list[tuple[str, str]]:
    sealed = Sealed(raw)
    texts = (published(rsa()),) if keys is None else keys
    found = [sealed.check(signature, texts, now) for signature in sealed.signatures]
    return [(check.result, check.detail) for check in found]


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_what_we_sign_holds(algorithm: Algorithm) -> None:
    private = read_private_key(new_private_key(algorithm))
    raw = sign(MAIL, [SigningKey("acme.test", "sel", private)])
    sealed = Sealed(raw)
    (signature,) = sealed.signatures
    assert signature.key_name == "sel._domainkey.acme.test"
    key = record_text(algorithm, public_key_of(private))
    assert sealed.check(signature, (key,), NOW).result == "pass"
    changed = Sealed(raw.replace(b"Bye", b"Hey"))
    assert changed.check(changed.signatures[0], (key,), NOW).result == "fail"


@pytest.mark.parametrize("header", [b"simple", b"relaxed"])
@pytest.mark.parametrize("body", [b"simple", b"relaxed"])
@pytest.mark.parametrize("content", [MAIL, MAIL.partition(b"Hello")[0], MAIL + b"no end of line", MAIL + b" \t \r\n"])
def test_what_others_sign_holds_in_every_form(header: bytes, body: bytes, content: bytes) -> None:
    raw = signed(content, canonicalize=(header, body))
    assert result(raw) == [("pass", "")]
    assert result(raw.replace(b"\r\n", b"\n")) == [("pass", "")]


def test_relaxed_forms_bear_what_relays_do() -> None:
    raw = signed(MAIL, canonicalize=(b"relaxed", b"relaxed"))
    relayed = raw.replace(b"Two  blanks\r\n and", b"Two blanks and").replace(b"Hello \t there", b"Hello there  ")
    assert result(b"Received: by relay\r\n" + relayed) == [("pass", "")]
    assert result(raw.replace(b"Two  blanks", b"Three blanks"))[0][0] == "fail"


def test_a_second_from_above_is_not_the_one_that_was_signed() -> None:
    raw = signed()
    assert result(b"From: eve@evil.test\r\n" + raw)[0][0] == "permerror"
    assert result(raw.replace(b"From: Ann <ann@acme.test>", b"From: Ann <eve@evil.test>"))[0][0] == "fail"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ((b"a=rsa-sha256", b"a=rsa-sha1"), "does not count"),
        ((b"v=1;", b"v=2;"), "does not count"),
        ((b"s=sel;", b""), "no s"),
        ((b"i=@acme.test", b"i=@evil.test"), "another domain"),
        ((b"d=acme.test;", b"d=acme.test; x=1;"), "expired"),
        ((b"d=acme.test;", b"d=acme.test; x=" + b"9" * 9000 + b"; t=" + b"9" * 9000 + b";"), "future"),
        ((b"d=acme.test;", b"d=acme.test; l=5;"), "part of the body"),
        ((b"c=relaxed/simple", b"c=loose/simple"), "canonical"),
    ],
)
def test_what_does_not_count(change: tuple[bytes, bytes], word: str) -> None:
    raw = re.sub(rb" t=\d+;", b"", signed(canonicalize=(b"relaxed", b"simple")))
    assert change[0] in raw
    ((found, detail),) = result(raw.replace(*change))
    assert found == "permerror"
    assert word in detail


def test_from_must_be_covered() -> None:
    raw = signed()
    listed = re.search(rb"h=([^;]*);", raw)
    assert listed is not None
    without = re.sub(rb"(?i)(:\s*)from\b", b"", b":" + listed[1]).lstrip(b":")
    assert result(raw.replace(listed[1], without))[0] == ("permerror", "It does not cover From.")


@pytest.mark.parametrize(
    ("keys", "found", "word"),
    [
        ((), "permerror", "0 keys"),
        (("v=DKIM1; p=", "v=DKIM1; p="), "permerror", "2 keys"),
        (("v=DKIM1; p=",), "permerror", "revoked"),
        (("v=spf1 -all",), "permerror", "no key"),
        (("v=DKIM1; k=ed25519; p=AAAA",), "permerror", "another kind"),
        (("v=DKIM1; p=!!!",), "permerror", "cannot be read"),
        (("v=DKIM1; h=sha1; p=AAAA",), "permerror", "sha256"),
        (("v=DKIM1; s=tlsrpt; p=AAAA",), "permerror", "not for e-mail"),
    ],
)
def test_what_is_published_must_be_one_key(keys: tuple[str, ...], found: str, word: str) -> None:
    ((outcome, detail),) = result(signed(), keys)
    assert outcome == found
    assert word in detail


def test_a_dns_that_is_away_decides_nothing() -> None:
    sealed = Sealed(signed())
    assert sealed.check(sealed.signatures[0], None, NOW).result == "temperror"


def test_a_short_key_proves_nothing() -> None:
    key = rsa(1024)
    weak = published(key)
    assert result(signed(key=key), (weak,))[0][0] == "pass"  # RFC 8301 section 3.2: 1024 bits must still be verified.
    assert result(signed(), (weak,))[0][0] == "fail"


def test_a_key_for_its_very_domain_does_not_speak_for_a_subdomain() -> None:
    raw = signed(identity=b"ann@sales.acme.test")
    assert result(raw, (published(rsa()),))[0][0] == "pass"
    assert "subdomains" in result(raw, (published(rsa(), "t=s; "),))[0][1]


def test_many_signatures_cost_a_few_questions() -> None:
    head = b"DKIM-Signature: v=1; a=rsa-sha256; d=acme.test; s=x; h=from; bh=x; b=x\r\n"
    assert len(Sealed(head * 500 + MAIL).signatures) == MOST_SIGNATURES


@given(some.binary(max_size=300), some.binary(max_size=300))
def test_no_bytes_raise(value: bytes, body: bytes) -> None:
    sealed = Sealed(b"DKIM-Signature: " + value + b"\r\nFrom: a@b.test\r\n\r\n" + body)
    for signature in sealed.signatures:
        sealed.check(signature, ("v=DKIM1; p=AAAA",), NOW + timedelta(days=1))


@pytest.mark.parametrize("filling", [b" " * 1_000_000, b" \r\n" * 300_000, b"\t \r" * 300_000, b"\r\n" * 500_000])
def test_long_runs_of_nothing_cost_little(filling: bytes) -> None:
    began = datetime.now(UTC)
    result(signed(MAIL)[:-4] + filling)
    assert datetime.now(UTC) - began < timedelta(seconds=5)


REPLAYED = {
    "a blank line of LF alone": b"X-Other: a\nFrom: Boss <boss@acme.test>\n\nSend money\r\n%b",
    "a boundary before the header's end": b"From: boss@acme.test\r\n--x\r\nContent-Type: text/plain\r\n\tEvil\r\n%b",
    "a From beyond what is read": b"From: boss@acme.test\r\nX-Other: " + b"a" * 70_000 + b"\r\n%b",
    "a CR in a blank line": b"From: boss@acme.test\r\n\r\r\nSend money\r\n%b",
    "a signature beyond what is checked": b"From: boss@acme.test\r\nX-Other: " + b"a" * 300_000 + b"\r\n%b",
}


@pytest.mark.parametrize("form", REPLAYED.values(), ids=list(REPLAYED))
def test_no_signature_vouches_for_a_from_that_it_does_not_cover(form: bytes) -> None:
    """Whoever has one mail that a domain signed could put another author before it (SECURITY I6)."""
    key = rsa().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    head = dkim.DKIM(MAIL).sign(b"sel", b"acme.test", key, include_headers=[b"from", b"subject"])
    raw = form.replace(b"%b", head + MAIL)
    assert parse(raw).sender.address == "boss@acme.test"  # type: ignore[union-attr]
    assert "pass" not in [found for found, _ in result(raw)]


def test_a_mail_with_lf_alone_below_what_a_delivery_added_is_checked() -> None:
    assert result(b"Return-Path: <a@acme.test>\r\n" + signed().replace(b"\r\n", b"\n")) == [("pass", "")]
