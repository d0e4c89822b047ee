"""Who opened it: a person, or a machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.web.tracking_verdict import Reason, Verdict, in_burst, verdict

SENT = datetime(2026, 1, 1, tzinfo=UTC)
LATER = SENT + timedelta(minutes=5)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (FIREFOX, Verdict(True)),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148", Verdict(True)),
        ("Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)", Verdict(True)),
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
         Verdict(True, Reason.PROXY)),
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", Verdict(True, Reason.PROXY)),
        ("Mozilla/5.0", Verdict(False, Reason.APPLE)),
        ("", Verdict(False, Reason.NO_AGENT)),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", Verdict(False, Reason.SCANNER)),
        ("Mozilla/5.0 AppleWebKit/537.36 BingPreview/1.0b", Verdict(False, Reason.SCANNER)),
        ("Barracuda Sentinel (EE)", Verdict(False, Reason.SCANNER)),
        ("python-requests/2.32", Verdict(False, Reason.SCANNER)),
        ("curl/8.5.0", Verdict(False, Reason.SCANNER)),
        ("Mozilla/5.0 (X11) HeadlessChrome/130.0", Verdict(False, Reason.SCANNER)),
    ],
)  # fmt: skip
def test_programs_say_what_they_are(agent: str, expected: Verdict) -> None:
    assert verdict(None, agent, LATER, SENT) == expected


def test_nobody_reads_within_two_seconds_of_the_send() -> None:
    assert verdict(None, FIREFOX, SENT + timedelta(seconds=1.9), SENT) == Verdict(False, Reason.TOO_SOON)
    assert verdict(None, FIREFOX, SENT - timedelta(seconds=1), SENT) == Verdict(False, Reason.TOO_SOON)
    assert verdict(None, FIREFOX, SENT + timedelta(seconds=2), SENT) == Verdict(True)
    assert verdict(None, FIREFOX, LATER, None) == Verdict(True)


def test_what_the_request_shows_comes_first() -> None:
    assert verdict(Reason.HEAD, FIREFOX, LATER, SENT) == Verdict(False, Reason.HEAD)


def test_two_links_within_a_second_are_a_burst_and_one_link_twice_is_not() -> None:
    def at(seconds: float) -> datetime:
        return LATER + timedelta(seconds=seconds)

    twice = [(at(0), "a"), (at(0.3), "a")]
    assert in_burst(twice) == set()
    assert in_burst([*twice, (at(0.9), "b")]) == {*twice, (at(0.9), "b")}
    chain = [(at(0), "a"), (at(0.9), "b"), (at(1.8), "c"), (at(5), "d")]
    assert in_burst(chain) == set(chain[:3])
