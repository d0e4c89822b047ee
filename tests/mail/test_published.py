"""What a domain publishes, right and wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.published import judge_dmarc, judge_key, judge_spf

WANTED = "v=DKIM1; k=rsa; p=AAAA"


@pytest.mark.parametrize(
    ("texts", "ok", "words"),
    [
        ([WANTED], True, "Published."),
        (["p=AA AA"], True, "Published."),
        (["v=DKIM1;k=rsa;t=s:y;h=sha1:sha256;s=email;p=AAAA;"], True, "testing"),
        ([], False, "Nothing"),
        ([WANTED, WANTED], False, "2 records"),
        (["v=DKIM1; k=rsa; p="], False, "revoked"),
        (["v=DKIM1; k=rsa; p=BBBB"], False, "Another key"),
        (["v=DKIM1; k=ed25519; p=AAAA"], False, "Another key"),
        (["v=DKIM1; h=sha1; p=AAAA"], False, "sha256"),
        (["v=DKIM1; s=tlsrpt; p=AAAA"], False, "not for e-mail"),
        (["v=spf1 -all"], False, "no DKIM key"),
        (["google-site-verification=x"], False, "no DKIM key"),
    ],
)
def test_a_published_key(texts: list[str], ok: bool, words: str) -> None:
    finding = judge_key("s1._domainkey.acme.test", texts, WANTED)
    assert finding.ok is ok
    assert words in finding.detail
    assert (WANTED in finding.fix) is not ok


@pytest.mark.parametrize(
    ("texts", "ok", "words"),
    [
        (["v=spf1 mx -all", "other"], True, "v=spf1 mx -all"),
        (["V=SPF1 mx"], True, "names the servers"),
        ([], False, "No policy"),
        (["v=spf10 mx"], False, "No policy"),
        (["v=spf1 mx", "v=spf1 a"], False, "2 policies"),
        (["v=spf1 +all"], False, "everybody"),
        (["v=spf1 all"], False, "everybody"),
    ],
)
def test_a_published_spf_policy(texts: list[str], ok: bool, words: str) -> None:
    finding = judge_spf("acme.test", texts, "v=spf1 mx ~all")
    assert finding.ok is ok
    assert words in finding.detail


@pytest.mark.parametrize(
    ("texts", "ok", "words"),
    [
        (["v=DMARC1; p=none"], True, "p=none"),
        (["v=DMARC1;p=Reject"], True, "Reject"),
        ([], False, "No policy"),
        (["p=none"], False, "No policy"),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], False, "2 policies"),
        (["v=DMARC1; rua=mailto:x@acme.test"], False, "no policy"),
    ],
)
def test_a_published_dmarc_policy(texts: list[str], ok: bool, words: str) -> None:
    finding = judge_dmarc("acme.test", texts, "v=DMARC1; p=none")
    assert finding.ok is ok
    assert words in finding.detail


@given(st.lists(st.text(), max_size=3))
def test_nothing_that_is_published_makes_it_fail(texts: list[str]) -> None:
    judge_key("x", texts, WANTED)
    judge_spf("x", texts, WANTED)
    judge_dmarc("x", texts, WANTED)
