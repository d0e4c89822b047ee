"""The mails that are measured: HTML with accents and links, made of the same words each time."""

from __future__ import annotations

SENDER = "Postroom <office@acme.test>"
_LINE = (
    '<p>Très chère cliente, your order no. 1042 is on its way: <a href="https://shop.test/o/{}">follow it</a>.</p>\n'
)


def html_of(bytes_wanted: int) -> str:
    """Return a body that makes a mail of about that size, its plain text part included."""
    lines = max(1, round((bytes_wanted - 900) / 220))
    return "<h1>Votre commande</h1>\n" + "".join(map(_LINE.format, range(lines)))


def recipient(number: int) -> str:
    return f"kim{number}@customer.test"
