"""Whose word about a sender counts: a trusted server's topmost report, and its own Received lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.mail.authentication import Authentication, Check, Client, Verdict, author_domain, client_of, reported
from core.mail.parse import parse
from core.mail.values import IncomingEmail


def mail(*lines: str, sender: str = "From: Kim <kim@Acme.test>") -> IncomingEmail:
    return parse("\r\n".join([*lines, sender, "", "Hello"]).encode())


def report(*results: str, sender: str = "From: Kim <kim@Acme.test>") -> Authentication | None:
    return reported(mail(*(f"Authentication-Results: {one}" for one in results), sender=sender), "mx.our.test")


def test_the_report_of_the_trusted_server_is_told_in_words() -> None:
    found = report(
        "mx.our.test; spf=pass smtp.mailfrom=bounce@mail.acme.test; dkim=pass header.d=acme.test; dmarc=pass"
    )
    assert found is not None
    assert found.verdict is Verdict.PASS
    assert found.reason == "mx.our.test says spf=pass (mail.acme.test), dkim=pass (acme.test), dmarc=pass."
    assert Authentication.from_dict(found.as_dict()) == found


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        (("mx.our.test; dmarc=fail (p=reject) header.from=acme.test",), Verdict.FAIL),
        (("mx.our.test; spf=pass smtp.mailfrom=evil.test; dkim=none",), Verdict.NONE),
        (("mx.our.test; none",), Verdict.NONE),
        (("mx.our.test; dmarc=pass header.from=evil.test",), Verdict.NONE),
        (("mx.our.test; dmarc=pass", "mx.our.test; dmarc=fail"), Verdict.PASS),
    ],
)
def test_verdicts(results: tuple[str, ...], verdict: Verdict) -> None:
    found = report(*results)
    assert found is not None
    assert found.verdict is verdict


@pytest.mark.parametrize(
    "results", [(), ("evil.test; dmarc=pass", "mx.our.test; dmarc=pass"), ("mx.our.test.evil; dmarc=pass",)]
)
def test_i6_nobody_else_says_anything(results: tuple[str, ...]) -> None:
    assert report(*results) is None


def test_without_a_trusted_server_no_report_counts() -> None:
    assert reported(mail("Authentication-Results: ; dmarc=pass"), "") is None


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("From: Kim <kim@Acme.test>", "acme.test"),
        ("From: kim@müller.test", "xn--mller-kva.test"),
        ("From: a@acme.test, b@evil.test", ""),
        ("From: a@acme.test\r\nFrom: b@evil.test", ""),
        ("From: Kim", ""),
        ("To: kim@acme.test", ""),
    ],
)
def test_one_author_has_one_domain(sender: str, domain: str) -> None:
    assert author_domain(mail(sender=sender)) == domain


OURS = ("mx.our.test", "relay.our.test")
INTERNAL = "Received: from mx.our.test (mx.our.test [10.0.0.5]) by relay.our.test with ESMTP; Mon, 4 May 2026"
EDGE = "Received: from out.acme.test (unknown [81.2.69.160])\r\n\tby mx.our.test with ESMTPS id 1; Mon, 4 May 2026"


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        ((INTERNAL, EDGE), Client("81.2.69.160", "out.acme.test")),
        ((EDGE, "Received: from x ([81.2.69.161]) by mx.our.test"), Client("81.2.69.160", "out.acme.test")),
        (("Received: from six (a [IPv6:fd00::1]) by mx.our.test;",), None),
        (("Received: from six (a [IPv6:2a00:1450::1]) by mx.our.test;",), Client("2a00:1450::1", "six")),
        (("Received: from x ([81.2.69.161]) by evil.test", EDGE), None),
        (("Received: by mx.our.test", EDGE), None),
        (("Received: from x by mx.our.test",), None),
        # What the client said of itself counts for nothing: neither an address nor a name of ours.
        (("Received: from [5.5.5.5] (unknown [81.2.69.160]) by mx.our.test",), Client("81.2.69.160", "[5.5.5.5]")),
        (
            ("Received: from mx.our.test (a.evil.test [81.2.69.160]) by mx.our.test", EDGE.replace("acme", "bank")),
            Client("81.2.69.160", "mx.our.test"),
        ),
        (("Received: from a (HELO [5.5.5.5]) (81.2.69.160) by mx.our.test",), None),
        (("Received: from [81.2.69.160] (helo=[5.5.5.5]) by mx.our.test",), None),
        (("Received: from a (mx.our.test [81.2.69.160] (may be forged)) by mx.our.test", EDGE), None),
        (
            ("Received: from a.test (b [81.2.69.160])\r\n\t(using TLSv1.3 (256/256 bits))\r\n\tby mx.our.test",),
            Client("81.2.69.160", "a.test"),
        ),
        (("Received: from a.evil.test ([81.2.69.160] helo=[5.5.5.5]) by mx.our.test",), None),
        (("Received: from a.test ([81.2.69.160] helo=b.test) by mx.our.test",), Client("81.2.69.160", "a.test")),
        ((), None),
    ],
)
def test_who_handed_it_to_our_servers(lines: tuple[str, ...], client: Client | None) -> None:
    assert client_of(mail(*lines), OURS) == client


@given(some.text(max_size=400))
def test_no_header_raises(text: str) -> None:
    line = " ".join(text.split())
    email = IncomingEmail(headers=(("From", line), ("Authentication-Results", line), ("Received", f"from {line}")))
    reported(email, "mx.our.test")
    client_of(email, OURS)
    author_domain(email)


def test_a_check_says_itself() -> None:
    assert Check("dkim", "pass", "acme.test").words == "dkim=pass (acme.test)"
