"""A mail as an unsent draft: a file that desktop mail programs open for editing, and send as a mail of their own.

Outlook goes by `X-Unsent`, Apple Mail by its uniform type identifier, Thunderbird by `X-Unsent` too and, in a folder of
drafts, by its draft information. There is no Message-ID and no Date, since the program that sends it gives it these.
What only our own sending may say is left out: Sender, the list headers, the mark of automatic mail, extra headers; one
of them tells our gateway that a mail is its own, which this one will not be.
"""

from __future__ import annotations

from core.mail.compose import recipient_lines, thread_lines, with_body
from core.mail.header_line import folded, mailboxes_line, text_line
from core.mail.optional_headers import importance_headers
from core.mail.values import Mailbox, OutgoingEmail

_UNSENT = (
    "X-Unsent: 1\r\n"
    "X-Uniform-Type-Identifier: com.apple.mail-draft\r\n"
    "X-Mozilla-Draft-Info: internal/draft; vcard=0; receipt=0; DSN=0; uuencode=0\r\n"
)


def draft(email: OutgoingEmail, bcc: tuple[Mailbox, ...] = ()) -> bytes:
    """Return the mail as a draft; raises what `compose` raises.

    `bcc` is for the file of the mail's own author alone: a mail program can only send to the blind copies that the
    draft names, and takes the header out when it does. In a draft for anybody else it would tell them.
    """
    lines = [_UNSENT, mailboxes_line("From", (email.sender,)), *recipient_lines(email)]
    if bcc:
        lines.append(mailboxes_line("Bcc", bcc))
    lines += text_line("Subject", email.subject), *thread_lines(email)
    lines += (folded(name, value) for name, value in importance_headers(email.importance))
    return with_body("".join(lines), email)
