"""Names of files: nothing dangerous in them, nothing telling lost, no two alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.file_name import NAME_MAX_BYTES, numbered, safe_file_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\y.txt", "y.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("invoice\u2066.pdf", "invoice.pdf"),
        ("invoice.pdf.exe", "invoice.pdf.exe"),
        ('a"\r\nX:1.pdf', "aX1.pdf"),
        ("a\0b.pdf", "ab.pdf"),
        ("con.txt", "_con.txt"),
        ("AUX", "_AUX"),
        ("com1 .txt", "_com1 .txt"),
        ("lpt\u00b9.txt", "_lpt\u00b9.txt"),
        ("console.txt", "console.txt"),
        ("...", ""),
        ("", ""),
        ("/", ""),
        ("\ud800x", "x"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("\u65e5" * 100 + ".pdf", "\u65e5" * 65 + ".pdf"),
        ("x" * 300, "x" * 200),
        ("Rechnung M\u00e4rz.pdf", "Rechnung M\u00e4rz.pdf"),
        ("Ma\u0308rz.pdf", "M\u00e4rz.pdf"),
    ],
)
def test_h9_a_file_name_is_made_safe(name: str, safe: str) -> None:
    assert safe_file_name(name) == safe


@given(st.text(max_size=400))
def test_h9_whatever_the_name_it_fits_and_stays_the_same_when_made_safe_again(name: str) -> None:
    safe = safe_file_name(name)
    assert len(safe.encode()) <= NAME_MAX_BYTES + 1
    assert not set(safe) & set('/\\<>:"|?*\r\n\0')
    assert safe_file_name(safe) == safe


def test_names_that_are_alike_are_numbered() -> None:
    names = ["a.pdf", "A.pdf", "a.pdf", "a (2).pdf", "b", "b", ".x", ".x"]
    assert list(numbered(names)) == ["a.pdf", "A (2).pdf", "a (3).pdf", "a (2) (2).pdf", "b", "b (2)", ".x", ".x (2)"]


@given(st.lists(st.sampled_from(["a.b", "A.B", "a (2).b", "a", "a (2)", "a (3)"]), max_size=30))
def test_no_two_names_are_alike(names: list[str]) -> None:
    assert len({name.lower() for name in numbered(names)}) == len(names)
