"""DMARC: which check speaks for the author's domain, and what the domain asks for where none does."""

from __future__ import annotations

import pytest

from core.mail.authentication import Check, Verdict
from core.mail.dmarc import judge
from tests.mail.zone import Zone

pytestmark = pytest.mark.anyio

ZONE = {
    "_dmarc.acme.test": {"TXT": ["v=DMARC1; p=reject; sp=none"]},
    "_dmarc.strict.test": {"TXT": ["v=DMARC1; p=quarantine; adkim=s; aspf=s"]},
    "_dmarc.watch.test": {"TXT": ["v=DMARC1; p=none; rua=mailto:r@watch.test"]},
    "_dmarc.co.test": {"TXT": ["v=DMARC1; psd=y; p=reject"]},
    "_dmarc.shop.co.test": {"TXT": ["v=DMARC1; p=reject"]},
    "_dmarc.own.big.test": {"TXT": ["v=DMARC1; p=reject; psd=n"]},
    "_dmarc.big.test": {"TXT": ["v=DMARC1; p=reject"]},
    "_dmarc.twice.test": {"TXT": ["v=DMARC1; p=reject", "v=DMARC1; p=none"]},
    "_dmarc.odd.test": {"TXT": ["v=DMARC1; p=nonsense"]},
}


def passed(domain: str, method: str = "dkim", result: str = "pass") -> Check:
    return Check(method, result, domain)


@pytest.mark.parametrize(
    ("author", "checks", "verdict"),
    [
        ("acme.test", [passed("acme.test")], Verdict.PASS),
        ("acme.test", [passed("mail.acme.test")], Verdict.PASS),
        ("acme.test", [passed("mail.acme.test", "spf")], Verdict.PASS),
        ("sales.acme.test", [passed("acme.test")], Verdict.PASS),
        ("acme.test", [passed("evil.test")], Verdict.FAIL),
        ("acme.test", [passed("notacme.test")], Verdict.FAIL),
        ("acme.test", [passed("acme.test", result="fail")], Verdict.FAIL),
        ("acme.test", [], Verdict.FAIL),
        ("sales.acme.test", [], Verdict.NONE),
        ("strict.test", [passed("mail.strict.test")], Verdict.FAIL),
        ("strict.test", [passed("strict.test", "spf")], Verdict.PASS),
        ("watch.test", [passed("evil.test")], Verdict.NONE),
        ("shop.co.test", [passed("mail.shop.co.test")], Verdict.PASS),
        ("shop.co.test", [passed("other.co.test")], Verdict.FAIL),
        ("shop.co.test", [passed("co.test")], Verdict.FAIL),
        ("own.big.test", [passed("big.test")], Verdict.FAIL),
        ("twice.test", [], Verdict.NONE),
        ("odd.test", [], Verdict.NONE),
        ("plain.test", [], Verdict.NONE),
        ("plain.test", [passed("plain.test")], Verdict.PASS),
        ("plain.test", [passed("mail.plain.test")], Verdict.NONE),
        ("plain.test", [passed("test")], Verdict.NONE),
        ("", [passed("acme.test")], Verdict.NONE),
        ("acme.test", [passed("acme.test", result="temperror")], Verdict.UNKNOWN),
        ("acme.test", [passed("mail.acme.test", result="temperror")], Verdict.UNKNOWN),
        ("acme.test", [passed("slow.evil.test", result="temperror")], Verdict.FAIL),
    ],
)
async def test_verdicts(author: str, checks: list[Check], verdict: Verdict) -> None:
    assert (await judge(Zone(ZONE), author, checks)).verdict is verdict


async def test_a_dns_that_is_away_leaves_what_needs_no_question() -> None:
    zone = Zone({}, away=["_dmarc.acme.test"])
    assert (await judge(zone, "acme.test", [passed("acme.test")])).verdict is Verdict.PASS
    assert (await judge(zone, "acme.test", [passed("mail.acme.test")])).verdict is Verdict.UNKNOWN


async def test_a_long_name_costs_few_questions() -> None:
    zone = Zone({})
    await judge(zone, ".".join(["a"] * 100 + ["test"]), [])
    assert len(zone.asked) == 8


async def test_the_reason_is_told() -> None:
    found = await judge(Zone(ZONE), "acme.test", [passed("mail.acme.test")])
    assert found.reason == "mail.acme.test vouches for it by DKIM."
    found = await judge(Zone(ZONE), "acme.test", [])
    assert found.reason == "Nothing proves that it is from acme.test, which asks not to believe such mail."
