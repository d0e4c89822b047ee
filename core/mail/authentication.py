"""Who a mail is proven to be from: the words for it, and the report of a server that we trust (RFC 8601).

A From address proves nothing. What does is a signature or a sending server of the address's own domain (DKIM, SPF),
tied to it by alignment (DMARC), found by us or reported by a server whose word counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Any

from core.mail.address import domain_of, tolerant_addresses
from core.mail.values import IncomingEmail
from core.pattern import pattern

_RESULT = pattern(r";\s*(dmarc|dkim|spf)\s*=\s*(\w+)([^;]*)")
_FROM_DOMAIN = pattern(r"\bheader\.from\s*=\s*([^\s;]+)")
_QUOTED_OR_COMMENT = pattern(r'"[^"\\]*(?:\\.[^"\\]*)*"|\([^()"]*\)')
_MOST_NESTED = 5
_MOST_CHARS = 4000
_HOP_CHARS = 1000
_HOP = pattern(
    r"(?i:from) (\S+) \((?!(?i:helo)\b)([^][() ]*) ?\[(?:IPv6:)?([0-9A-Fa-f.:]{2,45})\](?! \(may be forged)[^][]*"
)
"""`from HELO (name [address])`: a name that was looked up is one that leads back to the address."""


class Verdict(StrEnum):
    """What all checks together say of the From address."""

    PASS = "pass"  # noqa: S105 - RFC 8601's word
    FAIL = "fail"
    """Its domain asks that such mail be refused or set aside."""
    NONE = "none"
    """Nothing proves it, and nothing speaks against it."""
    UNKNOWN = "unknown"
    """It could not be asked: the DNS did not answer."""


@dataclass(frozen=True, slots=True)
class Check:
    """One method (spf, dkim, dmarc) and its result in RFC 8601's words; `domain` is whom it would speak for."""

    method: str
    result: str
    domain: str
    detail: str = ""

    @property
    def words(self) -> str:
        return f"{self.method}={self.result}{f' ({self.domain})' if self.domain else ''}"


@dataclass(frozen=True, slots=True)
class Authentication:
    """The verdict, why in a sentence, and the checks that it rests on."""

    verdict: Verdict
    reason: str
    checks: tuple[Check, ...] = ()

    @property
    def is_verified(self) -> bool:
        return self.verdict is Verdict.PASS

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        checks = [
            {"method": one.method, "result": one.result, "domain": one.domain, "detail": one.detail}
            for one in self.checks
        ]
        return {"verdict": self.verdict.value, "reason": self.reason, "checks": checks}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Authentication:
        """Return what `as_dict` was made of."""
        return cls(Verdict(data["verdict"]), data["reason"], tuple(Check(**check) for check in data["checks"]))


NOT_ASKED = Authentication(Verdict.NONE, "Nothing proves who sent it.")


@dataclass(frozen=True, slots=True)
class Client:
    """Who handed a mail to the first server that we trust: its address, and the name that it gave itself."""

    address: str
    helo: str


def author_domain(email: IncomingEmail) -> str:
    """Return the domain of the one author; empty where there is none, or a second From that another may look at."""
    authors = email.headers_named("From")
    if len(authors) != 1 or len(tolerant_addresses(authors[0])) != 1 or email.sender is None:
        return ""
    return domain_of(email.sender.address)


def reported(email: IncomingEmail, trusted: str) -> Authentication | None:
    """Return what the trusted server `trusted` says in its Authentication-Results; None where it says nothing.

    Only the topmost such header counts: what stands below may have come with the mail (RFC 8601 section 5).
    """
    top = next(iter(email.headers_named("Authentication-Results")), "")[:_MOST_CHARS]
    plain = _bare(top).lower()
    if not trusted or plain.partition(";")[0].split()[:1] != [trusted.lower()]:
        return None
    found = _RESULT.findall(plain)
    checks = tuple(Check(method, result, _domain_in(rest)) for method, result, rest in found)
    said = f"{trusted} says {', '.join(check.words for check in checks) or 'nothing of it'}."
    dmarc = [check for check in checks if check.method == "dmarc"]
    from_domains = {domain_of(f"@{one}") for _, _, rest in found for one in _FROM_DOMAIN.findall(rest)}
    author = author_domain(email)
    if {check.result for check in dmarc} == {"pass"} and author and from_domains <= {author}:
        return Authentication(Verdict.PASS, said, checks)
    failed = any(check.result == "fail" for check in dmarc)
    return Authentication(Verdict.FAIL if failed else Verdict.NONE, said, checks)


def client_of(email: IncomingEmail, trusted: Sequence[str]) -> Client | None:
    """Return who handed the mail to the servers named in `trusted`, by their own Received lines; None without any.

    The lines are read from the top and believed as long as they are of those servers (RFC 5321 section 4.4). The client
    chose its HELO, be it one of those names or an address: only what the server found out itself is looked at.
    """
    names = {name.lower() for name in trusted}
    for line in email.headers_named("Received"):
        given, by, rest = " ".join(line[:_HOP_CHARS].split()).partition(" by ")
        found = _HOP.fullmatch(given)
        if found is None or not by or rest.partition(" ")[0].lower().rstrip(".;") not in names:
            return None
        helo, looked_up, address = found.groups()
        try:
            is_private = ip_address(address).is_private
        except ValueError:
            return None
        if looked_up.lower().rstrip(".") not in names and not is_private:
            return Client(address, helo)
    return None


def judged(
    author: str, checks: Iterable[Check], dmarc: Check, aligned: Check | None, *, is_open: bool = False
) -> Authentication:
    """Return the verdict on an author's domain: `aligned` is the check that vouches for it, if one does.

    `is_open`: the DNS did not answer about one that might have vouched.
    """
    checks = (*checks, dmarc)
    if aligned is not None:
        return Authentication(Verdict.PASS, f"{aligned.domain} vouches for it by {aligned.method.upper()}.", checks)
    if is_open:
        return Authentication(Verdict.UNKNOWN, f"The DNS did not say enough about {author}.", checks)
    if dmarc.result == "fail":
        return Authentication(
            Verdict.FAIL, f"Nothing proves that it is from {author}, which asks not to believe such mail.", checks
        )
    return Authentication(Verdict.NONE, f"Nothing proves that it is from {author}.", checks)


def _domain_in(rest: str) -> str:
    """Return the domain that a result of RFC 8601 is about, by its properties."""
    for name in ("header.d", "header.from", "smtp.mailfrom", "header.i", "smtp.helo"):
        _, found, value = rest.partition(f"{name}=")
        if found:
            return domain_of(f"@{value.split(maxsplit=1)[0].rpartition('@')[2]}") if value.split() else ""
    return ""


def _bare(results: str) -> str:
    """Return the header without comments and quoted strings, in which a sender's own words may stand; or nothing."""
    for _ in range(_MOST_NESTED):
        results = _QUOTED_OR_COMMENT.sub(" ", results)
    return "" if set('"()') & set(results) else results
