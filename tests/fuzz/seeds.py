"""Mails to begin with: one of each kind that takes another way through the reader."""

from __future__ import annotations

from base64 import encodebytes

TNEF = (
    b"\x78\x9f\x3e\x22\x01\x00"
    b"\x01\x03\x90\x06\x00\x1c\x00\x00\x00\x01\x00\x00\x00\x1e\x00\x00\x10\x01\x00\x00\x00\x06\x00\x00\x00Hello\0\0\0\0\0"
    b"\x02\x02\x90\x06\x00\x02\x00\x00\x00\0\0\0\0"
    b"\x02\x10\x80\x01\x00\x06\x00\x00\x00a.pdf\0\0\0"
    b"\x02\x0f\x80\x06\x00\x05\x00\x00\x00%PDF-\0\0"
)

LETTER = b"""\
Return-Path: <j@x.test>
Received: from x.test by ours.test for <leads@ours.test>; Tue, 5 Mar 2024 10:00:01 +0100
From: =?utf-8?q?J=C3=BCrgen?= <j@x.test>
To: "Doe, J" <leads@ours.test>, Group: a@x.test, b@x.test;
Subject: =?gb2312?B?xOO6ww==?=
 =?iso-8859-1?q?_Gr=FC=DFe?=
Date: Tue, 5 Mar 2024 10:00:00 +0100 (CET)
Message-ID: <1@x.test>
References: <2@x.test>
 <3@x.test>
Content-Type: text/plain; charset=utf-8; format=flowed
Content-Transfer-Encoding: quoted-printable

Sch=C3=B6ne =
Gr=C3=BC=C3=9Fe=20
von mir

On Mon, 4 Mar 2024 at 09:00, Ada <a@ours.test> wrote:
> old words
--=20
me
"""

PARTS = b"""\
Subject: parts
Content-Type: multipart/mixed; boundary="out"

--out
Content-Type: multipart/alternative;
 boundary=in

--in
Content-Type: text/plain

plain
--in
Content-Type: text/html; charset=windows-1252

<div class="gmail_quote"><p>h\xe4 <img src="cid:a@b"><a href="http://x.test">y.test</a></p></div>
--in--
--out
Content-Type: image/png; name*0*=utf-8''%C3%A4; name*1=.png
Content-ID: <a@b>
Content-Disposition: inline; filename="=?utf-8?b?w6QucG5n?="
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--out
Content-Type: message/rfc822

Subject: inner

in
--out
Content-Type: text/html

<p>more
--out--
"""

REPORT = b"""\
From: MAILER-DAEMON@x.test
Return-Path: <>
Content-Type: multipart/report; report-type=delivery-status; boundary=r

--r

Sorry.
--r
Content-Type: message/delivery-status

Reporting-MTA: dns; x.test

Final-Recipient: rfc822; a@x.test
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user
--r
Content-Type: text/rfc822-headers

Message-ID: <1@ours.test>
--r--
"""

INVITATION = b"""\
Content-Type: text/calendar; method=REQUEST

BEGIN:VCALENDAR
METHOD:REQUEST
BEGIN:VEVENT
UID:1
SUMMARY:Talk
DTSTART;TZID=Europe/Berlin:20240705T100000
END:VEVENT
END:VCALENDAR
"""

WRITTEN_FILES = b"""\
Subject: files

See
begin 644 a.bin
#0V%T
`
end
=ybegin line=128 size=3 name=b
\x8b\x8c\x8d
=yend size=3
"""

SEEDS = (
    *(b"", b"words alone", LETTER, PARTS, REPORT, INVITATION, WRITTEN_FILES, LETTER.replace(b"\n", b"\r\n")),
    b"Content-Type: application/ms-tnef; name=winmail.dat\nContent-Transfer-Encoding: base64\n\n" + encodebytes(TNEF),
    b"Content-Type: application/ms-tnef\n\n" + TNEF,
    b"Content-Type: text/rtf\n\n{\\rtf1\\fromhtml1{\\*\\htmltag64 <p>}Gr\\'fc\\'dfe\\htmlrtf\\par\\htmlrtf0 \\u8364?}",
    b"Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B$3$s\x1b(B\x1b(I12\x1b(B\n",
)
