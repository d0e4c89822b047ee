"""Whether a mail is our own come back, or goes round in a circle: such mail goes no further.

Reads headers only; decides nothing. RFC 5321 section 6.3 for loops; who wrote a mail is `automatic`'s question.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from core.mail.values import IncomingEmail

LOOP_HEADER = "X-Postroom-Loop"
"""Every mail that leaves carries it, with the tag of the instance that sent it."""

MAX_HOPS = 50


def loop_reason(email: IncomingEmail, instance: str, max_hops: int = MAX_HOPS) -> str | None:
    """Return in words why this mail is going round in a circle, or None.

    `instance` is the tag that our own mails carry in `LOOP_HEADER`.
    """
    if any(tag.strip() == instance for tag in email.headers_named(LOOP_HEADER)):
        return f"it carries our own {LOOP_HEADER}"
    hops = len(email.headers_named("Received"))
    return f"it has passed {hops} servers, more than {max_hops}" if hops > max_hops else None


@lru_cache(maxsize=16)
def loop_tag(secret: str) -> str:
    """Return the tag of the instance with this secret, of which the tag tells nothing."""
    return sha256(b"postroom loop tag:" + secret.encode()).hexdigest()[:16]
