"""How schemathesis sends bodies of the types that it does not know by itself."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("message/rfc822", "application/offset+octet-stream")
def as_bytes(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Send text and bytes as they are."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
