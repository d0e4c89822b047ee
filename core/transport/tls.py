"""How a connection to a mail server is protected: the setting, and the client's side of the handshake.

Certificates are verified against the system's authorities unless the account says otherwise.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

_IMPLICIT_PORTS = frozenset({465, 993, 995})
_PLAIN_PORTS = frozenset({25, 110, 143, 587, 2525})
"""The ports where a conversation begins in plain text, so that TLS can only come by STARTTLS."""


class Tls(StrEnum):
    """What an account asks of a connection; `none` is the operator's word, never a fallback."""

    AUTO = "auto"
    """Implicit on the port made for it; else STARTTLS, required as soon as there is a password to protect."""
    IMPLICIT = "implicit"
    """TLS from the first byte (RFC 8314)."""
    STARTTLS = "starttls"
    """Upgraded by STARTTLS (RFC 3207, RFC 2595), or the connection is given up."""
    NONE = "none"
    """Plain text; a password then goes to a loopback address only."""


def tls_of(host: str, port: int, *, usessl: bool, starttls: bool) -> Tls:
    """Return what two switches mean on a port; with neither, a password goes without TLS to this machine only."""
    if port in _IMPLICIT_PORTS:
        return Tls.IMPLICIT
    if starttls or (usessl and port in _PLAIN_PORTS):
        return Tls.STARTTLS
    if usessl:
        return Tls.IMPLICIT
    return Tls.NONE if _is_here(host) else Tls.AUTO


def _is_here(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host.casefold() == "localhost"


def client_context(verify: bool, ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or later; `ca_file` (PEM) is trusted besides the system's authorities."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
