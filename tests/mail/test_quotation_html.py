"""HTML replies of the common mail programs: cut on the tree, both halves whole, own words in sight."""

# ruff: noqa: E501 - HTML reads best as mail programs write it
from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.body import html_to_text
from core.mail.quotation import split_reply_html
from tests.budget import within

OLD = "<p>Shall we buy chairs?</p><p>Alice</p>"
HEADER = "<b>From:</b> Alice &lt;alice@x.test&gt;<br><b>Sent:</b> Monday, January 5, 2026<br><b>To:</b> Bob<br><b>Subject:</b> Chairs"
MARKS = {
    "Gmail": '<br><div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">On Mon, Jan 5, 2026 at '
    '10:12 AM Alice &lt;<a href="mailto:alice@x.test">alice@x.test</a>&gt; wrote:<br></div><blockquote '
    f'class="gmail_quote" style="margin:0 0 0 .8ex;border-left:1px solid #ccc">{OLD}</blockquote></div>',
    "Gmail, in a language of its own": '<div class="gmail_quote"><div class="gmail_attr">Alice d’an 5 Genver</div>'
    f'<blockquote class="gmail_quote">{OLD}</blockquote></div>',
    "Gmail of old": '<div class="gmail_extra"><br><div class="gmail_quote">On Mon, Jan 5, 2026 at 10:12 AM, Alice <span>&lt;'
    f'alice@x.test&gt;</span> wrote:<br><blockquote class="gmail_quote">{OLD}</blockquote></div></div>',
    "Apple Mail": '<div><br><blockquote type="cite"><div>On 5 Jan 2026, at 10:12, Alice &lt;alice@x.test&gt; wrote:</div><br '
    f'class="Apple-interchange-newline">{OLD}</blockquote></div>',
    "iPhone": '<div dir="ltr"><br><blockquote type="cite">Am 05.01.2026 um 10:12 schrieb Alice &lt;alice@x.test&gt;:<br><br>'
    f"</blockquote></div><blockquote type=\"cite\">{OLD}</blockquote>",
    "Thunderbird": '<div class="moz-cite-prefix">Am 05.01.26 um 10:12 schrieb Alice:<br></div><blockquote type="cite" '
    f'cite="mid:17@x.test">{OLD}</blockquote>',
    "Outlook": '<div><div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm"><p class="MsoNormal">'
    f"{HEADER}</p></div></div>{OLD}",
    "Outlook without its line": f'<p class="MsoNormal">{HEADER}</p>{OLD}',
    "Outlook on the web": f'<div id="appendonsend"></div><hr style="width:98%"><div id="divRplyFwdMsg" dir="ltr">{HEADER}</div>{OLD}',
    "Outlook, quoted once more": f'<div id="x_appendonsend"></div><hr><div id="x_divRplyFwdMsg">{HEADER}</div>{OLD}',
    "Outlook for telephones": f'<hr><div id="divRplyFwdMsg"><font face="Calibri">{HEADER}</font><div>&nbsp;</div></div>{OLD}',
    "Outlook, new": f'<div id="mail-editor-reference-message-container"><div>{HEADER}</div>{OLD}</div>',
    "Outlook in Arabic": '<div id="divRplyFwdMsg"><b>من:</b> Alice<br><b>تم الإرسال:</b> 5 يناير<br></div>' + OLD,
    "Hotmail": f'<hr id="stopSpelling">Date: Mon, 5 Jan 2026<br>From: alice@x.test<br>{OLD}',
    "Yahoo": '<div id="ydp1" class="yahoo_quoted"><div>On Monday, January 5, 2026 at 10:12:31 AM GMT+1, Alice &lt;alice@x.test'
    f"&gt; wrote:</div><div>{OLD}</div></div>",
    "Proton": '<div class="protonmail_quote">On Monday, January 5th, 2026 at 10:12 AM, Alice &lt;alice@x.test&gt; wrote:<br>'
    f'<blockquote class="protonmail_quote" type="cite">{OLD}</blockquote></div>',
    "Zimbra": f'<hr id="zwchr" data-marker="__DIVIDER__"><div data-marker="__HEADERS__">{HEADER}</div>{OLD}',
    "Zoho": '<div class="zmail_extra_hr"></div><div class="zmail_extra"><div>---- On Mon, 05 Jan 2026 10:12:31 +0100 <b>Alice '
    f'&lt;alice@x.test&gt;</b> wrote ----</div><br><blockquote style="margin:0">{OLD}</blockquote></div>',
    "GMX": f'<div name="quote" style="margin:10px 5px"><div><b>Gesendet:</b> Montag, 5. Januar 2026<br><b>Von:</b> Alice</div>{OLD}</div>',
    "Mail.ru": '<br><blockquote style="border-left:1px solid #0857A6">Понедельник, 5 января 2026, 10:12 +03:00 от Alice &lt;'
    f"alice@x.test&gt;:<br>{OLD}</blockquote>",
    "Yandex": f'<div>05.01.2026, 10:12, "Alice" &lt;alice@x.test&gt;:</div><blockquote>{OLD}</blockquote>',
    "QQ": '<div style="font-size:12px">------------------&nbsp;原始邮件&nbsp;------------------</div><div><b>发件人:</b> Alice</div>' + OLD,
    "163": '<div style="zoom:1"></div><div id="divNeteaseMailCard"></div><br>在 2026-01-05 10:12:31，"Alice" &lt;alice@x.test&gt; 写道：'
    f'<br><blockquote id="isReplyContent">{OLD}</blockquote>',
    "Foxmail": f'<hr><div><b>发件人：</b>alice@x.test<br><b>发送时间：</b>2026-01-05 10:12<br><b>收件人：</b>bob@y.test</div>{OLD}',
    "Roundcube": '<p id="reply-intro">On 2026-01-05 10:12, Alice wrote:</p><blockquote type="cite" style="padding:0 0.4em">'
    f"{OLD}</blockquote>",
    "Spark": f'<div name="messageReplySection">On Jan 5, 2026 at 10:12 AM, Alice wrote:<br><blockquote>{OLD}</blockquote></div>',
    "Notes": '<br><font size="1">From: </font><font>Alice/ACME</font><br>To: Bob/ACME@ACME<br>Date: 05.01.2026 10:12<br>Subject: '
    f"Chairs<br><hr noshade>{OLD}",
    "a help desk": f"<div>##- Please type your reply above this line -##</div>{OLD}",
    "typed marks": "<p>&gt; Shall we buy chairs?<br>&gt; Alice</p>",
}  # fmt: skip


@pytest.mark.parametrize("name", MARKS)
@pytest.mark.parametrize(
    "own", ["<p>Yes, <b>do</b>.</p>", "Yes, <b>do</b>.", '<div dir="ltr"><div>Yes, <b>do</b>.<br></div></div>']
)
def test_what_a_mail_program_quotes_is_folded(name: str, own: str) -> None:
    reply = split_reply_html(f"<html><head><style>p{{margin:0}}</style></head><body>{own}{MARKS[name]}</body></html>")
    assert "".join(html_to_text(reply.new).split()) == "Yes,do."
    assert "<b>do</b>" in reply.new
    assert "Shall we buy chairs?" in html_to_text(reply.quoted)
    assert "Yes" not in html_to_text(reply.quoted)


@pytest.mark.parametrize(
    "signature",
    [
        '<div class="gmail_signature"><div>Bob<br>Sales</div></div>',
        '<span class="gmail_signature_prefix">-- </span><br><div class="gmail_signature">Bob</div>',
        '<pre class="moz-signature">-- <br>Bob</pre>',
        '<div id="Signature"><p>Bob</p><p>ACME</p></div>',
        '<div id="ms-outlook-mobile-signature">Get <a href="https://aka.ms/o0ukef">Outlook for iOS</a></div>',
        "<div>Sent from my iPhone</div>",
        '<div class="protonmail_signature_block">Sent with Proton Mail secure email.</div>',
        "<div>-- <br>Bob<br>ACME</div>",
    ],
)
def test_a_signature_is_folded(signature: str) -> None:
    reply = split_reply_html(f"<div>Yes.</div><br>{signature}{MARKS['Gmail']}")
    assert html_to_text(reply.new) == "Yes."


@pytest.mark.parametrize(
    "html",
    [
        '<p>a</p><blockquote type="cite">one?</blockquote>yes<blockquote type="cite">two?</blockquote>no',
        '<p>&nbsp;</p><blockquote type="cite">forwarded</blockquote>',
        "<p>As the poet says:</p><blockquote>roses are red</blockquote><p>and so on</p>",
        "<p>See</p><blockquote style='margin:0 0 0 40px;border:none'>my own words, set in</blockquote>",
        '<p>See</p><blockquote class="gmail_quote">what I quote myself</blockquote>',
        "<p>plain</p>",
        '<div class="gmail_quote"><div class="gmail_attr">---------- Forwarded message ---------<br>From: Alice &lt;a@x.test&gt;'
        "<br>Date: Mon, Jan 5, 2026<br>Subject: Chairs<br>To: Bob<br></div><br>We need chairs.</div>",
        "<p>FYI</p><div>Begin forwarded message:</div><blockquote type=cite>From: Alice<br>We need chairs.</blockquote>",
        "<hr><hr><hr>",
        "<img src='cid:a@b'>",
        "",
    ],
)
def test_html_stays_as_it_is_when_unsure(html: str) -> None:
    assert split_reply_html(html).new == html
    assert split_reply_html(html).quoted == ""


def test_an_answer_below_the_quote_is_shown() -> None:
    reply = split_reply_html(f"{MARKS['Thunderbird']}<p>Yes, do.</p>")
    assert html_to_text(reply.new) == "Yes, do."
    assert "chairs" in reply.quoted
    inside = MARKS["Gmail"].replace("</blockquote></div>", "</blockquote><div>Yes, do.</div></div>")
    assert html_to_text(split_reply_html(inside).new) == "Yes, do."


def test_a_picture_is_own_and_stays() -> None:
    reply = split_reply_html(f"<img src='cid:a@b'>{MARKS['Outlook']}")
    assert "cid:a@b" in reply.new
    assert "cid:a@b" not in reply.quoted


def test_a_table_is_not_torn() -> None:
    table = "<table><tr><td>a</td><td>b</td></tr></table>"
    reply = split_reply_html(f"{table}{MARKS['Outlook']}{table}")
    assert reply.new == table.replace("<tr>", "<tr>")
    assert reply.quoted.endswith(table)


class Balance(HTMLParser):
    """Counts open elements."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.is_whole = True
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("br", "hr", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.is_whole = self.is_whole and bool(self.open) and self.open.pop() == tag


WORDS = [
    "own words",
    "<p>own",
    "<div>",
    "</div>",
    "<br>",
    "<b>own",
    "</b>",
    "<table><tr><td>cell",
    "</table>",
    "&gt; old",
]
PIECES = st.sampled_from([*MARKS.values(), *WORDS])


@given(st.lists(PIECES, max_size=7).map("".join))
def test_both_halves_are_whole_and_no_word_is_lost(html: str) -> None:
    reply = split_reply_html(html)
    if reply.quoted:
        for half in (reply.new, reply.quoted):
            balance = Balance(half)
            assert balance.is_whole
            assert balance.open == []
    words = sorted(html_to_text(html).replace("|", " ").split())
    both = sorted(html_to_text(reply.new).split() + html_to_text(reply.quoted).split())
    assert "".join(sorted("".join(words))) == "".join(sorted("".join(both)))


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "<div>",
            "<blockquote>",
            "<blockquote type=cite>a",
            "<br>",
            "a<br>",
            "<p>",
            "<p>a",
            "<b>",
            "<",
            "&",
            "&gt; a<br>",
        ),
        *("<div class=yahoo_quoted>a", "<div id=Signature>a</div>", "<div id=appendonsend>", "<img>", "<hr>", "<td>a"),
        *("<a href=x>a</a> ", "<blockquote>a</blockquote>", "On 1 Jan 2026 at 10:00, a@b.test wrote:<br>", "<!--x-->"),
        *("From: a@b.test<br>Date: 1<br>", "<div class=gmail_attr>a</div>", "<span>x</span>", "<p>-- </p>", "x"),
    ],
)
def test_i13_no_html_takes_long(piece: str) -> None:
    with within(3):
        split_reply_html(piece * (1_000_000 // len(piece)))
        split_reply_html(piece * (55_000 // piece.count("<") if "<" in piece else 1))
