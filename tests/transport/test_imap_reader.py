"""Reading responses and FETCH answers: the same whatever the network cuts, and never more than two outcomes."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imap_tools.imap_utf7 import utf7_decode

from core.errors import ConfigError
from core.transport.imap_fetch import batches, fetch_items, mail_of
from core.transport.imap_names import folder_argument, modified_utf7, quoted, uid_set
from core.transport.imap_reader import Response, ResponseError, ResponseReader

PLENTY = 1_000_000
literals = st.lists(st.binary(max_size=200), max_size=4)
uids = st.lists(st.integers(1, 2**32 - 1), min_size=1)


def read(chunks: list[bytes], allowance_bytes: int = PLENTY) -> list[Response]:
    reader = ResponseReader(allowance_bytes)
    return [response for chunk in chunks for response in reader.feed(chunk)]


def wire(response: Response) -> bytes:
    lines, contents = response[::2], response[1::2]
    return b"".join(b"%b\r\n%b" % pair for pair in zip(lines, contents, strict=False)) + lines[-1] + b"\r\n"


@given(st.lists(literals, max_size=5), st.lists(st.integers(0, 3000)))
def test_responses_are_the_same_wherever_the_network_cuts(mails: list[list[bytes]], cuts: list[int]) -> None:
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
            fetch_items(response)
    except ResponseError:
        pass


@given(st.text(alphabet='()"{}[]\\ *1aNIL', max_size=60))
def test_items_of_any_kind_are_read_or_refused(text: str) -> None:
    try:
        items = fetch_items((b"* 1 FETCH (" + text.encode(),))
        assert items is not None
        mail_of(items, 0)
    except ResponseError:
        pass


def test_items_come_in_any_order_and_form() -> None:
    items = fetch_items(
        (
            rb'* 7 fetch (x-gm (1 (NIL) "a\"\\b") FLAGS (\Seen $Label[1) BODY[HEADER.FIELDS (DATE)] {2}',
            b"ab",
            b' uid 9 BODY[] "short" INTERNALDATE " 1-Feb-2026 03:04:05 -0500")',
        )
    )
    assert items is not None
    assert items[b"X-GM"] == [b"1", [None], b'a"\\b']
    mail = mail_of(items, 5)
    assert mail is not None
    assert (mail.uid, set(mail.flags), mail.raw) == (9, {"\\Seen", "$Label[1"}, b"short")
    assert mail.internal_date_at == datetime(2026, 2, 1, 8, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("date", ["", "gibberish", "99-Foo-2026 00:00:00 +0000", "31-Dec-9999 23:59:59 -2359"])
def test_a_date_that_cannot_be_read_is_none(date: str) -> None:
    items = fetch_items((b'* 1 FETCH (UID 1 BODY[] "" INTERNALDATE "%b")' % date.encode(),))
    mail = mail_of(items or {}, 0)
    assert mail is not None
    assert mail.internal_date_at is None


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


@given(st.text())
def test_nothing_quoted_ends_the_line(text: str) -> None:
    try:
        argument = quoted(text)
    except ConfigError:
        return
    assert not set(argument) & set("\r\n\0")
    assert argument[1:-1].replace("\\\\", "").replace('\\"', "").count('"') == 0
