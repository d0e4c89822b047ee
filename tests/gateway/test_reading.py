"""Reading a mail: what it holds of ours."""

from __future__ import annotations

from core.gateway.reading import Terms, read
from core.mail.tracking import Tracker

BASE = "https://mail.example"


def test_a_quotation_of_ours_counts_nobody_who_reads_it_here() -> None:
    sent = str(Tracker(BASE, ("secret",)).woven('<p>See <a href="https://shop.example/?a=1&amp;b=2">it</a></p>', 7))
    raw = f"From: kim@x.example\r\nContent-Type: text/html\r\n\r\nYes!<blockquote>{sent}</blockquote>\r\n".encode()
    received = read(raw, "test:1", Terms(frozenset(), 50, BASE))
    assert "/track/" not in received.html
    assert '<a href="https://shop.example/?a=1&amp;b=2">it</a>' in received.html
    assert "/track/" not in received.text
    assert "https://shop.example/?a=1&b=2" in received.text
