"""What a mail tells of another mail of ours: a delivery report, a complaint, a read receipt or a challenge.

One answer, so that a mail is never two of them: a complaint and a receipt have a form that no other has; a challenge in
the form of a report is no failure, unless the report says that the address does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from core.mail.bounce import read_bounce
from core.mail.challenge import challenge_reason
from core.mail.complaint import Complaint, read_complaint
from core.mail.receipt import Receipt, read_receipt
from core.mail.values import Bounce, IncomingEmail


@dataclass(frozen=True, slots=True)
class Challenge:
    """The recipient's filter wants a person to prove to be one."""

    reason: str


Notice: TypeAlias = Bounce | Complaint | Receipt | Challenge


def read_notice(email: IncomingEmail, *, is_automatic: bool) -> Notice | None:
    """Return what a mail tells of another mail, or None; never raises, linear in what is read of it.

    `is_automatic` says that something in it speaks against an automatic answer (`core.mail.automatic`).
    """
    told = read_complaint(email) or read_receipt(email)
    if told is not None:
        return told
    bounce, challenge = read_bounce(email), challenge_reason(email, is_automatic=is_automatic)
    if challenge and not (bounce and any(one.hard for one in bounce.recipients)):
        return Challenge(challenge)
    return bounce
