"""Automatic mail and loops (SECURITY.md I8)."""

from __future__ import annotations

import pytest

from core.mail.guard import LOOP_HEADER, automatic_reason, loop_reason, program_reason
from core.mail.parse import parse


@pytest.mark.parametrize(
    "header",
    [
        "Auto-Submitted: auto-replied",
        "auto-submitted: auto-generated; owner-email=x@y.test",
        "Precedence: bulk",
        "Precedence: auto_reply",
        "X-Auto-Response-Suppress: All",
        "X-Autoreply: yes",
        "X-Autorespond: Out of office",
        "Return-Path: <>",
        "Content-Type: multipart/report; report-type=delivery-status; boundary=x",
        "From: Mail Delivery <MAILER-DAEMON@x.test>",
        "Subject: Automatic reply: I am away",
        "Subject: =?utf-8?q?R=C3=A9ponse_automatique_:_absent?=",
        "Subject: =?utf-8?q?R=C3=A9ponse_automatique=C2=A0:_absent?=",
        "Subject: 自动回复\uff1a我不在",
    ],
)
def test_i8_a_program_is_recognised(header: str) -> None:
    assert automatic_reason(parse(header.encode() + b"\n\n"))


@pytest.mark.parametrize(
    "header",
    [
        "Auto-Submitted: no",
        "Precedence: normal",
        "Return-Path: <a@x.test>",
        "X-Auto-Response-Suppress: None",
        "Subject: Out of office supplies",
        "From: Alice <alice@x.test>",
    ],
)
def test_i8_a_person_is_not_taken_for_one(header: str) -> None:
    assert automatic_reason(parse(header.encode() + b"\n\n")) is None


def test_i8_our_own_mail_and_a_long_way_are_loops() -> None:
    assert loop_reason(parse(f"{LOOP_HEADER}: ours\n\n".encode()), "ours")
    assert loop_reason(parse(f"{LOOP_HEADER}: theirs\n\n".encode()), "ours") is None
    assert loop_reason(parse(b"Received: x\n" * 60 + b"\n"), "ours")
    assert loop_reason(parse(b"Received: x\n" * 5 + b"\n"), "ours") is None
    assert loop_reason(parse(b"Received: x\n" * 5 + b"\n"), "ours", max_hops=4)


@pytest.mark.parametrize("header", ["Precedence: list", "X-Auto-Response-Suppress: DR, OOF, AutoReply"])
def test_i8_what_wants_no_answer_may_have_been_written_by_a_person(header: str) -> None:
    email = parse(header.encode() + b"\n\n")
    assert automatic_reason(email)
    assert program_reason(email) is None
