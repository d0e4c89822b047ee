"""Judging who mails are from: the word of a trusted server, or else DKIM, SPF and DMARC by our own questions.

It never holds a mail up for long, and never fails: what could not be asked is `unknown`. A mail is judged once; the
verdict stays with it in the spool, since keys are changed and a later look would say something else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from core import clock
from core.gateway.spool import OPEN, Spooled
from core.gateway.values import Received
from core.mail.authentication import (
    NOT_ASKED,
    Authentication,
    Check,
    Verdict,
    author_domain,
    client_of,
    reported,
)
from core.mail.dkim_check import Sealed, Signature
from core.mail.dmarc import judge
from core.mail.names import Names, NamesAway
from core.mail.spf import check_spf
from core.runtime import runtime, settings

_LONGEST_S = 5.0
_TOO_LATE = Authentication(Verdict.UNKNOWN, "The DNS did not answer in time.")


async def authenticated(emails: Sequence[Received], mails: Sequence[Spooled]) -> list[Received]:
    """Return the mails of a batch with who they are from, each judged now or before."""
    raws = {mail.id: mail for mail in mails}
    judging = [asyncio.ensure_future(_judged(email, raws[email.spool_id])) for email in emails]
    if judging:
        _, late = await asyncio.wait(judging, timeout=_LONGEST_S)
        for one in late:
            one.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    return [
        replace(email, authentication=_TOO_LATE if one.cancelled() else one.result())
        for email, one in zip(emails, judging, strict=True)
    ]


async def _judged(email: Received, mail: Spooled) -> Authentication:
    if mail.authentication:
        return Authentication.from_dict(mail.authentication)
    values = settings()
    # Whoever may write all of a mail writes its trace too.
    is_open = mail.source.startswith(OPEN)
    if values.TRUSTED_AUTHSERV_ID and not is_open:
        return reported(email.parsed, values.TRUSTED_AUTHSERV_ID) or replace(
            NOT_ASKED, reason=f"{values.TRUSTED_AUTHSERV_ID}, which is trusted, says nothing of it."
        )
    names = runtime().names
    author = author_domain(email.parsed)
    if names is None or not author:
        return NOT_ASKED
    checks = await _signatures(names, mail.raw)
    client = None if is_open else client_of(email.parsed, values.TRUSTED_RECEIVED_BY)
    if client is not None:
        checks.append(await check_spf(names, client, email.parsed.return_path or ""))
    return await judge(names, author, checks)


async def _signatures(names: Names, raw: bytes) -> list[Check]:
    """Check the DKIM signatures; a mail without any is not taken apart."""
    if b"dkim-signature:" not in raw[: raw.find(b"\r\n\r\n")].lower():
        return []
    sealed = await asyncio.to_thread(Sealed, raw)
    now = clock.now()
    return [
        await asyncio.to_thread(sealed.check, signature, await _keys(names, signature), now)
        for signature in sealed.signatures
    ]


async def _keys(names: Names, signature: Signature) -> tuple[str, ...] | None:
    try:
        return await names.texts(signature.key_name)
    except NamesAway:
        return None
