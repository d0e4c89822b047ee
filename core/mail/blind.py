"""What all who read of a mail may read of its blind copies: that there are some, never whose (RFC 5322 section 3.6.3).

Servers repeat addresses in what they answer, so those are taken out of the whole text.
"""

from __future__ import annotations

import re

BLIND = "bcc"
"""The kind of a delivery that no header names."""
_SOMEBODY = "somebody in blind copy"


def unnamed(text: str, *addresses: str) -> str:
    """Return a text without these addresses, however they are spelt."""
    for address in filter(None, addresses):
        text = re.sub(re.escape(address), _SOMEBODY, text, flags=re.IGNORECASE)
    return text
