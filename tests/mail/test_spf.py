"""SPF (RFC 7208) over zones of our own: what matches, what is too much, and what does not read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.mail.authentication import Client
from core.mail.spf import check_spf
from tests.mail.zone import Zone

pytestmark = pytest.mark.anyio

CLIENT = Client("192.0.2.10", "out.acme.test")
V6 = Client("2001:db8::10", "out.acme.test")
AROUND = {
    "mail.acme.test": {"A": ["192.0.2.10"], "AAAA": ["2001:db8::10"]},
    "other.test": {"TXT": ["v=spf1 ip4:192.0.2.0/28 -all"], "MX": ["mail.acme.test"], "A": ["203.0.113.1"]},
    "soft.test": {"TXT": ["v=spf1 ~all"]},
    "none.test": {"A": ["203.0.113.1"]},
    "ann.at.acme.test": {"A": ["127.0.0.2"]},
    "10.2.0.192.list.acme.test": {"A": ["127.0.0.2"]},
    "10.2.0.192.in-addr.arpa": {"PTR": ["mail.acme.test", "forged.test"]},
}


async def result(policy: str | list[str], client: Client = CLIENT, sender: str = "ann@acme.test") -> str:
    texts = [policy] if isinstance(policy, str) else policy
    return (await check_spf(Zone({**AROUND, "acme.test": {"TXT": texts}}), client, sender)).result


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        ("v=spf1 ip4:192.0.2.10 -all", "pass"),
        ("v=spf1 ip4:192.0.2.11 -all", "fail"),
        ("v=spf1 ip4:192.0.2.0/24 ~all", "pass"),
        ("v=spf1 ip6:2001:db8::/32 ?all", "neutral"),
        ("v=spf1 a:mail.acme.test -all", "pass"),
        ("v=spf1 a:other.test/24 -all", "fail"),
        ("v=spf1 mx:other.test -all", "pass"),
        ("v=spf1 include:other.test -all", "pass"),
        ("v=spf1 include:soft.test -all", "fail"),
        ("v=spf1 redirect=other.test", "pass"),
        ("v=spf1 redirect=other.test ~all", "softfail"),
        ("v=spf1 exists:%{l}.at.%{d} -all", "pass"),
        ("v=spf1 exists:%{ir}.list.%{d2} -all", "pass"),
        ("v=spf1 ptr:acme.test -all", "pass"),
        ("v=spf1 ptr:forged.test -all", "fail"),
        ("V=SPF1 IP4:192.0.2.10 -ALL", "pass"),
        ("v=spf1", "neutral"),
        ("v=spf10 -all", "none"),
        ("spf1 -all", "none"),
        ([], "none"),
        (["v=spf1 -all", "v=spf1 +all"], "permerror"),
        ("v=spf1 include:none.test -all", "permerror"),
        ("v=spf1 redirect=none.test", "permerror"),
        ("v=spf1 ip4:192.0.2.10 rubbish", "permerror"),
        ("v=spf1 ip4:300.0.0.1 -all", "permerror"),
        ("v=spf1 a:acme.test/33 -all", "permerror"),
        ("v=spf1 exists:%{x}.acme.test -all", "permerror"),
        ("v=spf1 include:acme.test -all", "permerror"),
        ("v=spf1 " + "a:mail.acme.test " * 3 + "-all", "pass"),
        ("v=spf1 " + "a:other.test " * 11 + "-all", "permerror"),
        ("v=spf1 a:no1.test a:no2.test a:no3.test -all", "permerror"),
        ("v=spf1 ip4:192.0.2.10 \u00fc", "permerror"),
    ],
)
async def test_policies(policy: str | list[str], wanted: str) -> None:
    assert await result(policy) == wanted


async def test_an_address_of_the_newer_kind() -> None:
    assert await result("v=spf1 ip6:2001:db8::/64 -all", V6) == "pass"
    assert await result("v=spf1 a:mail.acme.test//128 -all", V6) == "pass"
    assert await result("v=spf1 ip4:192.0.2.10 -all", Client("::ffff:192.0.2.10", "x")) == "pass"


async def test_the_null_sender_is_judged_by_the_name_that_the_host_gave() -> None:
    zone = Zone({"out.acme.test": {"TXT": ["v=spf1 ip4:192.0.2.10 -all"]}})
    found = await check_spf(zone, CLIENT, "")
    assert (found.result, found.domain) == ("pass", "out.acme.test")


async def test_a_dns_that_is_away_decides_nothing() -> None:
    assert (await check_spf(Zone({}, away=["acme.test"]), CLIENT, "ann@acme.test")).result == "temperror"


async def test_a_circle_ends() -> None:
    zone = Zone({"a.test": {"TXT": ["v=spf1 include:b.test -all"]}, "b.test": {"TXT": ["v=spf1 include:a.test -all"]}})
    assert (await check_spf(zone, CLIENT, "x@a.test")).result == "permerror"
    assert len(zone.asked) < 15


@given(some.text("v=spf1 +-~?amxptrinclude:redirect=%{}irdlsh./0123456789", max_size=80), some.text(max_size=20))
async def test_no_policy_and_no_sender_raises(policy: str, sender: str) -> None:
    assert await result(f"v=spf1 {policy}", sender=f"{sender}@acme.test")
