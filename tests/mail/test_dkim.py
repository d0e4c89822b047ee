"""DKIM: ours signs, an independent library verifies; whatever is tampered with breaks it."""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import UTC, datetime, timedelta

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from core.mail.compose import compose
from core.mail.dkim import (
    Algorithm,
    DkimError,
    SigningKey,
    algorithm_of,
    domains_above,
    new_private_key,
    public_key_of,
    read_private_key,
    record_name,
    record_text,
    sign,
)
from core.mail.values import File, Mailbox, OutgoingEmail

AT = datetime(2024, 3, 1, 9, 30, tzinfo=UTC)
RSA = SigningKey("acme.test", "r1", read_private_key(new_private_key(Algorithm.RSA)))
ED25519 = SigningKey("acme.test", "e1", read_private_key(new_private_key(Algorithm.ED25519)))


def email(**changed: object) -> OutgoingEmail:
    values = {
        "sender": Mailbox("Zoë", "office@acme.test"),
        "to": (Mailbox("", "kim@customer.test"),),
        "subject": "Rechnung über 10 €",
        "message_id": "<1@acme.test>",
        "date": AT,
        "html": "<p>Größe</p>",
        **changed,
    }
    return OutgoingEmail(**values)  # type: ignore[arg-type]


def published(*keys: SigningKey) -> dict[bytes, bytes]:
    return {
        f"{record_name(key.domain, key.selector)}.".encode(): record_text(
            algorithm_of(key.private), public_key_of(key.private)
        ).encode()
        for key in keys
    }


def verified(mail: bytes, *keys: SigningKey) -> list[bool]:
    """Tell of each signature, top to bottom, whether dkimpy finds it good."""
    records = published(*keys)
    count = len(re.findall(rb"^DKIM-Signature:", mail, re.MULTILINE))

    def one(index: int) -> bool:
        try:
            return bool(dkim.DKIM(mail).verify(idx=index, dnsfunc=lambda name, timeout=5: records.get(name)))
        except dkim.DKIMException:
            return False

    return [one(index) for index in range(count)]


def test_each_key_signs() -> None:
    mail = compose(email())
    signed = sign(mail, [RSA, ED25519])
    assert signed.endswith(mail)
    assert verified(signed, RSA, ED25519) == [True, True]
    assert verified(signed, ED25519) == [False, True]


def test_the_same_mail_has_the_same_signatures() -> None:
    mail = compose(email())
    assert sign(mail, [RSA, ED25519]) == sign(mail, [RSA, ED25519])
    assert b" t=%d;" % AT.timestamp() in sign(mail, [RSA])


def test_a_signature_expires_where_its_key_says_so() -> None:
    key = SigningKey("acme.test", "e1", ED25519.private, timedelta(days=10))
    now = compose(email(date=datetime.now(UTC)))
    old = compose(email(date=datetime.now(UTC) - timedelta(days=11)))
    assert verified(sign(now, [key]), key) == [True]
    assert verified(sign(old, [key]), key) == [False]


words = st.text(st.sampled_from('ab .\t\n\r"=<é漢'), max_size=60)
bodies = words | st.sampled_from(["", "\n\n\n", " \n \n", ".\n..\n.", "x" * 3000, "a\n \t\n\n", "trailing  \n\n\n"])
files = st.lists(
    st.builds(
        File,
        st.sampled_from(["Größe.pdf", "a.txt"]),
        st.sampled_from(["application/pdf", "text/plain"]),
        st.binary(max_size=200),
    ),
    max_size=2,
).map(tuple)
mails = st.builds(
    lambda subject, text, html, attachments: compose(
        email(subject=" ".join(subject.split()), text=text, html=html, attachments=attachments)
    ),
    words,
    st.none() | bodies,
    st.none() | bodies,
    files,
)


@given(mails)
@settings(deadline=None)
def test_every_mail_we_write_can_be_signed(mail: bytes) -> None:
    assert verified(sign(mail, [ED25519, RSA]), RSA, ED25519) == [True, True]


raw_lines = st.lists(st.sampled_from([b"", b" ", b"\t", b"a", b"a  b\t ", b".", b" a", b"\xc3\xa9"]), max_size=8)


@given(raw_lines)
@settings(deadline=None)
def test_every_body_has_the_canonical_form_of_the_standard(lines: list[bytes]) -> None:
    body = b"".join(line + b"\r\n" for line in lines)
    mail = b"From: a@acme.test\r\nSubject:  a \t b\r\n\tc\r\nX:\r\n\r\n" + body
    assert verified(sign(mail, [ED25519]), ED25519) == [True]


@pytest.mark.parametrize(
    "added",
    [
        *("From: x@evil.test", "Subject: evil", "To: x@evil.test", "Cc: x@evil.test", "Reply-To: x@evil.test"),
        *("Date: Mon, 1 Jan 2022 00:00:00 +0000", "Message-ID: <x@evil.test>", "Content-Type: text/html"),
        *("MIME-Version: 1.0", "List-Unsubscribe: <https://evil.test>", "List-Unsubscribe-Post: x"),
    ],
)
def test_no_header_can_be_slipped_in(added: str) -> None:
    listed = (("List-Unsubscribe", "<https://acme.test/u>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
    signed = sign(compose(email(headers=listed)), [ED25519])
    line = added.encode() + b"\r\n"
    below = signed.replace(b"MIME-Version:", line + b"MIME-Version:")
    assert verified(signed, ED25519) == [True]
    assert verified(line + signed, ED25519) == [False]
    assert verified(below, ED25519) == [False]


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"office@", b"boss@"), (b"<1@", b"<2@"), (b"Date: Fri", b"Date: Mon"), (b"Gr", b"Kr"), (b"a=ed", b"a=xx")],
)
def test_what_is_changed_is_seen(old: bytes, new: bytes) -> None:
    signed = sign(compose(email()), [ED25519])
    assert old in signed
    assert verified(signed.replace(old, new, 1), ED25519) == [False]


def test_a_relay_may_fold_again_and_add_its_trace() -> None:
    signed = sign(compose(email()), [RSA])
    relayed = b"Received: from x by y;\r\n Fri, 1 Mar 2024 10:00:00 +0000\r\n" + signed.replace(b"To: ", b"to:\r\n\t ")
    assert verified(relayed + b"\r\n\r\n", RSA) == [True]


def test_its_lines_are_short_and_end_in_crlf() -> None:
    mail = compose(email())
    for key in (RSA, ED25519):
        header = sign(mail, [key]).removesuffix(mail)
        assert header.count(b"\n") == header.count(b"\r\n")
        assert max(map(len, header.split(b"\r\n"))) <= 78


def test_a_mail_without_from_is_refused() -> None:
    with pytest.raises(DkimError):
        sign(b"Subject: x\r\n\r\nx\r\n", [RSA])


def test_a_mail_without_a_date_is_signed_without_a_time() -> None:
    for date in (
        b"",
        b"Date: someday\r\n",
        b"Date: Mon, 99 Jan 99999 99:99:99 +0000\r\n",
        b"Date: \xff\r\n",
        b"Date: 1 Jan 1960 00:00:00 +0000\r\n",
    ):
        signed = sign(b"From: a@acme.test\r\n" + date + b"\r\nx\r\n", [ED25519])
        assert b" t=" not in signed
        assert verified(signed, ED25519) == [True]


# The example of RFC 8463, appendix A: the published private keys, and what they publish.

RFC_8463_ED25519 = b"nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
RFC_8463_RECORD = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def test_the_published_key_gives_the_published_record() -> None:
    private = Ed25519PrivateKey.from_private_bytes(b64decode(RFC_8463_ED25519))
    assert record_text(Algorithm.ED25519, public_key_of(private)) == f"v=DKIM1; k=ed25519; p={RFC_8463_RECORD}"


@pytest.mark.parametrize("pem", ["", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_is_none_is_refused(pem: str) -> None:
    with pytest.raises(DkimError, match="cannot be read"):
        read_private_key(pem)


def test_a_short_or_foreign_key_is_refused() -> None:
    for private in (rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP256R1())):
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        with pytest.raises(DkimError, match="RSA of 2048"):
            read_private_key(pem)


def test_a_key_does_not_show_in_a_log() -> None:
    assert "private" not in repr(RSA)


def test_a_parent_domain_may_sign_but_no_top_level_domain() -> None:
    assert list(domains_above("a.b.acme.test")) == ["a.b.acme.test", "b.acme.test", "acme.test"]
    assert list(domains_above("localhost")) == ["localhost"]
