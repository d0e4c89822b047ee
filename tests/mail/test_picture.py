"""The size that a picture claims, without unpacking it."""

from __future__ import annotations

import io

import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.picture import pixels_of


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("GIF", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (300, 20), (17, 1000)])
def test_the_size_is_read(form: str, options: dict[str, bool], size: tuple[int, int]) -> None:
    content = io.BytesIO()
    PIL.Image.new("RGB", size).save(content, form, **options)
    assert pixels_of(content.getvalue()) == size[0] * size[1]


def test_a_webp_with_transparency_is_read() -> None:
    content = io.BytesIO()
    PIL.Image.new("RGBA", (40, 30), (1, 2, 3, 4)).save(content, "WEBP")
    assert pixels_of(content.getvalue()) == 1200


@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8", b"\xff\xd8\xff\xe0", b"RIFFxxxxWEBPVP8L"]),
)
def test_any_bytes_are_read(rest: bytes, start: bytes) -> None:
    pixels = pixels_of(start + rest)
    assert pixels is None or pixels >= 0


def test_i13_many_segments_cost_no_more_than_their_bytes() -> None:
    assert pixels_of(b"\xff\xd8" + b"\xff" * 1_000_000) is None
    assert pixels_of(b"\xff\xd8" + b"\xff\xe0\x00\x00" * 250_000) is None
