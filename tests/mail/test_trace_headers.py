"""What servers wrote on a mail's way: for whom, and whether it came round."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.parse import parse
from core.mail.trace_headers import envelope_of, repeated_delivery


def read(*lines: str) -> bytes:
    return "\r\n".join([*lines, "From: ada@customer.test", "To: friend@customer.test", "", "Hi"]).encode()


@pytest.mark.parametrize(
    "line",
    [
        "X-Envelope-To: leads@our.test",
        "X-RCPT-TO: <leads@our.test>",
        "x-forwarded-to: leads@our.test",
        "X-Original-Recipient: rfc822;leads@our.test",
        "X-Original-Recipient: RFC822; leads@our.test",
        "Apparently-To: leads@our.test",
        "Resent-Bcc: leads@our.test",
        "Received: from a.test (a.test [192.0.2.1]) by mx.our.test (Postfix) with ESMTP id 1 for <leads@our.test>; Mon",
        "Received: from a.test by mx.our.test\r\n\tfor <leads@our.test>; Mon, 2 Jun 2025 09:00:00 +0000",
    ],
)
def test_whom_it_was_delivered_for(line: str) -> None:
    assert envelope_of(parse(read(line))) == ("leads@our.test",)


@pytest.mark.parametrize(
    "line",
    [
        "Received: from a.test by mx.our.test for friend; Mon",
        "Received: from for.test by mx.our.test; leads@our.test",
        "X-Envelope-To: friend@CUSTOMER.test",
        "X-Something: leads@our.test",
    ],
)
def test_what_names_nobody_else(line: str) -> None:
    assert envelope_of(parse(read(line))) == ()


def test_a_second_delivery_counts_once_a_server_was_passed_in_between() -> None:
    here, hop = "Delivered-To: leads@our.test", "Received: from a.test by b.test"
    assert repeated_delivery(parse(read(here, hop, "Delivered-To: <Leads@OUR.test>", hop))) == ("leads@our.test",)
    assert repeated_delivery(parse(read(here, here, hop))) == ()
    assert repeated_delivery(parse(read(here, hop, "Delivered-To: else@our.test"))) == ()


@given(st.binary(max_size=400))
def test_nothing_raises(noise: bytes) -> None:
    email = parse(b"Received: " + noise + b"\r\nX-Original-Recipient: " + noise + b"\r\nDelivered-To: " + noise)
    envelope_of(email)
    repeated_delivery(email)


def test_many_lines_are_read_in_one_go() -> None:
    email = parse(b"".join(b"Received: by x for <%d@our.test>;\r\n" % number for number in range(400)))
    assert len(envelope_of(email)) == 50
