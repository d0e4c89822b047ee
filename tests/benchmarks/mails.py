"""The mails that are measured: HTML with accents and links, made of the same words each time."""

from __future__ import annotations

from typing import NamedTuple

SENDER = "Postroom <office@acme.test>"
_LINE = (
    '<p>Très chère cliente, your order no. 1042 is on its way: <a href="https://shop.test/o/{}">follow it</a>.</p>\n'
)
_TEXT_LINE = "Très chère cliente, your order no. 1042 is on its way, follow it: https://shop.test/o/{}\n\n"


class Body(NamedTuple):
    """What its author wrote of a mail, both ways."""

    html: str
    text: str

    def of(self, number: int) -> Body:
        """Return one that no other is like: what was made for the last ones is remembered."""
        return Body(*(one.replace("1042", str(10_000 + number)) for one in self))


def body_of(bytes_wanted: int) -> Body:
    """Return a body that makes a mail of about that size: six links for 2 kB."""
    count = _lines(bytes_wanted)
    return Body(html_of(bytes_wanted), "Votre commande\n\n" + "".join(map(_TEXT_LINE.format, range(count))))


def html_of(bytes_wanted: int) -> str:
    """Return the HTML alone of such a mail, for one whose plain text part is made from it."""
    return "<h1>Votre commande</h1>\n" + "".join(map(_LINE.format, range(_lines(bytes_wanted))))


def _lines(bytes_wanted: int) -> int:
    return max(1, round((bytes_wanted - 500) / 250))


def recipient(number: int) -> str:
    return f"kim{number}@customer.test"
