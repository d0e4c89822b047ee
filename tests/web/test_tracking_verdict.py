"""Who opened it: a person, or a machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.web.tracking_verdict import Reason, Verdict, in_burst, in_early_burst, verdict

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
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", Verdict(False, Reason.SCANNER)),
        ("WhatsApp/2.23.20.0", Verdict(False, Reason.SCANNER)),
        *((library, Verdict(True)) for library in (
            "python-httpx2/2.0.0", "python-requests/2.32", "Python/3.11 aiohttp/3.9", "curl/8.5.0", "Wget/1.21",
            "okhttp/4.12", "axios/1.7", "Java/17.0.2", "Go-http-client/2.0", "libwww-perl/6.7", "Ruby", "PHP/8.3",
        )),
        ("Mozilla/5.0 (X11) HeadlessChrome/130.0", Verdict(False, Reason.SCANNER)),
    ],
)  # fmt: skip
def test_programs_say_what_they_are(agent: str, expected: Verdict) -> None:
    assert verdict(None, agent) == expected


def test_what_the_request_shows_comes_first() -> None:
    assert verdict(Reason.HEAD, FIREFOX) == Verdict(False, Reason.HEAD)


def test_two_links_within_a_second_are_a_burst_and_one_link_twice_is_not() -> None:
    def at(seconds: float) -> datetime:
        return LATER + timedelta(seconds=seconds)

    twice = [(at(0), "a"), (at(0.3), "a")]
    assert in_burst(twice) == set()
    assert in_burst([*twice, (at(0.9), "b")]) == {*twice, (at(0.9), "b")}
    chain = [(at(0), "a"), (at(0.9), "b"), (at(1.8), "c"), (at(5), "d")]
    assert in_burst(chain) == set(chain[:3])


PIXEL = ""


@pytest.mark.parametrize(
    ("hits", "burst"),
    [
        ([(0.1, PIXEL, 1)], False),
        ([(0.1, PIXEL, 1), (0.2, "a", 1)], False),
        ([(0.1, PIXEL, 2), (0.2, "a", 1), (0.3, "a", 1)], False),
        ([(0.1, PIXEL, 3)], True),
        ([(0.1, PIXEL, 1), (0.5, PIXEL, 1), (1.9, PIXEL, 1)], True),
        ([(0.1, "a", 2), (0.5, "a", 1), (0.5, PIXEL, 1)], True),
        ([(0.1, PIXEL, 1), (0.1, "a", 1), (1.9, "b", 1)], True),
        ([(-0.5, "a", 1), (1.9, "b", 1)], True),
        ([(0.1, "a", 1), (2, "b", 1)], False),
        ([(1, PIXEL, 2), (2, PIXEL, 9)], False),
        ([(-2, PIXEL, 9)], False),
        ([(300, PIXEL, 9)], False),
    ],
)
def test_two_links_or_one_thing_three_times_within_two_seconds_of_the_send_are_a_burst(
    hits: list[tuple[float, str, int]], burst: bool
) -> None:
    asked = [(SENT + timedelta(seconds=seconds), url, count) for seconds, url, count in hits]
    assert in_early_burst(asked, SENT) == ({(at, url) for at, url, _ in asked} if burst else set())
    assert in_early_burst(asked, None) == set()


def test_a_burst_after_the_send_leaves_later_hits_alone() -> None:
    early, later = (SENT + timedelta(seconds=1), PIXEL, 5), (SENT + timedelta(seconds=3), PIXEL, 1)
    assert in_early_burst([later, early], SENT) == {early[:2]}
