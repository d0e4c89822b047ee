"""Opening an SMTP connection: DNS, TCP, greeting, EHLO, TLS and AUTH, each a step with a deadline and a phase.

aiosmtplib does the talking. AUTH never travels in clear text, except to a loopback address when the account's TLS is
`none`; a certificate that does not verify, or bytes slipped in before the handshake (RFC 3207 section 6), end it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import aiosmtplib

from core.mail.retry import Phase
from core.pattern import pattern
from core.transport.dial import dial, is_loopback, look_up, shown_addresses, words_of
from core.transport.oauth import OAuthError, TokenSource
from core.transport.sasl import oauthbearer, repeats_a_secret
from core.transport.smtp_account import SmtpAccount
from core.transport.smtp_reply import SmtpError, SmtpReply, printable
from core.transport.smtp_session import Features, SmtpSession
from core.transport.smtp_wire import SmtpWire
from core.transport.step import StepLog
from core.transport.tls import Tls, client_context

_ONE_REPLY = pattern(rb"(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n")
_SHOWN_FACTS = 300


async def open_session(account: SmtpAccount, log: StepLog | None = None) -> SmtpSession:
    """Connect and log in; the steps go to `log`. Raises SmtpError at CONNECT, GREETING, EHLO, TLS or AUTH."""
    return await _Opening(account, log or StepLog()).run()


class _Opening:
    def __init__(self, account: SmtpAccount, log: StepLog):
        self._account = account
        self._timeouts = account.timeouts
        self._log = log
        self._secrets = {account.password} - {""}

    async def run(self) -> SmtpSession:
        context = await self._context() if self._account.is_implicit_tls else None
        sock = await self._connect()
        is_local = is_loopback(sock.getpeername()[0])
        smtp = self._client(sock, context)
        try:
            await self._greet(smtp)
            await self._introduce(smtp)
            if self._wants_starttls(smtp, is_local):
                await self._start_tls(smtp)
                await self._introduce(smtp)
            if self._account.username:
                await self._log_in(smtp, is_local)
            return self._hand_over(smtp)
        except BaseException:
            smtp.close()
            # A TLS transport would wait for the server's farewell; without the socket it cannot.
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            raise

    async def _connect(self) -> socket.socket:
        account, seconds = self._account, self._timeouts.connect_s
        async with self._step("DNS", Phase.CONNECT, seconds) as detail:
            found = await look_up(account.host, account.port, account.peers)
            detail.extend(shown_addresses(found))
        async with self._step("TCP", Phase.CONNECT, seconds) as detail:
            sock = await dial(found, seconds)
            detail.append(str(sock.getpeername()[0]))
            return sock

    def _client(self, sock: socket.socket, context: ssl.SSLContext | None) -> aiosmtplib.SMTP:
        ours = sock.getsockname()[0]
        return aiosmtplib.SMTP(
            hostname=self._account.host,
            sock=sock,
            local_hostname=self._account.local_hostname or (f"[IPv6:{ours}]" if ":" in ours else f"[{ours}]"),
            timeout=None,
            use_tls=context is not None,
            start_tls=False,
            tls_context=context,
        )

    async def _greet(self, smtp: aiosmtplib.SMTP) -> None:
        name = "TLS, greeting" if smtp.use_tls else "greeting"
        # aiosmtplib applies its time-out to the handshake and to the greeting, to each as a whole.
        async with self._step(name, Phase.GREETING, None) as detail:
            try:
                greeting = await smtp.connect(timeout=self._timeouts.greeting_s)
            except aiosmtplib.SMTPConnectError as error:
                if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, aiosmtplib.SMTPException):
                    raise self._error(Phase.TLS, words_of(error.__cause__)) from error
                raise
            detail.extend((*_tls_words(smtp), printable(greeting.message.encode())))

    async def _introduce(self, smtp: aiosmtplib.SMTP) -> None:
        async with self._step("EHLO", Phase.EHLO, self._timeouts.command_s) as detail:
            try:
                await smtp.ehlo()
            except aiosmtplib.SMTPHeloError as error:
                if not 500 <= error.code < 600:
                    raise
                await smtp.helo()
            detail.extend(Features.of(smtp.esmtp_extensions).words)

    def _wants_starttls(self, smtp: aiosmtplib.SMTP, is_local: bool) -> bool:
        """Decide for Tls.AUTO: a password asks for it; without one it is taken where offered, loopback aside."""
        account = self._account
        if smtp.use_tls or account.tls is Tls.NONE:
            return False
        is_required = account.tls is Tls.STARTTLS or bool(account.username)
        is_offered = smtp.supports_extension("starttls")
        if is_required and not is_offered:
            raise self._error(
                Phase.TLS,
                "it does not offer STARTTLS, so nothing was sent; check this account's port and TLS setting",
            )
        return is_required or (is_offered and not is_local)

    async def _start_tls(self, smtp: aiosmtplib.SMTP) -> None:
        context = await self._context()
        async with self._step("STARTTLS", Phase.TLS, self._timeouts.tls_s) as detail:
            tap = _Tap(smtp)
            await smtp.starttls(tls_context=context)
            if not _ONE_REPLY.fullmatch(tap.heard):
                raise self._error(Phase.TLS, "bytes were slipped in before the TLS handshake")
            detail.extend(_tls_words(smtp))

    async def _log_in(self, smtp: aiosmtplib.SMTP, is_local: bool) -> None:
        """Send the login once, by the simplest method offered: TLS protects it, and a second try may lock it out."""
        account = self._account
        is_safe = smtp.get_transport_info("ssl_object") is not None or (account.tls is Tls.NONE and is_local)
        if not is_safe:
            raise self._error(Phase.TLS, "a password is not sent without TLS; set TLS to starttls or implicit")
        known = ("xoauth2", "oauthbearer") if account.token is not None else ("plain", "login", "cram-md5")
        async with self._step("AUTH", Phase.AUTH, self._timeouts.command_s) as detail:
            name = next((name for name in known if name in smtp.server_auth_methods), None)
            if name is None:
                offered = ", ".join(smtp.server_auth_methods) or "none"
                raise self._error(Phase.AUTH, f"it offers no login method that we know (offered: {offered})")
            if account.token is not None:
                await self._show_token(smtp, name, account.token)
            else:
                methods = {"plain": smtp.auth_plain, "login": smtp.auth_login, "cram-md5": smtp.auth_crammd5}
                await methods[name](account.username, account.password)
            detail.append(f"{name.upper()} as {account.username}")

    async def _show_token(self, smtp: aiosmtplib.SMTP, method: str, source: TokenSource) -> None:
        """Log in by an access token; one that is refused is renewed once, since providers may end it early."""
        token = await source()
        try:
            await self._bear(smtp, method, token)
        except aiosmtplib.SMTPAuthenticationError:
            renewed = await source(refused=token)
            if renewed == token or not smtp.is_connected:
                raise
            await self._bear(smtp, method, renewed)

    async def _bear(self, smtp: aiosmtplib.SMTP, method: str, token: str) -> None:
        """Send a bearer token by XOAUTH2 (Google's and Microsoft's) or OAUTHBEARER (RFC 7628 section 3.1)."""
        self._secrets.add(token)
        if method == "xoauth2":
            await smtp.auth_xoauth2(self._account.username, token)
            return
        account = self._account
        words = oauthbearer(account.username, account.host, account.port, token)
        reply = await smtp.execute_command(b"AUTH", b"OAUTHBEARER", words.encode())
        if reply.code == aiosmtplib.SMTPStatus.auth_continue:
            # The challenge tells of the failure; this dummy answer asks for the reply to it (section 3.2.3).
            reply = await smtp.execute_command(b64encode(b"\x01"))
        if reply.code != aiosmtplib.SMTPStatus.auth_successful:
            raise aiosmtplib.SMTPAuthenticationError(reply.code, reply.message)

    def _hand_over(self, smtp: aiosmtplib.SMTP) -> SmtpSession:
        """Take the connection from aiosmtplib, which keeps nothing of it."""
        if not smtp.is_connected:
            raise self._error(Phase.EHLO, "the connection was lost")
        transport = cast(asyncio.Transport, smtp.transport)
        features, tls = Features.of(smtp.esmtp_extensions), _tls_version(smtp)
        smtp.protocol = smtp.transport = None
        return SmtpSession(SmtpWire(transport, str(self._account)), self._account, features, tls)

    async def _context(self) -> ssl.SSLContext:
        """Build the TLS context in a thread: reading the authorities takes tens of milliseconds."""
        try:
            return await asyncio.to_thread(client_context, self._account.verify, self._account.ca_file)
        except OSError as error:
            raise self._error(Phase.TLS, f"the CA file {self._account.ca_file} cannot be read: {error}") from error

    @asynccontextmanager
    async def _step(self, name: str, phase: Phase, seconds: float | None) -> AsyncIterator[list[str]]:
        with self._log.step(name) as detail:
            try:
                async with asyncio.timeout(seconds):
                    yield detail
            except SmtpError:
                raise
            except OAuthError as error:
                raise self._error(phase, str(error)) from None
            except aiosmtplib.SMTPResponseException as error:
                # Not chained: the text may repeat the password.
                raise self._refused(phase, error) from None
            except TimeoutError as error:
                raise self._error(phase, "no answer in time") from error
            except (aiosmtplib.SMTPException, OSError, ValueError) as error:
                raise self._error(phase, words_of(error)) from error

    def _refused(self, phase: Phase, error: aiosmtplib.SMTPResponseException) -> SmtpError:
        raw = error.message.encode("utf-8", "surrogateescape")
        if repeats_a_secret(raw, self._secrets):
            raw = b"(not shown: the server repeats the password)"
        if not 200 <= error.code < 600:
            # Whoever names a host to us shall not read by our eyes what else listens there.
            heard = f': "{printable(raw[:200])}"' if self._account.peers is None else ""
            return self._error(phase, f"it broke the protocol{heard}")
        return SmtpError(phase, str(self._account), f"{phase.upper()} was refused", SmtpReply(error.code, raw))

    def _error(self, phase: Phase, reason: str) -> SmtpError:
        return SmtpError(phase, str(self._account), reason)


class _Tap(asyncio.Protocol):
    """Stands before aiosmtplib until the TLS handshake: it drops early plain text silently, we want to know."""

    def __init__(self, smtp: aiosmtplib.SMTP):
        assert smtp.protocol is not None
        assert smtp.transport is not None
        self.heard = b""
        self._inner = smtp.protocol
        smtp.transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)


def _tls_version(smtp: aiosmtplib.SMTP) -> str:
    channel = smtp.get_transport_info("ssl_object")
    return f"{channel.version()} {channel.cipher()[0]}" if channel else ""


def _tls_words(smtp: aiosmtplib.SMTP) -> list[str]:
    """Describe the channel and the certificate, which Python shows only if it was verified."""
    channel = smtp.get_transport_info("ssl_object")
    if channel is None:
        return []
    certificate = channel.getpeercert()
    if not certificate:
        return [_tls_version(smtp), "certificate not verified, as this account says"]
    names = ", ".join(value for _, value in certificate.get("subjectAltName", ()))
    subject, issuer = _common_name(certificate["subject"]) or names, _common_name(certificate["issuer"])
    facts = f"certificate of {subject}, by {issuer or 'nobody named'}, valid until {certificate['notAfter']}"
    return [_tls_version(smtp), printable(facts.encode())[:_SHOWN_FACTS]]


def _common_name(name: Any) -> str:
    """Return the common name, or the organisation, of a certificate's subject or issuer."""
    known = {key: str(value) for part in name for key, value in part}
    return known.get("commonName") or known.get("organizationName", "")
