"""Making a mail: its text part, its bytes and its DKIM signatures, beside the library that the tests verify with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import dkim

from core.mail.body import html_to_text
from core.mail.compose import compose
from core.mail.dkim import Algorithm, SigningKey, new_private_key, read_private_key, sign
from core.mail.values import Mailbox, OutgoingEmail
from tests.benchmarks.mails import html_of, recipient
from tests.benchmarks.measure import Row, watch

_SIZES = {"2 kB": 2_000, "50 kB": 50_000}
_BODIES = 64
"""More than are remembered, so that each text part is made anew."""


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    pems = {algorithm: new_private_key(algorithm) for algorithm in Algorithm}
    keys = {name: SigningKey("acme.test", "s1", read_private_key(pem)) for name, pem in pems.items()}
    for size, bytes_wanted in _SIZES.items():
        emails = [_email(bytes_wanted, number) for number in range(_BODIES)]
        mails = [compose(email) for email in emails]
        rounds = 1 if quick else 20
        yield Row(f"text part, {size}", _us(lambda one: html_to_text(one.html), emails, rounds), "CPU us/mail")
        made_us = _us(compose, emails, rounds)
        yield Row(f"compose, {size}", made_us, "CPU us/mail")
        pem = pems[Algorithm.RSA].encode()
        library_us = _us(lambda mail, pem=pem: dkim.sign(mail, b"s1", b"acme.test", pem), mails, 1)
        yield Row(f"dkimpy, RSA, {size}", library_us, "CPU us/mail")
        for name, key in keys.items():
            signed_us = _us(lambda mail, key=key: sign(mail, [key]), mails, rounds)
            yield Row(f"sign, {name}, {size}", signed_us, "CPU us/mail", "<= 0.1 x dkimpy", signed_us / library_us)
            goal = ">= 1000/s per core" if size == "2 kB" else ""
            yield Row(f"compose and sign, {name}, {size}", 1e6 / (made_us + signed_us), "mails/s per core", goal)


def _email(bytes_wanted: int, number: int) -> OutgoingEmail:
    return OutgoingEmail(
        sender=Mailbox("Postroom", "office@acme.test"),
        to=(Mailbox("", recipient(number)),),
        subject="Café",
        message_id=f"<{number}@acme.test>",
        date=datetime(2026, 1, 5, tzinfo=UTC),
        html=html_of(bytes_wanted).replace("1042", str(1000 + number)),
    )


def _us(work: Callable[[Any], object], items: Sequence[Any], rounds: int) -> float:
    with watch() as taken:
        for _ in range(rounds):
            for item in items:
                work(item)
    return taken.cpu_us(rounds * len(items))
