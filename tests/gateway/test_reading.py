"""Reading a mail: what it holds of ours."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize("scheme", ["data:image/gif", "DATA:Image/GIF"])
def test_a_picture_inside_the_html_becomes_a_file_in_any_case(scheme: str) -> None:
    html = f'<p style="color:red">Größe: <img src="{scheme};base64,R0lGODlhAQABAAAAACw="> 10:30</p>'
    raw = f"From: kim@x.example\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n".encode()
    received = read(raw, "test:1", Terms(frozenset(), 50))
    (picture,) = received.files
    assert picture.content.startswith(b"GIF89a")
    assert f'src="cid:{picture.content_id}"' in received.html
