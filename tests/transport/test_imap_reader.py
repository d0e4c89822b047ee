"""Reading responses and FETCH answers: the same whatever the network cuts, and never more than two outcomes."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imap_tools.imap_utf7 import utf7_decode

from core.errors import ConfigError
from core.transport import imap_reader
from core.transport.imap_fetch import content_of, fetch_items, size_of
from core.transport.imap_list import Folder, folder_of
from core.transport.imap_names import (
    day,
    folder_argument,
    from_modified_utf7,
    modified_utf7,
    quoted,
    uid_set,
    uids_of,
)
from core.transport.imap_reader import Response, ResponseError, ResponseReader
from core.transport.mailbox_items import batches

PLENTY = 1_000_000
literals = st.lists(st.binary(max_size=200), max_size=4)
uids = st.lists(st.integers(1, 2**32 - 1), min_size=1)


def read(chunks: list[bytes], allowance_bytes: int = PLENTY) -> list[Response]:
    reader = ResponseReader(allowance_bytes)
    return [response for chunk in chunks for response in reader.feed(chunk)]


def wire(response: Response) -> bytes:
    lines, contents = response[::2], response[1::2]
    return b"".join(b"%b\r\n%b" % pair for pair in zip(lines, contents, strict=False)) + lines[-1] + b"\r\n"


@given(st.lists(literals, max_size=5), st.lists(st.integers(0, 3000)), st.integers(0, 300))
def test_responses_are_the_same_wherever_the_network_cuts(
    mails: list[list[bytes]], cuts: list[int], long_bytes: int
) -> None:
    responses: list[Response] = []
    for contents in mails:
        pieces = [b"* 1 FETCH (A"]
        for content in contents:
            pieces[-1] += b" {%d}" % len(content)
            pieces += [content, b""]
        pieces[-1] += b")"
        responses.append(tuple(pieces))
    stream = b"".join(map(wire, responses))
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imap_reader, "LONG_LITERAL_BYTES", long_bytes)
        assert read([stream[start:end] for start, end in pairwise(edges)]) == responses


@pytest.mark.parametrize("line", [b"* OK hello {5}", b"* BYE {99999}", b"A1 OK {3}", b"+ {3}", b"* 1 FETCH {a}"])
def test_only_data_announce_literals(line: bytes) -> None:
    assert read([line + b"\r\n"]) == [(line,)]


def test_no_more_is_read_than_allowed() -> None:
    with pytest.raises(ResponseError, match="announces 99999"):
        read([b"* 1 FETCH (BODY[] {99999}\r\n"], allowance_bytes=1000)
    with pytest.raises(ResponseError, match="sends more"):
        read([b"x" * 600, b"x" * 600], allowance_bytes=1000)
    with pytest.raises(ResponseError, match="sends more"):
        read([b"\r\n" * 1000], allowance_bytes=100_000)


@given(st.lists(st.binary(max_size=100), max_size=20))
def test_bytes_of_any_kind_are_read_or_refused(chunks: list[bytes]) -> None:
    try:
        for response in read(chunks):
            content_of(response)
            size_of(response)
            folder_of(response)
    except ResponseError:
        pass


@given(st.text(alphabet='()"{}[]\\ *1aNIL', max_size=60))
def test_items_of_any_kind_are_read_or_refused(text: str) -> None:
    try:
        items = fetch_items((b"* 1 FETCH (" + text.encode(),))
        assert items is not None
        content_of((b"* 1 FETCH (" + text.encode(),))
        folder_of((b"* LIST (" + text.encode(),))
    except ResponseError:
        pass


@pytest.mark.parametrize("last", [b"{1} ", b"{12345678901}"])
def test_a_literal_that_does_not_come_is_refused(last: bytes) -> None:
    with pytest.raises(ResponseError):
        fetch_items((b"* 1 FETCH (BODY[] " + last,))


def test_items_come_in_any_order_and_form() -> None:
    response = (
        rb'* 7 fetch (x-gm (1 (NIL) "a\"\\b") FLAGS (\Seen $Label[1) BODY[HEADER.FIELDS (DATE)] {2}',
        b"ab",
        b' uid 9 BODY[] "short" INTERNALDATE " 1-Feb-2026 03:04:05 -0500")',
    )
    items = fetch_items(response)
    assert items is not None
    assert items[b"X-GM"] == [b"1", [None], b'a"\\b']
    assert content_of(response) == (9, b"short")
    assert content_of((b"* 7 FETCH (UID 9 BODY[] {5}", b"short", b")")) == (9, b"short")
    assert content_of((b"* 7 FETCH (BODY[] {5}", b"short", b" UID 9)")) == (9, b"short")
    assert content_of((b"* 7 FETCH (UID 9 BODY[] NIL)",)) is None
    assert content_of((b"* 7 EXPUNGE",)) is None
    assert size_of((b"* 7 FETCH (UID 9 RFC822.SIZE 5)",)) == (9, 5)
    assert size_of((b"* 7 FETCH (RFC822.SIZE 5 FLAGS () UID 9)",)) == (9, 5)
    assert size_of((b"* 7 FETCH (FLAGS ())",)) is None


@pytest.mark.parametrize(
    ("response", "folder"),
    [
        ((rb'* LIST (\HasNoChildren \Sent) "/" "Sent Items"',), Folder("Sent Items", "sent")),
        ((rb"* list (\Noselect) NIL INBOX",), Folder("INBOX", "", can_be_opened=False)),
        ((rb'* LIST () "." {11}', b"&U,BTFw- R&-D"[:11], b""), Folder("\u53f0\u5317 R&-"[:4] + "&", "")),
        ((rb'* LIST () "/" "a \"b\""',), Folder('a "b"')),
        ((b"* SEARCH 1 2",), None),
    ],
)
def test_folders_are_read_with_their_use(response: Response, folder: Folder | None) -> None:
    assert folder_of(response) == folder


@pytest.mark.parametrize("line", [b"* LIST (", b"* LIST ()", rb'* LIST (\Sent) "/" NIL', b'* LIST () "/" "x'])
def test_a_folder_that_cannot_be_read_is_refused(line: bytes) -> None:
    with pytest.raises(ResponseError):
        folder_of((line,))


def test_a_day_is_written_in_english() -> None:
    assert day(date(2026, 2, 1)) == "1-Feb-2026"


@given(uids, st.integers(1, 10), st.integers(1, 500), st.data())
def test_batches_keep_order_and_limits(wanted: list[int], count: int, limit_bytes: int, data: st.DataObject) -> None:
    sizes = {uid: data.draw(st.integers(0, 300)) for uid in wanted}
    cut = list(batches(sizes, limit_bytes, count))
    assert [uid for batch in cut for uid in batch] == list(sizes)
    assert all(len(batch) <= count for batch in cut)
    assert all(len(batch) == 1 or sum(sizes[uid] for uid in batch) <= limit_bytes for batch in cut)


@given(uids)
def test_a_uid_set_names_each_uid_once(wanted: list[int]) -> None:
    ends = [[int(end) for end in part.split(":")] for part in uid_set(wanted).split(",")]
    assert sum(last - first + 1 for first, *_, last in ([pair[0], *pair] for pair in ends)) == len(set(wanted))
    assert all(any(pair[0] <= uid <= pair[-1] for pair in ends) for uid in wanted)


@given(st.lists(st.integers(1, 5000)))
def test_a_uid_set_is_read_back(wanted: list[int]) -> None:
    assert list(uids_of(uid_set(wanted))) == sorted(set(wanted))


def test_neighbours_are_joined() -> None:
    assert uid_set([9, 3, 1, 2, 7, 3]) == "1:3,7,9"


def test_folder_names_of_the_specification() -> None:
    assert modified_utf7("~peter/mail/台北/日本語") == "~peter/mail/&U,BTFw-/&ZeVnLIqe-"
    assert folder_argument('R&D "x"\\') == '"R&-D \\"x\\"\\\\"'


@given(st.text(st.characters(blacklist_categories=["Cc", "Cs"]), min_size=1))
def test_another_client_reads_our_folder_names(folder: str) -> None:
    encoded = modified_utf7(folder)
    assert encoded.isascii()
    assert utf7_decode(encoded.encode("ascii")) == folder
    assert from_modified_utf7(encoded) == folder


@given(st.text())
def test_nothing_quoted_ends_the_line(text: str) -> None:
    try:
        argument = quoted(text)
    except ConfigError:
        return
    assert not set(argument) & set("\r\n\0")
    assert argument[1:-1].replace("\\\\", "").replace('\\"', "").count('"') == 0
