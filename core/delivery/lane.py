"""One connection's way through the queue: announce, mark, send, record, next.

The next mail's envelope travels with this one's content where the server can pipeline, so a mail costs one round trip.
A lane never sends content that it has not marked, and never marks a second mail before the first one's answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Protocol

from core.delivery.ledger import Ledger
from core.delivery.mail import Mail
from core.delivery.results import Result
from core.mail.retry import Outcome, Phase, classify
from core.tracing import span
from core.transport.smtp import EnvelopeReply, SmtpError, SmtpReply, SmtpSession

_CLOSING = 421
_LARGE_BYTES = 1_000_000


class Mails(Protocol):
    """Where a lane gets its mails from."""

    async def take(self, *, can_wait: bool) -> Mail | None:
        """Return the next mail, composed; None when nothing is left to begin, or nothing at once."""
        ...

    def give_back(self, mail: Mail) -> None:
        """Take back a mail of which no content was sent."""
        ...

    async def lose(self, mail: Mail) -> None:
        """Take notice that a mail must not be sent after all, and look which of the others may."""
        ...


class ServerFault(Exception):
    """The server, not a mail, is at fault; the words say how."""


class SmtpLane:
    """Sends mails on one connection until there are none, or the connection is worn."""

    def __init__(self, session: SmtpSession, mails: Mails, ledger: Ledger, most: int):
        self.session = session
        self.mails = mails
        self.ledger = ledger
        self.most = most
        """How many mails this connection may carry."""
        self.accepted = 0
        self._current: Mail | None = None
        self._following: Mail | None = None
        self._started_at = monotonic()
        self._server = str(session.account)

    async def run(self) -> None:
        """Send what there is. Every mail taken is recorded or given back, however this ends.

        Raises ServerFault when the server failed or refused our account.
        """
        try:
            await self._run()
        except SmtpError as error:
            self._broken(error)
            if not self._is_worn_out(error):
                raise ServerFault(str(error)) from error
        except BaseException:
            self._stopped()
            raise

    async def _run(self) -> None:
        reply: EnvelopeReply | None = None
        self._current = await self._next()
        while self._current is not None:
            self._started_at = monotonic()
            if reply is None:
                reply = await self.session.begin(self._current.envelope)
            if not reply.is_open:
                results = self._refusals(self._current, reply)
                self.ledger.record(results)
                self._current = None
                _raise_for_server(results)
            elif not await self._marked(self._current):
                # Its lease is lost, or it was stopped or suppressed since the claim. What is left goes on anew.
                self.session.abandon()
                if self._following is not None:
                    self.mails.give_back(self._following)
                await self.mails.lose(self._current)
                self._current = self._following = None
                return
            else:
                await self._send(self._current, reply)
            reply = await self.session.begun() if self._current is not None else None
            self._current = self._current or await self._next()

    async def _marked(self, mail: Mail) -> bool:
        """Mark the open mail, and compose the next one while that is committed; tell whether this one may be sent."""
        marked = self.ledger.begin(mail.job)
        self._following = await self._next()
        return await marked

    async def _send(self, mail: Mail, reply: EnvelopeReply) -> None:
        with span("mail.send", message=mail.job.message["id"], deliveries=len(mail.deliveries)):
            answer = await self.session.content(mail.content, self._following.envelope if self._following else None)
        self.ledger.record(self._answers(mail, reply, answer))
        self.accepted += answer.ok
        self._current, self._following = self._following, None

    async def _next(self) -> Mail | None:
        """Return what to announce next; the open mail counts among those that the connection carries."""
        if self._current is None and not self.session.is_usable:
            return None
        if self._current is not None and len(self._current.content) > _LARGE_BYTES:
            # What follows a large mail can wait; two of them a lane would fill the memory.
            return None
        carried = self.session.messages + (self._current is not None)
        if carried >= self.most:
            return None
        return await self.mails.take(can_wait=self._current is None)

    # What the answers mean.

    def _refusals(self, mail: Mail, reply: EnvelopeReply) -> list[Result]:
        count = len(mail.deliveries)
        return [self._result(mail, index, *refusal) for index in range(count) if (refusal := reply.refusal(index))]

    def _answers(self, mail: Mail, reply: EnvelopeReply, answer: SmtpReply) -> list[Result]:
        taken = Phase.CONTENT, answer
        return [self._result(mail, index, *(reply.refusal(index) or taken)) for index in range(len(mail.deliveries))]

    def _result(self, mail: Mail, index: int, phase: Phase, reply: SmtpReply) -> Result:
        return self._made(mail, index, phase, reply.code, reply.enhanced, reply.words)

    def _made(self, mail: Mail, index: int, phase: Phase, code: int | None, enhanced: str | None, words: str) -> Result:
        outcome, took_ms = classify(phase, code, enhanced), round((monotonic() - self._started_at) * 1000)
        delivery, token = mail.deliveries[index], mail.job.token
        return Result(delivery, token, outcome, phase, code, enhanced, words, self._server, self.session.tls, took_ms)

    # When the conversation ends badly.

    def _broken(self, error: SmtpError) -> None:
        """Record the open mail as far as it came; give back what was only announced."""
        if self._following is not None:
            self.mails.give_back(self._following)
        if self._current is None:
            return
        if self._is_worn_out(error):
            self.mails.give_back(self._current)
        else:
            mail, count = self._current, len(self._current.deliveries)
            ended = error.phase, error.reply_code, error.enhanced, str(error)
            self.ledger.record([self._made(mail, index, *ended) for index in range(count)])

    def _is_worn_out(self, error: SmtpError) -> bool:
        """Whether the server only ends a connection that has carried mail before; a new one may go on at once."""
        return self.session.messages > 0 and error.phase is Phase.MAIL and error.reply_code in (None, _CLOSING)

    def _stopped(self) -> None:
        """The lane ends early: what may have reached the server is in doubt, the rest was never sent."""
        if self._following is not None:
            self.mails.give_back(self._following)
        mail = self._current
        if mail is None:
            return
        if self.session.phase is Phase.CONTENT:
            words = "The worker was stopped while it waited for the server's answer."
            count = len(mail.deliveries)
            self.ledger.record([self._made(mail, index, Phase.CONTENT, None, None, words) for index in range(count)])
        else:
            self.mails.give_back(mail)


def _raise_for_server(results: Sequence[Result]) -> None:
    at_fault = next((result for result in results if result.outcome is Outcome.SERVER), None)
    if at_fault is not None:
        raise ServerFault(f"{at_fault.server}: {at_fault.reply}")
