"""What a mail server on this machine hands over by LMTP: for our domains, and into the spool before it is answered."""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress

import structlog

from core.errors import ConfigError
from core.gateway.intake import identity, take_in, with_envelope
from core.gateway.lookup import open_lookup
from core.mail.address import domain_of
from core.orm.outage import database_errors
from core.runtime import settings
from core.transport.lmtp import Envelope, Refusal, lmtp_listener

log = structlog.get_logger(__name__)

_TAKE_OVER_S = 5.0


class Spool:
    """Takes mail for the domains that this host receives at."""

    async def check_recipient(self, address: str) -> None:
        """Refuse what is for somebody else: whoever may connect must not relay through us."""
        try:
            domains = (await open_lookup()).domains
        except database_errors() as error:
            raise _away(error) from error
        if domain_of(address) not in domains:
            raise Refusal(550, "5.7.1", "Mail for that domain is not taken here")

    async def receive(self, envelope: Envelope) -> None:
        """Commit a mail; one that was handed over before is thanked for again, and changes nothing."""
        source = identity("lmtp", envelope.content, envelope.return_path, envelope.recipients)
        raw = with_envelope(envelope.content, envelope.return_path, envelope.recipients)
        try:
            await take_in(raw, source)
        except database_errors() as error:
            raise _away(error) from error


async def listen(stop: asyncio.Event) -> None:
    """Listen at LMTP_LISTEN until `stop`; return at once where none is set.

    Of several workers on a machine one listens, and another takes over when it ends. Raises ConfigError for an address
    that cannot be had at all.
    """
    values = settings()
    while values.LMTP_LISTEN and not stop.is_set():
        try:
            async with lmtp_listener(values.LMTP_LISTEN, Spool(), largest_bytes=values.MAX_MAIL_BYTES) as address:
                log.info("LMTP listens", address=address)
                await stop.wait()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                words = f"LMTP_LISTEN: {values.LMTP_LISTEN} cannot be listened at: {error.strerror}"
                raise ConfigError(words) from error
            log.info("LMTP is listened for by another worker", address=values.LMTP_LISTEN)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _TAKE_OVER_S)


def _away(error: BaseException) -> Refusal:
    log.warning("LMTP mail not taken: the database failed", error=str(error))
    return Refusal(451, "4.3.0", "The mail cannot be kept just now; come again")
