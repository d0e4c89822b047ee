"""How a connection to a mail server is protected: the setting, and the client's side of the handshake.

Certificates are verified against the system's authorities unless the account says otherwise.
"""

from __future__ import annotations

import ssl
from enum import StrEnum
from pathlib import Path


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
