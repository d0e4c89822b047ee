"""A mailbox on an IMAP server, for one task at a time: what is there, its mails, marking them seen (RFC 3501, 9051).

Fetching never changes a mailbox: mails are only peeked at, and only `mark_seen` sets a flag. Nothing is ever deleted.
Knows no records. UIDs mean a mail only together with `uid_validity`.

    async with open_mailbox(account, "INBOX") as mailbox:
        async for item in mailbox.fetch(await mailbox.unseen_uids()):
            ...
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

from core.transport.imap_account import ImapAccount, ImapAuthenticationError, ImapError
from core.transport.imap_fetch import FetchedMail, TooLarge, Unfetchable, batches, fetch_items, mail_of, number
from core.transport.imap_names import folder_argument, quoted, uid_set
from core.transport.imap_reader import ResponseError
from core.transport.step import Step, StepLog
from core.transport.tls import Tls

if TYPE_CHECKING:
    from core.transport.imap_protocol import Answer, ImapProtocol

__all__ = [
    "FetchedMail",
    "ImapAccount",
    "ImapAuthenticationError",
    "ImapError",
    "Mailbox",
    "TooLarge",
    "Unfetchable",
    "open_mailbox",
    "test_connection",
]

MEGABYTE = 1024 * 1024
UIDS_PER_COMMAND = 500
SLOWEST_BYTES_PER_S = 16 * 1024
"""A server that fetches slower than this is given up."""
IDLE_AT_MOST_S = 28 * 60
"""Servers may end an IDLE after half an hour (RFC 2177)."""
POLL_EVERY_S = 20
_LOGOUT_WITHIN_S = 5
# Refusals that say nothing about the password (RFC 5530).
_NOT_NOW = re.compile(rb"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG|CONTACTADMIN)\]", re.IGNORECASE)


class Mailbox:
    """A selected folder. After an ImapError or a cancellation its connection is closed."""

    def __init__(self, protocol: ImapProtocol, account: ImapAccount, capabilities: frozenset[str], selected: Answer):
        self._protocol = protocol
        self._account = account
        self._capabilities = capabilities
        self.uid_validity = _code_number(selected, "UIDVALIDITY")
        """Another number than last time means that the UIDs known from then are void."""
        self.uid_next = _code_number(selected, "UIDNEXT")
        """The lowest UID that a new mail may get; 0 where the server does not say."""
        if not self.uid_validity:
            raise ImapError("select", str(account), "the server gives no UIDVALIDITY, so mails cannot be told apart")

    async def uids(self, after: int = 0) -> tuple[int, ...]:
        """Return the UIDs greater than `after`, rising."""
        return await self._search(after)

    async def unseen_uids(self, after: int = 0) -> tuple[int, ...]:
        """Return the UIDs greater than `after` that nobody has seen, rising."""
        return await self._search(after, "UNSEEN")

    async def fetch(
        self,
        uids: Iterable[int],
        *,
        max_mail_bytes: int = 50 * MEGABYTE,
        max_batch_bytes: int = 8 * MEGABYTE,
        max_batch_count: int = 50,
    ) -> AsyncIterator[FetchedMail | TooLarge | Unfetchable]:
        """Yield these mails in rising order, leaving them unseen; at most one batch, or one mail, is in memory.

        A mail over `max_mail_bytes` comes as TooLarge and is not transferred; one that the server does not hand out as
        Unfetchable; one that is gone does not come.
        """
        for window in _windows(sorted(set(uids)), UIDS_PER_COMMAND):
            sizes = await self._sizes(window)
            for uid in [uid for uid, size in sizes.items() if size > max_mail_bytes]:
                yield TooLarge(uid, sizes.pop(uid))
            for batch in batches(sizes, max_batch_bytes, max_batch_count):
                mails = await self._mails({uid: sizes[uid] for uid in batch})
                while mails:
                    yield mails.pop()

    async def mark_seen(self, uids: Iterable[int]) -> None:
        """Set \\Seen; UIDs that are gone are passed over."""
        for window in _windows(sorted(set(uids)), UIDS_PER_COMMAND):
            await self._ok("store", "UID STORE", uid_set(window), "+FLAGS.SILENT", r"(\Seen)")

    async def wait_for_change(self, timeout_s: float) -> bool:
        """Wait until the server tells of mail since the last search, and return True; False after `timeout_s`.

        Uses IDLE, at most 28 minutes at a time, and where the server has none asks every 20 seconds.
        """
        protocol, within_s = self._protocol, self._account.timeout_s
        give_up_at = protocol.loop.time() + timeout_s
        while not protocol.news.is_set() and (left_s := give_up_at - protocol.loop.time()) > 0:
            if "IDLE" in self._capabilities:
                await protocol.idle(min(left_s, IDLE_AT_MOST_S), within_s)
            else:
                await asyncio.sleep(min(left_s, POLL_EVERY_S))
                await self._ok("noop", "NOOP")
        return protocol.news.is_set()

    async def _search(self, after: int, *keys: str) -> tuple[int, ...]:
        # News that come during the search count for the next time, as they may be missing from its result.
        self._protocol.news.clear()
        answer = await self._ok("search", "UID SEARCH", "UID", f"{after + 1}:*", *keys)
        lines = [line.split() for line, *_ in answer.responses]
        with _reading(self._protocol):
            found = {number(word) for words in lines if words[1:2] == [b"SEARCH"] for word in words[2:]}
        # "n:*" means the last mail too, even where n is beyond it.
        return tuple(sorted(uid for uid in found if uid > after))

    async def _sizes(self, uids: Sequence[int]) -> dict[int, int]:
        answer = await self._ok("sizes", "UID FETCH", uid_set(uids), "(UID RFC822.SIZE)")
        with _reading(self._protocol):
            fetched = [fetch_items(response) for response in answer.responses]
            sizes = {
                number(items[b"UID"]): number(items[b"RFC822.SIZE"])
                for items in fetched
                if items and b"UID" in items and b"RFC822.SIZE" in items
            }
        return {uid: sizes[uid] for uid in uids if uid in sizes}

    async def _mails(self, sizes: dict[int, int]) -> list[FetchedMail | Unfetchable]:
        """Fetch one batch, the last mail first in the list; where the server refuses it, mail by mail."""
        answer = await self._fetch_bodies(sizes)
        found: dict[int, FetchedMail | Unfetchable] = {}
        with _reading(self._protocol):
            for items in map(fetch_items, answer.responses):
                uid = number(items[b"UID"]) if items and b"UID" in items else 0
                mail = mail_of(items, sizes[uid]) if items and uid in sizes else None
                if mail is not None:
                    found[uid] = mail
        for uid in sizes.keys() - found.keys() if answer.status != "OK" else ():
            if len(sizes) == 1:
                refusal = self._refusal("fetch", answer)
                found[uid] = Unfetchable(uid, sizes[uid], refusal.server_text)
            else:
                found |= {mail.uid: mail for mail in await self._mails({uid: sizes[uid]})}
        return [found[uid] for uid in sorted(found, reverse=True)]

    async def _fetch_bodies(self, sizes: dict[int, int]) -> Answer:
        expected_bytes = sum(sizes.values())
        return await self._protocol.run(
            "fetch",
            "UID FETCH",
            uid_set(sizes),
            "(UID FLAGS INTERNALDATE BODY.PEEK[])",
            within_s=self._account.timeout_s + expected_bytes / SLOWEST_BYTES_PER_S,
            expected_bytes=expected_bytes,
        )

    async def _ok(self, step: str, name: str, *arguments: str) -> Answer:
        answer = await self._protocol.run(step, name, *arguments, within_s=self._account.timeout_s)
        if answer.status != "OK":
            raise self._refusal(step, answer)
        return answer

    def _refusal(self, step: str, answer: Answer) -> ImapError:
        return ImapError(step, str(self._account), "the server refused", answer.text)


@asynccontextmanager
async def open_mailbox(account: ImapAccount, folder: str = "INBOX") -> AsyncIterator[Mailbox]:
    """Connect, log in and select a folder; on leaving, log out and close, whatever happened.

    Raises ImapError, ImapAuthenticationError if the login was refused, and ConfigError for an impossible folder name.
    """
    async with _opened(account, folder, StepLog()) as mailbox:
        yield mailbox


async def test_connection(account: ImapAccount, folder: str = "INBOX") -> tuple[Step, ...]:  # noqa: PT028
    """Do what fetching does, short of fetching, and return each step with its time; the last one tells of a failure."""
    log = StepLog()
    with suppress(ImapError):
        async with _opened(account, folder, log) as mailbox:
            with log.step("search") as detail:
                detail.append(f"{len(await mailbox.unseen_uids())} unseen of {len(await mailbox.uids())} mails")
    return tuple(log.steps)


@asynccontextmanager
async def _opened(account: ImapAccount, folder: str, log: StepLog) -> AsyncIterator[Mailbox]:
    # Here and not above, because aioimaplib takes long to import and most processes fetch no mail.
    from core.transport.imap_protocol import ImapProtocol

    argument = folder_argument(folder)
    protocol = ImapProtocol(str(account), account.is_implicit_tls)
    try:
        await _connect(protocol, account, log)
        await _log_in(protocol, account, log)
        with log.step("select") as detail:
            capabilities = await _capabilities(protocol, account)
            selected = await protocol.run("select", "SELECT", argument, within_s=account.timeout_s)
            if selected.status != "OK":
                raise ImapError("select", str(account), f"the server does not open {folder}", selected.text)
            mailbox = Mailbox(protocol, account, capabilities, selected)
            detail.append(folder)
        yield mailbox
        # What was done is done; a server that takes no proper leave spoils nothing.
        with suppress(ImapError), log.step("logout"):
            await protocol.run("logout", "LOGOUT", within_s=_LOGOUT_WITHIN_S)
    finally:
        await protocol.wait_closed()


async def _connect(protocol: ImapProtocol, account: ImapAccount, log: StepLog) -> None:
    """Connect and encrypt as the account asks; before that, what the server says is believed as little as possible."""
    with log.step("connect") as detail:
        connecting = protocol.loop.create_connection(lambda: protocol, account.host, account.port)
        await protocol.within("connect", account.timeout_s, connecting)
        detail.append(str(account))
    if account.is_implicit_tls:
        with log.step("tls") as detail:
            detail.append(await protocol.start_tls(account))
    with log.step("greeting"):
        is_known = await protocol.hello(account.timeout_s)
    if account.is_implicit_tls or account.tls is Tls.NONE:
        return
    with log.step("starttls") as detail:
        # Who is greeted as logged in already can no longer encrypt: that is how a password is lured into the open.
        answer = None if is_known else await protocol.run("starttls", "STARTTLS", within_s=account.timeout_s)
        if answer is None or answer.status != "OK":
            said = answer.text if answer else protocol.greeting
            raise ImapError("starttls", str(account), "the server does not encrypt, so no password is sent", said)
        detail.append(await protocol.start_tls(account))


async def _log_in(protocol: ImapProtocol, account: ImapAccount, log: StepLog) -> None:
    with log.step("login") as detail:
        detail.append(account.username)
        if protocol.is_logged_in:
            return
        if not protocol.may_take_secrets:
            raise ImapError("login", str(account), "the connection is not encrypted, so no password is sent over it")
        answer = await _ask_for_login(protocol, account, await _capabilities(protocol, account))
        if answer.status == "NO" and not _NOT_NOW.search(answer.text):
            raise ImapAuthenticationError(
                "login", str(account), f"the login as {account.username} is refused", answer.text
            )
        if answer.status != "OK":
            raise ImapError("login", str(account), "the server does not take the login", answer.text)


async def _ask_for_login(protocol: ImapProtocol, account: ImapAccount, capabilities: frozenset[str]) -> Answer:
    # SASL first: only there may a name or password be other than ASCII.
    if "AUTH=PLAIN" in capabilities:
        sasl = b64encode(f"\0{account.username}\0{account.password}".encode()).decode("ascii")
        return await protocol.authenticate_plain(sasl, "SASL-IR" in capabilities, account.timeout_s)
    if "LOGINDISABLED" in capabilities:
        raise ImapError("login", str(account), "the server offers no login by password")
    arguments = quoted(account.username), quoted(account.password)
    return await protocol.run("login", "LOGIN", *arguments, within_s=account.timeout_s, secret=arguments[1])


async def _capabilities(protocol: ImapProtocol, account: ImapAccount) -> frozenset[str]:
    answer = await protocol.run("capability", "CAPABILITY", within_s=account.timeout_s)
    lines = [line.upper().split() for line, *_ in answer.responses]
    words = [word for line in lines if line[1:2] == [b"CAPABILITY"] for word in line[2:]]
    return frozenset(word.decode("ascii", "replace") for word in words)


@contextmanager
def _reading(protocol: ImapProtocol) -> Iterator[None]:
    """Within the block a response that cannot be read ends the connection."""
    try:
        yield
    except ResponseError as error:
        raise protocol.fail(f"the server broke the protocol: {error}") from error


def _code_number(selected: Answer, name: str) -> int:
    """Return the number in a response code such as `[UIDNEXT 7]` of a SELECT, 0 if there is none."""
    pattern = re.compile(rb"\* OK \[%b ([0-9]{1,19})\]" % name.encode("ascii"), re.IGNORECASE)
    numbers = [int(code[1]) for line, *_ in selected.responses if (code := pattern.match(line))]
    return numbers[-1] if numbers else 0


def _windows(uids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (uids[start : start + size] for start in range(0, len(uids), size))
