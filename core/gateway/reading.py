"""From raw bytes to a `Received`: all the work on a mail that costs time and needs no database.

Never raises, whatever the bytes; runs in a thread, so that a large mail does not hold up the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

from core.gateway.values import KeptFile, Received
from core.mail.address import domain_of, normalised
from core.mail.automatic import no_answer_reason, program_reason
from core.mail.body import html_to_text, text_to_html
from core.mail.file_type import START_BYTES, content_type_of
from core.mail.notice import read_notice
from core.mail.parse import DEFAULT_LIMITS, ORIGINAL, Limits, parse
from core.mail.trace_headers import envelope_of
from core.mail.tracking import untracked
from core.mail.values import File, IncomingEmail
from core.mail.words import decode_base64
from core.pattern import pattern

_DATA_IMAGE = pattern(
    r"""(\bsrc\s*+=\s*+["']?+)data:(image/(?:png|gif|jpe?g|webp));base64,([A-Za-z0-9+/=\s]++)""", re.IGNORECASE
)
_IMAGE = pattern(r":(?ai:image/)")
"""What most bodies do not hold; looked for by its colon, since that has no upper case."""
_NAME_CHARS = 255
_CONTENT_ID_CHARS = 255
_TEXT_FROM_HTML_CHARS = 100_000
"""Of a longer HTML body without a text part, only the beginning is made into text; the HTML itself is kept whole."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How to read: our aliases' `domains` in IDNA form, and how many files of a mail are kept one by one."""

    domains: frozenset[str]
    max_files: int
    base_url: str = ""
    """Where our tracked links lead, which a quotation of a mail of ours still holds."""
    mailboxes: frozenset[str] = frozenset()
    """The addresses of the mailboxes that are fetched: not what a mail is about."""
    aliases: frozenset[str] = frozenset()
    """The addresses that lead somewhere, without tags."""


def read(raw: bytes, source: str, terms: Terms, spool_id: int = 0) -> Received:
    """Read a mail."""
    # Pictures inside the HTML must not count for its limit, so the limit comes after they are taken out.
    parsed = _bounded(_without_data_images(parse(raw, Limits(html_bytes=len(raw)))))
    html = None if parsed.html is None else untracked(parsed.html, terms.base_url)
    text = None if parsed.text is None else untracked(parsed.text, terms.base_url, is_html=False)
    program, no_answer = program_reason(parsed), no_answer_reason(parsed)
    return Received(
        parsed=parsed,
        source=source,
        fingerprint=_fingerprint(parsed, raw, terms),
        text=html_to_text((html or "")[:_TEXT_FROM_HTML_CHARS]) if text is None else text,
        html=text_to_html(text or "") if html is None else html,
        files=tuple(_kept(file, html or "") for file in _few(parsed.files, raw, terms.max_files)),
        notice=read_notice(parsed, is_automatic=bool(program or no_answer)),
        envelope=envelope_of(parsed),
        program=program,
        no_answer=no_answer,
        spool_id=spool_id,
    )


def _without_data_images(parsed: IncomingEmail) -> IncomingEmail:
    """Turn the `data:` pictures of the HTML into inline files."""
    if parsed.html is None or _IMAGE.search(parsed.html) is None:
        return parsed
    found: dict[str, File] = {}

    def taken_out(match: re.Match[str]) -> str:
        content = decode_base64(match[3].encode("ascii"))
        content_id = f"{sha256(content).hexdigest()[:32]}@inline"
        kind = match[2].lower()
        name = f"image-{len(found) + 1}.{kind.partition('/')[2]}"
        found.setdefault(content_id, File(name, kind, content, content_id))
        return f"{match[1]}cid:{content_id}"

    html = _DATA_IMAGE.sub(taken_out, parsed.html)
    return replace(parsed, html=html, files=(*parsed.files, *found.values()))


def _bounded(parsed: IncomingEmail) -> IncomingEmail:
    """Turn a body that is too long into a file."""
    limit = DEFAULT_LIMITS.html_bytes
    if parsed.html is not None and len(parsed.html) > limit:
        file = File("body.html", "text/html", parsed.html.encode())
        parsed = replace(parsed, html=None, files=(*parsed.files, file))
    if parsed.text is not None and len(parsed.text) > limit:
        file = File("body.txt", "text/plain", parsed.text.encode())
        parsed = replace(parsed, text=None, files=(*parsed.files, file))
    return parsed


def _few(files: tuple[File, ...], raw: bytes, most: int) -> tuple[File, ...]:
    """Return the files, or, of too many, the first of them and then the whole mail, so that nothing is lost."""
    return files if len(files) <= most else (*files[: max(0, most - 1)], File(ORIGINAL, "message/rfc822", raw))


def _kept(file: File, html: str) -> KeptFile:
    content_id = (file.content_id or "")[:_CONTENT_ID_CHARS]
    is_shown = bool(content_id) and f"cid:{content_id}" in html
    digest = sha256(file.content).hexdigest()
    return KeptFile(
        file.name[:_NAME_CHARS],
        content_type_of(file.content[:START_BYTES], file.content_type),
        file.content,
        digest,
        content_id if is_shown else None,
    )


def _fingerprint(parsed: IncomingEmail, raw: bytes, terms: Terms) -> str:
    """Hash what does not change on the way: all but the header lines that servers add.

    The Message-ID alone would not do: anybody can send a mail with another's (SECURITY I4). Our own recipients count,
    as a blind copy to a second alias is a second delivery; the mailbox that one of several ways went through does not,
    unless nothing else leads anywhere.
    """
    digest = sha256()
    for piece in _lasting(parsed, terms) if parsed.message_id else (raw,):
        digest.update(len(piece).to_bytes(8, "big"))
        digest.update(piece)
    return digest.hexdigest()


def _untagged(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def _lasting(parsed: IncomingEmail, terms: Terms) -> Iterator[bytes]:
    written = {normalised(mailbox.address) for mailbox in (*parsed.to, *parsed.cc)}
    written = {address for address in written if domain_of(address) in terms.domains}
    hinted = {normalised(mailbox.address) for mailbox in parsed.recipients} - terms.mailboxes
    ours = written | {address for address in hinted if _untagged(address) in terms.aliases}
    ours = ours or {address for address in hinted if domain_of(address) in terms.domains}
    sender = parsed.sender.address if parsed.sender else ""
    texts = (parsed.message_id, sender, parsed.header("Date"), parsed.subject, parsed.text, parsed.html, *sorted(ours))
    yield from ((text or "").encode() for text in texts)
    yield from (file.content for file in parsed.files)
