"""Judging who mails are from: the word of a trusted server, or else DKIM, SPF and DMARC by our own questions.

It never holds a mail up for long, and never fails: what could not be asked is `unknown`. A mail is judged once; the
verdict stays with it in the spool, since keys are changed and a later look would say something else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import structlog

from core import clock
from core.gateway.spool import OPEN, Spooled
from core.gateway.values import Received
from core.mail.address import domain_of
from core.mail.authentication import (
    NOT_ASKED,
    Authentication,
    Check,
    Client,
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

log = structlog.get_logger(__name__)

_LONGEST_S = 5.0
_SERVER_S = 2.5
"""No longer, so that time is left to ask the author's own domain what it wants."""
_TOO_LATE = Authentication(Verdict.UNKNOWN, "The DNS did not answer in time.")
_AT_FAULT = Authentication(Verdict.UNKNOWN, "It could not be judged; the log says why.")


async def authenticated(emails: Sequence[Received], mails: Sequence[Spooled]) -> list[Received]:
    """Return the mails of a batch with who they are from, each judged now or before."""
    raws = {mail.id: mail for mail in mails}
    found: list[Authentication | asyncio.Task[Authentication]] = []
    # All mails of an author's domain that bring nothing to be checked have the same verdict.
    plain: dict[str, asyncio.Task[Authentication]] = {}
    for email in emails:
        mail = raws[email.spool_id]
        author = author_domain(email.parsed)
        known = _known(email, mail, author)
        if known is not None:
            found.append(known)
        elif (proofs := _proofs(email, mail)) is not None:
            found.append(asyncio.create_task(_judged(email, author, proofs)))
        else:
            if author not in plain:
                plain[author] = asyncio.create_task(_judged(email, author, _Proofs()))
            found.append(plain[author])
    await _in_time([one for one in found if isinstance(one, asyncio.Task)])
    verdicts = map(_verdict, found)
    return [
        email if verdict == email.authentication else replace(email, authentication=verdict)
        for email, verdict in zip(emails, verdicts, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Proofs:
    """What a mail brings that can be checked: its bytes where they are signed, and who handed it to our servers."""

    signed: bytes = field(default=b"", repr=False)
    client: Client | None = None


def _known(email: Received, mail: Spooled, author: str) -> Authentication | None:
    """Return what needs no question: what was found before, or what a trusted server says."""
    if mail.authentication:
        return Authentication.from_dict(mail.authentication)
    trusted = settings().TRUSTED_AUTHSERV_ID
    if trusted and not _is_open(mail):
        silent = replace(NOT_ASKED, reason=f"{trusted}, which is trusted, says nothing of it.")
        return reported(email.parsed, trusted) or silent
    return NOT_ASKED if runtime().names is None or not author else None


def _proofs(email: Received, mail: Spooled) -> _Proofs | None:
    is_signed = email.parsed.header("DKIM-Signature") is not None
    client = None if _is_open(mail) else client_of(email.parsed, settings().TRUSTED_RECEIVED_BY)
    return _Proofs(mail.raw if is_signed else b"", client) if is_signed or client else None


def _is_open(mail: Spooled) -> bool:
    """Whether anybody may write all of the mail, and so its trace too."""
    return mail.source.startswith(OPEN)


async def _in_time(judging: Sequence[asyncio.Task[Authentication]]) -> None:
    if not judging:
        return
    try:
        await asyncio.wait(judging, timeout=_LONGEST_S)
    finally:
        late = [one for one in judging if not one.done()]
        for one in late:
            one.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _verdict(one: Authentication | asyncio.Task[Authentication]) -> Authentication:
    if isinstance(one, Authentication):
        return one
    if one.cancelled():
        return _TOO_LATE
    error = one.exception()
    if error is not None:
        log.error("a sender cannot be judged", exc_info=error)
        return _AT_FAULT
    return one.result()


async def _judged(email: Received, author: str, proofs: _Proofs) -> Authentication:
    names = runtime().names
    assert names is not None
    signatures, server = await asyncio.gather(
        _signatures(names, proofs.signed), _server(names, proofs.client, email.parsed.return_path or "")
    )
    return await judge(names, author, (*signatures, *server))


async def _signatures(names: Names, raw: bytes) -> list[Check]:
    if not raw:
        return []
    sealed = await asyncio.to_thread(Sealed, raw)
    signatures = sealed.signatures
    keys = await asyncio.gather(*(_keys(names, signature) for signature in signatures))
    now = clock.now()
    return [
        await asyncio.to_thread(sealed.check, signature, key, now)
        for signature, key in zip(signatures, keys, strict=True)
    ]


async def _server(names: Names, client: Client | None, return_path: str) -> list[Check]:
    """Check the server that a mail came from, where that is told; who sends mail may name what answers slowly."""
    if client is None:
        return []
    try:
        async with asyncio.timeout(_SERVER_S):
            return [await check_spf(names, client, return_path)]
    except TimeoutError:
        return [Check("spf", "temperror", domain_of(return_path), "The DNS did not answer in time.")]


async def _keys(names: Names, signature: Signature) -> tuple[str, ...] | None:
    try:
        return await names.texts(signature.key_name)
    except NamesAway:
        return None
