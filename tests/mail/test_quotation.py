"""Replies: the writer's own words stay in sight, what is quoted is folded, and no line takes long."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.quotation import split_reply, split_reply_html


@pytest.mark.parametrize(
    ("introduction"),
    [
        "On Mon, 5 Jan 2026 at 10:00, Alice <alice@x.test> wrote:",
        "On Mon, 5 Jan 2026 at 10:00, Alice Longname\n<alice@x.test> wrote:",
        "Am 05.01.2026 um 10:00 schrieb Alice:",
        "Le 5 janv. 2026 à 10:00, Alice a écrit :",
        "El 5 ene 2026, Alice escribió:",
        "Il giorno 5 gen 2026 Alice ha scritto:",
        "W dniu 5.01.2026 o 10:00, Alice pisze:",
        "Op 5 jan. 2026 schreef Alice:",
        "5 января 2026 г., Alice написал(а):",
    ],
)
def test_what_follows_an_introduction_is_quoted(introduction: str) -> None:
    reply = split_reply(f"Yes, do.\n\n{introduction}\n> Shall we?\n> Alice\n")
    assert reply.new == "Yes, do."
    assert reply.quoted == f"{introduction}\n> Shall we?\n> Alice"


@pytest.mark.parametrize(
    "divider",
    [
        "-----Original Message-----",
        "---------- Forwarded message ----------",
        "-----Ursprüngliche Nachricht-----",
        "________________________________",
        "From: Alice\nSent: Monday\nTo: Bob\nSubject: x",
        "Von: Alice\nGesendet: Montag\nAn: Bob\nBetreff: x",
        "*From:* Alice\n*Sent:* Monday\n*To:* Bob\n*Subject:* x",
    ],
)
def test_what_follows_a_divider_is_quoted(divider: str) -> None:
    reply = split_reply(f"Yes.\n\n{divider}\nunmarked old text\n")
    assert (reply.new, reply.quoted) == ("Yes.", f"{divider}\nunmarked old text")


def test_an_answer_below_the_quote_is_new() -> None:
    reply = split_reply("On 5 Jan 2026 Alice wrote:\n> Shall we?\n\nYes, do.\n")
    assert (reply.new, reply.quoted) == ("Yes, do.", "On 5 Jan 2026 Alice wrote:\n> Shall we?")


@pytest.mark.parametrize(
    "text",
    [
        "On 5 Jan 2026 Alice wrote:\n> one?\nyes\n> two?\nno\n> bye",
        "On 5 Jan 2026 Alice wrote:\nunmarked, and nothing above",
        "> only a quote",
        "I wrote: nothing more",
        "From: my point of view\nthis is fine",
        "a -- b",
        "",
    ],
)
def test_when_unsure_everything_is_new(text: str) -> None:
    assert split_reply(text).new.strip() == text.strip()
    assert split_reply(text).quoted == ""


def test_a_signature_is_folded() -> None:
    reply = split_reply("Yes.\n-- \nBob\nSales")
    assert (reply.new, reply.quoted) == ("Yes.", "-- \nBob\nSales")
    both = split_reply("Yes.\n\nOn 5 Jan 2026 Alice wrote:\n> x\n\n-- \nBob")
    assert both.new == "Yes."
    assert both.quoted.endswith("-- \nBob")


lines = st.sampled_from(
    ["own words", "> old", "", "-- ", "On 5 Jan 2026 A wrote:", "From: a", "To: b", "Subject: c", "____" * 9]
)


@given(st.lists(lines, max_size=14).map("\n".join))
def test_no_line_is_ever_lost(text: str) -> None:
    reply = split_reply(text)
    both = f"{reply.new}\n{reply.quoted}".split("\n")
    assert sorted(filter(None, both)) == sorted(filter(None, text.split("\n")))


@pytest.mark.parametrize(
    "mark",
    [
        '<div class="gmail_quote"><div dir="ltr">On Monday Alice wrote:</div><blockquote>old</blockquote></div>',
        '<blockquote type="cite">old</blockquote>',
        '<div class="moz-cite-prefix">On Monday</div><blockquote type="cite">old</blockquote>',
        '<div id="appendonsend"></div><hr><div>From: Alice</div>',
        '<div id="divRplyFwdMsg">From: Alice</div>',
        '<div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm">From: Alice</div>',
    ],
)
def test_html_is_cut_where_mail_programs_quote(mark: str) -> None:
    reply = split_reply_html(f"<p>Yes.</p>{mark}")
    assert (reply.new, reply.quoted) == ("<p>Yes.</p>", mark)


@pytest.mark.parametrize(
    "html",
    [
        '<p>a</p><blockquote type="cite">one?</blockquote>yes<blockquote type="cite">two?</blockquote>no',
        '<blockquote type="cite">one?</blockquote><p>below</p>',
        '<p>&nbsp;</p><blockquote type="cite">forwarded</blockquote>',
        "<p>plain</p>",
        "",
    ],
)
def test_html_stays_whole_when_unsure(html: str) -> None:
    assert split_reply_html(html).new == html


@pytest.mark.parametrize(
    "piece",
    [
        " ",
        ">",
        ">\n",
        "On ... wrote:\n",
        "On 1\n",
        "-",
        "_",
        "Am 1 schrieb ",
        "From: a\n",
        "x",
        "<div ",
        "<blockquote>",
        "2026/1/1 <@>",
    ],
)
def test_i13_every_stage_is_linear(piece: str) -> None:
    started = time.perf_counter()
    split_reply(piece * (1_000_000 // len(piece)))
    split_reply_html(piece * (1_000_000 // len(piece)))
    assert time.perf_counter() - started < 2
