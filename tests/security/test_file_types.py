"""I20: what a stranger's file is, its bytes say; what a browser would open is bytes to it, and only ever saved."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from core.gateway.reading import Terms, read
from core.mail.file_type import content_type_of

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
HTML = b"<!doctype html><script>alert(1)</script>"
XML = b'<?xml version="1.0"?><x xmlns:h="http://www.w3.org/1999/xhtml"><h:script>alert(1)</h:script></x>'
POLYGLOT = b"GIF89a/*" + b"\0" * 8 + b"*/=1;alert(1)//"
PDF = b"%PDF-1.7\n1 0 obj<</S/JavaScript/JS(app.alert(1))>>endobj"
BYTES = "application/octet-stream"


@pytest.mark.parametrize(
    ("said", "content", "kept"),
    [
        ("image/svg+xml", SVG, BYTES),
        ("image/png", SVG, BYTES),
        ("text/html", HTML, BYTES),
        ("image/jpeg", HTML, BYTES),
        ("application/xhtml+xml", XML, BYTES),
        ("text/xml", XML, BYTES),
        ("application/xml", XML, BYTES),
        ("TEXT/HTML".lower(), HTML, BYTES),
        ("text/javascript", POLYGLOT, "image/gif"),
        ("text/html", POLYGLOT, "image/gif"),
        ("text/html", PDF, "application/pdf"),
        ("application/pdf", HTML, BYTES),
        ("image/png", b"\x89PNG\r\n\x1a\n" + b"\0" * 16, "image/png"),
        ("application/javascript", b"alert(1)", BYTES),
        ("application/pdf", b"MZ\x90\0" + b"\0" * 60, "application/x-msdownload"),
        ("text/plain", b"MZ and BM are two letters each", "text/plain"),
        ("text/plain; charset=utf-8", b"Hello.", "text/plain"),
        ("no type at all", b"Hello.", BYTES),
        ("application/zip", b"PK\x03\x04", "application/zip"),
        ("x" * 500, b"x", BYTES),
    ],
)
def test_i20_a_type_is_what_the_bytes_show(said: str, content: bytes, kept: str) -> None:
    assert content_type_of(content, said) == kept


@pytest.mark.parametrize("name", ["a.html", "../../etc/passwd", "a\u202egnp.exe", "CON.svg", "a\r\nX: y.svg"])
def test_i20_a_file_of_a_mail_is_kept_with_its_own_type_and_a_safe_name(name: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "eve@evil.test", "leads@our.test", "Picture"
    mail.set_content("Look.")
    mail.add_attachment(SVG, maintype="image", subtype="png", filename="NAME")
    raw = mail.as_bytes().replace(b'"NAME"', b'"' + name.encode() + b'"')
    (file,) = read(raw, "test:1", Terms(frozenset({"our.test"}), 50)).files
    assert (file.content, file.content_type) == (SVG, BYTES)
    assert not set(file.name) & set("/\\\r\n\u202e\0")
