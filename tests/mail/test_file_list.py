"""The files of a stored mail as one text, in both forms."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.mail.file_list import ListedFile, file_list, listed_uuids

ONE, TWO = "a7590409-b792-8f1c-81d0-0191a509d671", "5283dce8-1041-da71-5362-134ba3dc7dfe"


@pytest.mark.parametrize("text", [f"{ONE},{TWO}", f" {ONE.upper()} ; {TWO}\n", f"{ONE},{TWO},{ONE},", f"{ONE} {TWO}"])
def test_uuids_are_read_however_they_are_separated(text: str) -> None:
    assert listed_uuids(text) == (ONE, TWO)


@pytest.mark.parametrize("text", [None, "", "  ", ",;"])
def test_nothing_is_no_file(text: str | None) -> None:
    assert listed_uuids(text) == ()


@pytest.mark.parametrize("text", ["x", f"{ONE},1", "<ArrayOfFile></ArrayOfFile>", f"<hash>{'-' * 36}</hash>"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        listed_uuids(text)


@given(st.lists(st.tuples(st.uuids(), st.text(max_size=30), st.integers(0, 2**40)), min_size=1, max_size=5))
def test_a_list_is_xml_and_is_read_again(files: list[tuple[object, str, int]]) -> None:
    listed = [ListedFile(str(uuid), name, size_bytes) for uuid, name, size_bytes in files]
    text = file_list(listed)
    assert text is not None
    ElementTree.fromstring(text)
    assert listed_uuids(text) == tuple(dict.fromkeys(one.uuid for one in listed))


def test_the_list_says_what_a_reader_expects() -> None:
    text = file_list([ListedFile(ONE, "TEST <7>.pdf", 29223)])
    assert text == (
        "<ArrayOfFile><file><name>TEST &lt;7&gt;.pdf</name><bytes>29223</bytes>"
        f"<hash>{ONE}</hash><extension>.pdf</extension></file></ArrayOfFile>"
    )
    assert file_list([]) is None
