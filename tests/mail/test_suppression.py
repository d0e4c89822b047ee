"""Addresses as a CSV file: there and back, harmless in a spreadsheet (SECURITY H11), and every fault named."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.suppression import FileRefused, Reason, Suppressed, read_file, write_file

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40).map(str.strip)


@given(st.lists(st.builds(Suppressed, address=st.sampled_from(["a@b.test", "=x@b.test", "+41790000001"]), list=TEXT,
                          reason=st.sampled_from([one.value for one in Reason]), source=TEXT, note=TEXT,
                          expires_at=st.none() | st.datetimes(timezones=st.just(UTC)))))  # fmt: skip
def test_what_is_written_is_read_back(entries: list[Suppressed]) -> None:
    assert read_file(write_file(map(asdict, entries))) == entries


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_h11_no_cell_is_a_formula(start: str) -> None:
    written = write_file([{"address": "a@b.test", "note": f"{start}cmd()"}])
    (_, row) = csv.reader(io.StringIO(written, newline=""))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


def test_a_mere_list_and_other_headings_are_read() -> None:
    assert [one.address for one in read_file("\ufeffa@b.test\n\n c@d.test \n")] == ["a@b.test", "c@d.test"]
    (entry,) = read_file("E-mail,Name,expires_at\na@b.test,Ada,2030-01-02\n")
    assert (entry.address, entry.reason, entry.expires_at) == ("a@b.test", "manual", datetime(2030, 1, 2, tzinfo=UTC))


def test_every_fault_is_named_with_its_line() -> None:
    with pytest.raises(FileRefused) as refused:
        read_file("address,reason,expires_at\na@b.test,hate,\nnobody,,\na@b.test,,soon\na@b.test,,\n")
    assert [fault.partition(":")[0] for fault in refused.value.faults] == ["line 2", "line 3", "line 4"]
    with pytest.raises(FileRefused):
        read_file("nobody\n" * 100_000)


@given(st.text(max_size=200))
def test_nothing_raises_but_its_own_error(text: str) -> None:
    with suppress(FileRefused):
        read_file(text)
