"""What two switches and a port mean for the protection of a connection."""

from __future__ import annotations

import pytest

from core.transport.tls import Tls, tls_of


@pytest.mark.parametrize(
    ("host", "port", "usessl", "starttls", "meant"),
    [
        ("smtp.example.com", 465, False, False, Tls.IMPLICIT),
        ("pop.gmail.com", 995, False, True, Tls.IMPLICIT),
        ("smtp.gmail.com", 587, False, True, Tls.STARTTLS),
        ("smtp.example.com", 587, True, False, Tls.STARTTLS),
        ("smtp.example.com", 4650, True, False, Tls.IMPLICIT),
        ("outlook.office365.com", 587, False, False, Tls.AUTO),
        ("pop3.example.com", 110, False, False, Tls.AUTO),
        ("127.0.0.1", 2525, False, False, Tls.NONE),
        ("::1", 110, False, False, Tls.NONE),
        ("LocalHost", 25, False, True, Tls.STARTTLS),
        ("localhost", 25, False, False, Tls.NONE),
    ],
)
def test_a_password_is_protected_on_every_way_out(
    host: str, port: int, usessl: bool, starttls: bool, meant: Tls
) -> None:
    assert tls_of(host, port, usessl=usessl, starttls=starttls) is meant
