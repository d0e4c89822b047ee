"""Mail that was signed as a whole is read, whatever form its signature has."""

from __future__ import annotations

from base64 import encodebytes
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from core.mail.cms import signed_content
from core.mail.parse import parse

ENTITY = b"Content-Type: text/plain; charset=utf-8\r\n\r\nSigned words: gr\xc3\xbcn\r\n"


def _der() -> bytes:
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a@x.test")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    begins_at, ends_at = datetime(2024, 1, 1, tzinfo=UTC), datetime(2044, 1, 1, tzinfo=UTC)
    certificate = builder.not_valid_before(begins_at).not_valid_after(ends_at).sign(key, hashes.SHA256())
    signing = PKCS7SignatureBuilder().set_data(ENTITY).add_signer(certificate, key, hashes.SHA256())
    return signing.sign(Encoding.DER, [PKCS7Options.Binary])


def _in_pieces() -> bytes:
    """Return what programs write that do not know the length beforehand."""
    octets = b"".join(b"\x04\x14" + ENTITY[at : at + 20].ljust(20) for at in range(0, len(ENTITY), 20))
    content = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x80\x24\x80" + octets + bytes(6)
    signed_data = b"\x30\x80\x02\x01\x01\x31\x80\x30\x80\x05\x00\0\0\0\0\x30\x80" + content + bytes(2)
    return b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80" + signed_data + bytes(4)


DER = _der()
SIGNED = [DER, _in_pieces()]


@pytest.mark.parametrize("signed", SIGNED, ids=["der", "in pieces"])
def test_the_content_is_found_and_the_file_kept(signed: bytes) -> None:
    content = signed_content(signed)
    assert content is not None
    assert content.rstrip() == ENTITY.rstrip()
    head = b"From: a@x.test\nContent-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\n"
    email = parse(head + b"Content-Transfer-Encoding: base64\n\n" + encodebytes(signed))
    assert email.text is not None
    assert email.text.strip() == "Signed words: grün"
    assert [(file.name, file.content) for file in email.files] == [("smime.p7m", signed)]


@pytest.mark.parametrize("signed", SIGNED, ids=["der", "in pieces"])
def test_cut_anywhere_it_is_nothing_or_what_was_signed(signed: bytes) -> None:
    for end in range(0, len(signed), 3):
        assert (signed_content(signed[:end]) or b"").rstrip() in ENTITY


@given(st.sampled_from(SIGNED), st.lists(st.tuples(st.integers(0, 100), st.integers(0, 255)), max_size=6))
def test_no_bytes_make_it_raise(signed: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(signed[:200])
    for at, put in changes:
        changed[at] = put
    signed_content(bytes(changed))


@pytest.mark.parametrize(
    "data", [b"", b"0", b"0\x80", b"0\x84\xff\xff\xff\xff", b"0\xff", b"PK\x03\x04", b"0\x80" * 1000]
)
def test_other_bytes_are_none(data: bytes) -> None:
    assert signed_content(data) is None
