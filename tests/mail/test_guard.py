"""Loops (SECURITY.md I8)."""

from __future__ import annotations

from core.mail.guard import LOOP_HEADER, loop_reason
from core.mail.parse import parse


def test_i8_our_own_mail_and_a_long_way_are_loops() -> None:
    assert loop_reason(parse(f"{LOOP_HEADER}: ours\n\n".encode()), "ours")
    assert loop_reason(parse(f"{LOOP_HEADER}: theirs\n\n".encode()), "ours") is None
    assert loop_reason(parse(b"Received: x\n" * 60 + b"\n"), "ours")
    assert loop_reason(parse(b"Received: x\n" * 5 + b"\n"), "ours") is None
    assert loop_reason(parse(b"Received: x\n" * 5 + b"\n"), "ours", max_hops=4)
